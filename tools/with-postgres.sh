#!/bin/sh
# Runs a command with a PostgreSQL server of its own: with-postgres.sh COMMAND [ARGUMENT...]
#
# The server listens on a socket in a temporary directory, nowhere else, and is stopped and removed
# when the command has ended, whichever way. HUFU_TEST_POSTGRES names it to the command. Without
# PostgreSQL the command runs all the same, and says what it skips.
set -u

find_bin() {
  for d in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n -r) ${HUFU_POSTGRES_BIN:-} /usr/local/pgsql/bin; do
    [ -x "$d/initdb" ] && echo "$d" && return
  done
  initdb=$(command -v initdb) && dirname "$initdb"
}

[ -n "${HUFU_TEST_POSTGRES:-}" ] && exec "$@" # one was given
bin=$(find_bin)
if [ -z "$bin" ]; then
  echo "SKIPPED: the tests on PostgreSQL (Debian: apt-get install postgresql)" >&2
  exec "$@"
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/hufu-pg-XXXXXX") || exit 1
# initdb refuses to run as root: then the server is the user postgres's, and else our own.
as=""
if [ "$(id -u)" = 0 ]; then
  if ! id postgres >/dev/null 2>&1; then echo "SKIPPED: the tests on PostgreSQL (root, and no user postgres)" >&2; rm -rf "$dir"; exec "$@"; fi
  chown postgres "$dir"
  as="setpriv --reuid=postgres --regid=postgres --init-groups --"
fi
chmod 700 "$dir"
stop() {
  cd / && $as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1
  rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start() {
  cd "$dir" &&
  $as "$bin/initdb" -D "$dir/data" -U hufu -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 &&
  # Data that nobody keeps needs no sync; what syncs promise is PostgreSQL's to keep.
  $as "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/log" -w -t 60 \
    -o "-c listen_addresses='' -c unix_socket_directories='$dir' -c fsync=off -c max_connections=200" start >>"$dir/log" 2>&1
}
here=$(pwd)
if ! start; then
  echo "PostgreSQL is installed and did not start:" >&2
  cat "$dir/log" "$dir/data/log" >&2 2>/dev/null
  exit 1
fi
cd "$here" || exit 1
HUFU_TEST_POSTGRES="postgres://hufu@/postgres?host=$dir" "$@"
