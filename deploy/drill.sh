#!/usr/bin/env bash
# Drill of backup and restore: drill.sh [PROGRAM], for example  deploy/drill.sh bin/hufu
#
# A network of four members with an agency, a service behind a gate and a person does real work, and is backed up as the operator's
# guide says. Then each home is destroyed while the rest goes on, made again from its backup in another place, and has to
# prove that it goes on: the validator, the member, the issuer, the gate, the wallet, the validator's signer. It ends with status 1
# at the first thing that is not as it must be. All is in a new directory, which is removed when all went well. It needs bash and curl.
#
# In part only where it can: the agency's keys are in a PKCS#11 token if the program has PKCS#11 (make pkcs11) and SoftHSM2 is
# installed; the gate's database is on PostgreSQL if HUFU_TEST_POSTGRES names a server that nothing else uses (tools/with-postgres.sh
# starts one).
set -euo pipefail

program=$(realpath -s "${1:-bin/hufu}")
examples=$(realpath "$(dirname "$0")/../examples")
"$program" version >/dev/null

work=$(mktemp -d "${TMPDIR:-/tmp}/hufu-drill-XXXXXX")
cd "$work"
unset HUFU_HOME HUFU_KEY_FILE HUFU_PASSPHRASE_FILE HUFU_DB
declare -A pid=()

ended() {
  local status=$?
  trap - EXIT
  for p in "${pid[@]}"; do kill -KILL "$p" 2>/dev/null || true; done
  wait 2>/dev/null || true
  if [ $status = 0 ]; then
    rm -rf "$work"
  else
    echo "THE DRILL FAILED; homes and logs are in $work" >&2
  fi
  exit $status
}
trap ended EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

chapter() { printf '\n%s  [%d s]\n' "$1" $SECONDS; }
say() { printf '  %s\n' "$*"; }
fail() { echo "  NOT AS IT MUST BE: $*" >&2; exit 1; }

# on HOME ARGUMENT...: hufu with a home and its key file.
declare -A database=()
on() {
  local home=$1; shift
  HUFU_DB=${database[$home]:-} "$program" "$@" --home "$home" --key-file "$(key_of "$home")"
}
# The key file of a home is kept apart from it, and survives it.
key_of() {
  case $1 in
  net/*) echo "$1.key" ;;
  restored/node*) echo "net/${1#restored/}.key" ;;
  *) echo "${1##*/}.key" ;;
  esac
}
# start NAME HOME ARGUMENT...: a process in the background, whose log is NAME.log.
start() {
  local name=$1 home=$2; shift 2
  HUFU_DB=${database[$home]:-} "$program" "$@" --home "$home" --key-file "$(key_of "$home")" >>"$name.log" 2>&1 &
  pid[$name]=$!
}
# destroy NAME HOME: the process is killed, the home is gone.
destroy() {
  kill -KILL "${pid[$1]}"
  wait "${pid[$1]}" 2>/dev/null || true
  unset "pid[$1]"
  rm -rf "$2"
  say "$1 is killed and its home destroyed"
}
# says WORDS COMMAND...: the command succeeds and says these words (an extended regular expression).
says() {
  local words=$1 out; shift
  out=$("$@" 2>&1) || fail "$*: $out"
  grep -qE -- "$words" <<<"$out" || fail "$* does not say \"$words\": $out"
}
# does COMMAND...: it succeeds, and what it says does not matter.
does() { says '' "$@"; }
# refuses WORDS COMMAND...: it fails, and says why.
refuses() {
  local words=$1 out; shift
  if out=$("$@" 2>&1); then fail "$* is not refused: $out"; fi
  grep -qE -- "$words" <<<"$out" || fail "$* does not say \"$words\": $out"
}
# eventually WHAT COMMAND...: waits for it to succeed.
eventually() {
  local what=$1 end=$((SECONDS + 90)) out; shift
  until out=$("$@" 2>&1); do
    [ $SECONDS -lt $end ] || fail "not within 90 s: $what: $out"
    sleep 0.2
  done
}
member() { "$program" gov members --home "$1" --json | sed -n 's/.*"did": "\(.*\)".*/\1/p'; }
value() { sed -n "s/.*\"$1\": \"\\([^\"]*\\)\".*/\\1/p" | head -n 1; }
signed() { # signed HOME NAME: the validator's vote is in the newest block but one
  "$program" net status "$1" | grep -qE "^  $2: power 10, signed"
}

# A free range of ports, of which the nodes have the first: RPC at +1, +11, +21, +31.
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=$((20000 + $$ % 500 * 20))
while for p in 0 1 10 11 20 21 30 31 40 41 42 43; do listening $((port + p)) && break; done; do port=$((port + 50)); done
rpc() { echo "http://127.0.0.1:$((port + 10 * $1 - 9))"; }

token=()
hsm=$(ls /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so 2>/dev/null | head -n 1 || true)
skipped=
if [ -z "$hsm" ] || ! command -v softhsm2-util >/dev/null; then
  skipped="keys in a PKCS#11 token (Debian: apt-get install softhsm2)"
elif [[ $(on probe net candidate --network drill --name x --address x:1 --token "pkcs11:token=x?module-path=$hsm&pin-source=file:/dev/null" 2>&1 || true) == *"has no PKCS#11"* ]]; then
  skipped="keys in a PKCS#11 token (this program has no PKCS#11: make pkcs11)"
else
  mkdir tokens
  printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$work" >softhsm.conf
  export SOFTHSM2_CONF=$work/softhsm.conf
  softhsm2-util --init-token --free --label agency --so-pin 00000000 --pin 48151623 >/dev/null
  (umask 077 && echo 48151623 >pin)
  token=(--token "pkcs11:token=agency?module-path=$hsm&pin-source=file:$work/pin")
fi
[ -z "$skipped" ] || echo "SKIPPED: $skipped"
pg=${HUFU_TEST_POSTGRES:-}
bin=$(dirname "$(command -v pg_dump || ls -d /usr/lib/postgresql/*/bin/pg_dump 2>/dev/null | tail -n 1 || true)")
if [ -z "$pg" ] || [ ! -x "$bin/pg_dump" ]; then
  pg=
  echo "SKIPPED: a database on PostgreSQL (run it as: tools/with-postgres.sh deploy/drill.sh)"
fi

chapter "Four members found a network; one has its validator's key with a signer apart"
does "$program" net init --validators 4 --network drill --out net --port $port
on signer signer init --from net/node4 --from-key-file net/node4.key --json >signer.json 2>signer.log
signer_id=$(value id <signer.json) node_id=$(value node <signer.json)
at=127.0.0.1:$((port + 40)) at_next=127.0.0.1:$((port + 43))
for n in 1 2 3; do start node$n net/node$n node start; done
start node4 net/node4 node start --remote-signer "$signer_id@$at"
start signer signer signer start --node "$node_id@$at"
says "agree at height" "$program" net status --wait 60s net/node1 net/node2 net/node3 net/node4
eventually "all four sign" signed net/node2 "Member 4"
say "four validators agree, and all sign"

chapter "An agency, a library and a person do their work"
payer=$(member net/node3 | head -n 1)
cp net/node1/genesis.json genesis.json
nodes="$(rpc 2),$(rpc 3)"
does on agency did create agency --method issuing:assertion --genesis genesis.json --node "$nodes" --open "$payer" ${token[@]+"${token[@]}"}
does on library did create library --method gate:authentication+assertion --genesis genesis.json --node "$nodes" --open "$payer"
[ -z "$pg" ] || database[library]=$pg
agency=$(on agency did list --json | value agency)
vote() { # vote PROPOSER "VOTERS" ARGUMENT...: members decide
  local by=$1 voters=$2 p; shift 2
  p=$(on "$by" gov propose "$@" --json | value proposal)
  for v in $voters; do does on "$v" gov vote "$p"; done
  says "^executed in block|in force since block" on "$by" gov show "$p"
}
for type in resident-id guardianship; do does on net/node2 trust publish "$examples/types/$type.json"; done
vote net/node2 "net/node1 net/node3" accredit "$agency" --type urn:hufu:type:resident-id:1 --type urn:hufu:type:guardianship:1
does on library gate publish "$examples/contracts/reading-room.toml" --as library --node "$nodes"
does "$program" roster --people 12 --seed 3 --out people.csv
echo 992018199903048327 >person
does on agency issuer enrol people.csv --node "$nodes"
start agency agency issuer serve --node "$nodes" --listen "127.0.0.1:$((port + 41))"
start library library gate serve --node "$nodes" --listen "127.0.0.1:$((port + 42))"
serves() { # serves NAME PORT
  kill -0 "${pid[$1]}" 2>/dev/null || fail "$1 has ended: $(tail -n 3 "$1.log")"
  curl -sf -o /dev/null "http://127.0.0.1:$((port + $2))/readyz"
}
eventually "the issuer serves" serves agency 41
eventually "the gate serves" serves library 42
issue() { # issue AGENCY_HOME: four copies to the wallet, over OpenID4VCI
  local uri
  uri=$(on "$1" issuer offer --person - --type resident-id --json <person | value uri)
  says "4 credentials accepted" on "$wallet" wallet accept "$uri" --genesis genesis.json --copies 4 --node "$nodes"
}
visit() { # visit LIBRARY_HOME: the wallet shows, over OpenID4VP, and the gate says what it decided
  local out
  out=$(on "$1" gate request --contract reading-room --json)
  on "$wallet" wallet present "$(value uri <<<"$out")" --yes --node "$nodes" >/dev/null 2>&1 || true
  on "$1" gate result "$(value state <<<"$out")" --json | value decision
}
wallet=alice
issue agency
[ "$(visit library)" = allow ] || fail "the door does not open"
on library gate request --contract reading-room --json >open.json # which nobody answers yet
on library gate request reading-room --as library --node "$nodes" --response-uri "http://127.0.0.1:$((port + 42))/gates/library/gate/response" >request.jwt
on alice wallet present request.jwt --node "$nodes" >answer.json 2>/dev/null
does on library gate decide answer.json --as library --node "$nodes" --receipt receipt.jwt
does on agency issuer anchor --node "$nodes"
does on library gate anchor --as library --node "$nodes"
says "logged" on alice wallet receipts --node "$nodes"
on agency issuer access --person - --node "$nodes" <person >looks.before
[ -s looks.before ] || fail "no look at the person's file was recorded"
say "issued 4 copies, let in twice; receipts and looks at files are in their logs, anchored"

chapter "Everything is backed up while it runs"
for home in net/node1 agency library signer; do says "files of drill" on "$home" backup "backups/${home##*/}"; done
echo "correct horse battery staple" >word
does on alice wallet backup backups/alice --backup-passphrase-file word
[ -z "$pg" ] || "$bin/pg_dump" --no-owner "$pg" >backups/library.sql
[ ${#token[@]} = 0 ] || cp -a tokens backups/tokens # by the token's own means: here, its directory
[ ! -e backups/node1/node ] || fail "a backup holds what a validator signed"
say "member and validator, issuer, gate, signer: hufu backup; the person: hufu wallet backup"
issue agency # the world goes on after a backup
[ "$(visit library)" = allow ] || fail "the door does not open"

restore() { # restore NAME: the home, elsewhere
  local db=${database[$1]:-}
  [ -z "$db" ] || database[restored/$1]=$db
  says "the home of network drill is as it was" on "restored/$1" restore "backups/$1"
}

chapter "A validator is lost"
destroy node1 net/node1
does on net/node2 did create while-node1-was-away
say "three of four go on"
restore node1
start node1 restored/node1 node start
says "agree at height" "$program" net status --wait 90s restored/node1 net/node2 net/node3 net/node4
says "proven at height" on restored/node1 did resolve "$(on net/node2 did list --json | value while-node1-was-away)"
says "the same as signed" on restored/node1 audit
grep -q 'does not sign until a block is made after this start' node1.log || fail "it does not say that it waits"
vote net/node2 "net/node3 restored/node1" set "$(member net/node2 | tail -n 1)" --quota 2147483648
say "it is restored elsewhere, has every block, and its member votes; it signs when that cannot be twice"

chapter "The issuer is lost"
destroy agency agency
if [ ${#token[@]} != 0 ]; then
  rm -rf tokens && mkdir tokens
  restore agency
  refuses "token is not there" on restored/agency issuer anchor --node "$nodes"
  rm -rf tokens && cp -a backups/tokens tokens
  say "its token is lost as well, and put back by its own means: without it nothing is signed"
else
  restore agency
fi
start agency restored/agency issuer serve --node "$nodes" --listen "127.0.0.1:$((port + 41))"
eventually "the issuer serves" serves agency 41
on restored/agency issuer access --person - --node "$nodes" <person >looks.after
head -n "$(wc -l <looks.before)" looks.after | cmp -s - looks.before || fail "recorded looks at files are gone"
issue restored/agency
says "are suspended since block" on restored/agency issuer status --person - --set suspended --reason requested --node "$nodes" <person
[ "$(visit library)" = deny ] || fail "the door opens to what is suspended"
says "are valid since block" on restored/agency issuer status --person - --set valid --node "$nodes" <person
[ "$(visit library)" = allow ] || fail "the door does not open"
says "anchored" on restored/agency issuer anchor --node "$nodes"
say "restored elsewhere: it issues, suspends and lifts, knows who looked at which file, and its log goes on"

chapter "The gate is lost"
destroy library library
if [ -n "$pg" ]; then
  "$bin/psql" -q "$pg" -c 'DROP SCHEMA hufu_gate CASCADE' 2>/dev/null
  "$bin/psql" -q "$pg" -v ON_ERROR_STOP=1 -f backups/library.sql >/dev/null
  say "its database on PostgreSQL, too; the dump is put back"
fi
restore library
start library restored/library gate serve --node "$nodes" --listen "127.0.0.1:$((port + 42))"
eventually "the gate serves" serves library 42
says "the same again: allow" on restored/library gate replay receipt.jwt --answer answer.json --node "$nodes"
refuses "gate.replayed" on restored/library gate decide answer.json --as library --node "$nodes"
refuses "gate\\." on restored/library gate decide answer.json --as library --node "$nodes"
on alice wallet present "$(value uri <open.json)" --yes --node "$nodes" >/dev/null 2>&1 && fail "a request from before the backup is answered"
[ "$(visit restored/library)" = allow ] || fail "the door does not open"
say "restored elsewhere: it knows the receipts of before, an answer of before is no use again, the door opens"

chapter "The person's wallet is lost"
on alice wallet list --json >holds.before
rm -rf alice alice.key
refuses "does not open this backup" on restored/alice wallet restore backups/alice --backup-passphrase-file person
does on restored/alice wallet restore backups/alice --backup-passphrase-file word
wallet=restored/alice
says "logged" on restored/alice wallet receipts --node "$nodes"
[ "$(visit restored/library)" = allow ] || fail "the door does not open"
say "restored elsewhere: it holds what it held, its receipts are in the gate's log, and the door opens to it"

chapter "The signer of a validator is lost"
eventually "the restored validator signs again" signed net/node2 "Member 1"
say "the restored validator signs again"
destroy signer signer
restore signer
refuses "it might sign twice" on restored/signer signer start --node "$node_id@$at"
next=$(on restored/signer signer show --next --json | tr -d '\n' | sed 's/.*"\([0-9a-f]\{64\}\)".*/\1/')
kill "${pid[node4]}" && wait "${pid[node4]}" || true
start node4 net/node4 node start --remote-signer "$signer_id@$at_next"
start signer restored/signer signer start --key 2 --node "$node_id@$at_next"
says "agree at height" "$program" net status --wait 60s net/node4 net/node2
vote net/node4 "net/node2 net/node3" validator-key --key "$next"
eventually "it signs with its new key" signed net/node2 "Member 4"
say "what it signed last is lost, so the old key signs no more; the members give the validator the next one by vote"

chapter "The end"
for n in 1 2 3 4; do eventually "member $n's validator signs" signed net/node3 "Member $n"; done
says "agree at height" "$program" net status --wait 60s restored/node1 net/node2 net/node3 net/node4
"$program" net status net/node3 >status
if grep -q CONVICTED status; then fail "a validator signed twice: $(cat status)"; fi
says "the same as signed" on restored/node1 audit
say "four validators sign, nobody signed twice, and the whole ledger replays from its genesis"
echo
echo "every role was restored and goes on: $SECONDS s"
