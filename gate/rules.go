package gate

import "github.com/hufu-id/hufu"

// Rules of a gate itself. A refusal by a more particular room keeps that room's name: credential.* for
// what is wrong with a presentation (credential.audience, credential.nonce, credential.expired …), did.*
// for an issuer's key, trust.* for its accreditation, status.* for a reference to no list of its own,
// dcql.* and contract.* for the contract's judgement. mdoc.* and x5c.* are credential.*'s counterparts for
// mdocs and certificates, jwe.* is for answers that do not decrypt.
const (
	// Asking.
	RuleNotPublished hufu.Rule = "gate.not-published" // no such contract on the ledger
	RuleNotOwner     hufu.Rule = "gate.not-owner"     // the contract belongs to another DID than the gate's
	RuleRetired      hufu.Rule = "gate.retired"       // the contract is retired
	RuleSuperseded   hufu.Rule = "gate.superseded"    // a newer version was published since the request

	// The request that is answered.
	RuleUnknownRequest hufu.Rule = "gate.unknown-request" // nothing was asked under this state
	RuleReplayed       hufu.Rule = "gate.replayed"        // the request, or that of the presentation's nonce, was answered before
	RuleExpiredRequest hufu.Rule = "gate.expired-request" // answered too late
	RuleUnknownNonce   hufu.Rule = "gate.unknown-nonce"   // bound to a nonce that is not this request's
	RuleOtherState     hufu.Rule = "gate.other-state"     // names the state of another request than it is encrypted to

	// The credentials.
	RuleUnknownIssuer hufu.Rule = "gate.unknown-issuer" // the issuer is no DID of this ledger
	RuleUnknownType   hufu.Rule = "gate.unknown-type"   // nobody published the credential's type
	RuleRevoked       hufu.Rule = "gate.revoked"
	RuleSuspended     hufu.Rule = "gate.suspended"
	RuleExtraClaims   hufu.Rule = "gate.extra-claims" // discloses a claim that was not asked for

	// What the service behind the gate is refused by.
	RuleSession      hufu.Rule = "gate.session"       // asks in a way that there is not
	RuleNoSession    hufu.Rule = "gate.no-session"    // no such session, or forgotten
	RuleResponseCode hufu.Rule = "gate.response-code" // the result is for whoever came back with the code

	// Replaying a receipt.
	RuleReplayState   hufu.Rule = "gate.replay-state"   // another ledger state than the receipt's
	RuleNotReplayable hufu.Rule = "gate.not-replayable" // decided by what only the gate's session knew
)
