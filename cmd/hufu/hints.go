package main

import (
	"crypto/x509"
	"errors"
	"syscall"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/admin"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/wallet"
)

// hintFor says what to do next about an error, or "".
func hintFor(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	for _, a := range []struct {
		is   error
		hint string
	}{
		{home.ErrNoHome, "make one with: hufu up --home DIR, or name another with --home"},
		{home.ErrExists, "use it as it is, or name another directory with --home"},
		{home.ErrLeftover, "another process is making one, or was cut off: then remove what is there, or name another directory with --home"},
		{home.ErrDiskFull, "make room, then try again; nothing was changed"},
		{home.ErrReadOnly, "give this user the right to write there"},
		{home.ErrConflict, "see who signed both with: hufu audit evidence FILE --genesis GENESIS; once the members know which history holds, go on from a checkpoint of it with: hufu audit checkpoint --trust FILE"},
		{client.ErrHalted, "too few validators are running; see with: hufu net status"},
		{home.ErrNotRunning, "start it with: hufu up --home DIR, or name a node with --node URL"},
		{home.ErrNotLost, "replace its keys with: hufu did rotate NAME; if that key was stolen too, plan under another name"},
		{home.ErrUnknownGuardian, "a guardian needs a did:hufu of this network, which it has the keys of"},
		{home.ErrNoIdentity, "make it with: hufu did create NAME"},
		{keystore.ErrWrongPassphrase, "nothing was changed; try again with the passphrase the home was made with"},
		{keystore.ErrWrongKeyFile, "nothing was changed; give the key file the home was made with"},
		{keystore.ErrPIN, "put the right PIN into that file before the next try: a few wrong ones lock the token for good"},
		{keystore.ErrPINLocked, "prove the PIN, or have it set anew, with the token's own tools; hufu does not try again before"},
		{keystore.ErrNoToken, "is it plugged in, and does its label fit? its own tools list what is there"},
		{keystore.ErrModule, "does the path name the token's PKCS#11 library?"},
		{keystore.ErrPermissions, "close it to others with: chmod 600 FILE"},
		{node.ErrLocked, "another process serves this home; stop it first, or use that one"},
		{node.ErrDiskFull, "make room, then start again; nothing acknowledged is lost"},
		{node.ErrReadOnly, "give this user the right to write there"},
		{node.ErrUpgrade, "install the release that has it, and start again: nothing is lost"},
		{node.ErrClock, "set the clock, by NTP best, and start again: nothing is lost"},
		{node.ErrWrongNetwork, "leave --network out, or name another --home"},
		{node.ErrTrustExpired, "get a recent checkpoint by a way you trust, and give it to this home with: hufu audit checkpoint --trust FILE"},
		{node.ErrFork, "this is for the members: keep the data of all nodes, and do not go on"},
		{client.ErrNotKept, "ask an archive with --node URL, a node that keeps all blocks; an audit may also begin with a snapshot (--from FILE), a client with a newer checkpoint (hufu audit checkpoint)"},
		{node.ErrNotKept, "name the home of an archive, a node that keeps all blocks, or begin with a snapshot of a block it has: --from FILE"},
		{client.ErrEvidenceOld, "it still convinces people: take it to the members, who can take power by vote"},
		{client.ErrConvictsNobody, "take it to the members: what the validators voted in those rounds has to be compared"},
		{client.ErrUnreachable, "is the node running? start it with: hufu up --home DIR"},
		{database.ErrUnreachable, "is it running, and does --db or HUFU_DB name it?"},
		{admin.ErrNotRunning, "start it with: hufu up --home DIR"},
		{syscall.EADDRINUSE, "another process listens there: name other addresses with --listen and --rpc"},
		{wallet.ErrNotEmpty, "name another directory with --home"},
		{wallet.ErrBackup, "nothing was changed; try again with the passphrase of the backup"},
		{server.ErrNotLoopback, "listen on 127.0.0.1 and put a TLS server in front"},
	} {
		if errors.Is(err, a.is) {
			return a.hint
		}
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return "if it is a server of your own, trust its certificate with --tls-ca FILE"
	}
	return ruleHints()[hufu.RuleOf(err)]
}

// ruleHints says what to do about refusals that people meet.
func ruleHints() map[hufu.Rule]string {
	return map[hufu.Rule]string{
		machine.RuleSequence:     "another command spoke for the same identifier; run this one again",
		gov.RuleNoQuota:          "name a member of this home that pays for it with --sponsor",
		gov.RuleQuotaExhausted:   "wait for the next epoch, or let the members raise the quota: hufu gov propose set NAME --quota N",
		gov.RuleNotMember:        "say with --as which member of this home acts; see: hufu gov members",
		gov.RuleUnknownProposal:  "the identifier is the one that hufu gov propose printed",
		gov.RuleTooManyOpen:      "see which are open with: hufu gov list; they end by a vote or with their time",
		gov.RuleVotingClosed:     "see how it ended with: hufu gov show PROPOSAL",
		trust.RuleNotMember:      "only members publish types; say which with --as",
		trust.RuleTypeVersion:    "set \"version\" in the file to the next one; a version may only add to the last",
		trust.RuleTypeChanged:    "a version may only add to the last; what differs needs a vct of its own",
		trust.RuleUnknownType:    "publish it first: hufu trust publish FILE",
		trust.RuleNotAccredited:  "the members accredit an issuer with: hufu gov propose accredit",
		trust.RuleNoDelegation:   "the members let it pass its accreditation on with: hufu gov propose accredit --delegate 1",
		contracts.RuleSequence:   "set \"version\" in the file to the next one; what is published never changes",
		contracts.RuleRetired:    "publish it under another id",
		did.RuleDeactivated:      "an identifier that has ended stays ended; make another with: hufu did create NAME",
		did.RuleUnknown:          "is it of this network, and spelled as hufu did list shows it?",
		did.RuleGuardDelay:       "see the least delay with: hufu gov params",
		did.RuleNoGuardians:      "guardians have to be named while the keys are there: hufu did guard NAME",
		did.RuleNotGuardian:      "the owner's last hufu did guard wrote the files that count",
		did.RuleRecoveryBarred:   "a recovery was vetoed; the guardians have to wait as long as its delay",
		did.RuleRecoveryStale:    "the identifier has other keys since; make a new plan with: hufu did recover plan NAME --did DID",
		did.RuleRecoveryPending:  "wait for its delay, then: hufu did finish NAME",
		did.RuleNoRecovery:       "see what is under way with: hufu did resolve NAME",
		did.RuleRecoveryEarly:    "see from when with: hufu did resolve NAME",
		issuer.RuleUnknownPerson: "enrol the register first: hufu issuer enrol ROSTER.csv",
		gate.RuleNotPublished:    "publish the contract first: hufu gate publish FILE --as NAME",
		gate.RuleRetired:         "its owner retired it; publish another contract",
		gate.RuleUnknownRequest:  "the answer is to a request of another gate; give the gate that asked with --as",
		gate.RuleReplayed:        "every request is answered once; make a new one with: hufu gate request",
		gate.RuleExpiredRequest:  "make a new request with: hufu gate request",
		oid4vci.RuleNonce:        "get a fresh one with: hufu issuer nonce",
		oid4vp.RuleExpired:       "ask the gate for a new request",
		client.RuleConflict:      "the evidence is kept in the home; see who signed both with: hufu audit evidence FILE",
		client.RuleSnapshotOld:   "get a newer one with: hufu audit snapshot, or allow its age with --max-age",
		client.RuleTrustExpired:  "get a recent checkpoint by a way you trust, and give it to this home with: hufu audit checkpoint --trust FILE",
		tilelog.RuleBehind:       "restore a newer copy of its database; if there is none, see Backup in the operator's guide",
		receipt.RuleCommitment:   "give the answer that this receipt is about with --answer",
		wallet.RuleOverAsking:    "nothing was shown; do not trust this gate",
		wallet.RuleAskedBefore:   "every request is answered once; ask the gate for a new one",
		wallet.RuleStale:         "nothing was shown; come again when the network is back, or name a node that can be reached with --node",
		wallet.RuleDuplicate:     "the wallet has these already",
		wallet.RuleStranger:      "if you trust this issuer nevertheless, take up another offer of it with --foreign",
		wallet.RuleTxCode:        "give it with --tx-code",
		wallet.RuleChanged:       "ask the verifier for a new request",
		dcql.RuleUnavailable:     "see what the wallet holds with: hufu wallet list",
	}
}
