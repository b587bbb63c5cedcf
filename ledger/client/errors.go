package client

import (
	"errors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Errors that are about the node or the wait, not about what was asked.
var (
	// ErrUnreachable is wrapped when no answer could be had. The cause is wrapped too.
	ErrUnreachable = errors.New("client: the node cannot be reached")
	// ErrBehind is wrapped, beside ErrUnreachable, when a node is below what was verified before.
	ErrBehind = errors.New("client: the node is behind")
	// ErrHalted is wrapped, beside ErrUnreachable, when the network makes no blocks: the node's newest state is
	// signed by nobody.
	ErrHalted = errors.New("client: the network makes no blocks")
	// ErrNotCommitted is wrapped by Submit when the transaction's height of expiry has passed and no
	// block since the call began included it. None will.
	ErrNotCommitted = errors.New("client: the transaction expired without being included")
	// ErrUnknownOutcome is wrapped by Submit when the wait ended before the transaction was seen in
	// a block. It may still be included until it expires.
	ErrUnknownOutcome = errors.New("client: the transaction's outcome is not known")
	// ErrNotOffered is wrapped by SubmitAll for a transaction after one that was not admitted.
	ErrNotOffered = errors.New("client: the transaction was not offered, as one before it was not admitted")
	// ErrNotKept is wrapped when the node does not keep the block asked for: it has blocks only from a later
	// height on. Another node, or a snapshot, may serve.
	ErrNotKept = errors.New("client: the node does not keep that block")
	// ErrEvidenceOld is wrapped when the node takes no evidence of that height any more: it counts for a time and a number of
	// blocks that the genesis says.
	ErrEvidenceOld = errors.New("client: evidence of that height counts no more")
	// ErrConvictsNobody is returned for evidence of amnesia: who forgot a lock is not in the headers, and the ledger
	// records what somebody is convicted by.
	ErrConvictsNobody = errors.New("client: two headers of two rounds convict nobody by themselves: the ledger does not record them")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("client: closed")
)

// Rules that a node's answers are refused by. Each is the name of one kind of lie.
const (
	RuleBadHeader     hufu.Rule = "client.bad-header"     // a header that is not the one signed, or of another height or network
	RuleBadCommit     hufu.Rule = "client.bad-commit"     // votes that do not make the header final
	RuleBadValidators hufu.Rule = "client.bad-validators" // validators that the header does not name
	RuleBadProof      hufu.Rule = "client.bad-proof"      // a record or an absence that the root does not prove
	RuleBadRoot       hufu.Rule = "client.bad-root"       // an answer under a root that no header has
	RuleBadBlock      hufu.Rule = "client.bad-block"      // transactions that are not the header's
	RuleBadResult     hufu.Rule = "client.bad-result"     // results that are not the next header's
	RuleBadSnapshot   hufu.Rule = "client.bad-snapshot"   // what does not read as a snapshot
	RuleSnapshotCut   hufu.Rule = "client.snapshot-cut"   // a snapshot that ends too early
	RuleSnapshotOrder hufu.Rule = "client.snapshot-order" // records of a snapshot out of order, or one twice
	RuleTrustExpired  hufu.Rule = "client.trust-expired"  // the last trusted header is too old to judge by
	RuleTrust         hufu.Rule = "client.trust"          // a trust that cannot be used
	RuleConflict      hufu.Rule = "client.conflict"       // two headers of one height, both signed: the client believes neither
	RuleBadEvidence   hufu.Rule = "client.bad-evidence"   // what does not show two such headers
	RuleBadStore      hufu.Rule = "client.bad-store"      // a store of headers that does not lead on from the trust
	RuleSnapshotOld   hufu.Rule = "client.snapshot-old"   // a snapshot of a state older than its reader allows
	RuleBadStaple     hufu.Rule = "client.bad-staple"     // what does not read as a staple
	RuleStapleBehind  hufu.Rule = "client.staple-behind"  // a staple of a state from before what the client has verified
)

// Rules of a node about a transaction that is in no block yet.
const (
	RuleBusy  = proof.RuleBusy
	RuleKnown = proof.RuleKnown
)
