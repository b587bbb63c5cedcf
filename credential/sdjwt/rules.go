package sdjwt

import (
	"time"

	"github.com/hufu-id/hufu"
)

// Limits on what is read. They are checked before anything is hashed or decoded.
const (
	MaxSize        = 64 << 10 // bytes of a whole SD-JWT with key binding
	MaxDisclosures = 512      // disclosures in one SD-JWT
	MaxDigests     = 2048     // digests and decoys in one SD-JWT, in payload and disclosures together
)

// DefaultMaxKBAge is the age up to which a key binding is fresh when [VerifyParams] does not say.
const DefaultMaxKBAge = 5 * time.Minute

// Media types ("typ" headers).
const (
	MediaType           = "dc+sd-jwt" // the credential (SD-JWT VC, Media Type)
	KeyBindingMediaType = "kb+jwt"    // the key binding JWT (RFC 9901 §4.3)
)

// The rules a credential or presentation can be refused by, in the order of the checks.
const (
	// Form.
	RuleTooLarge      hufu.Rule = "credential.too-large"       // over MaxSize, MaxDisclosures or MaxDigests
	RuleTooDeep       hufu.Rule = "credential.too-deep"        // JSON nested deeper than encoding.MaxJSONDepth
	RuleMalformed     hufu.Rule = "credential.malformed"       // not the one spelling of an SD-JWT, or a claim of the wrong type
	RuleDuplicateName hufu.Rule = "credential.duplicate-name"  // a JSON object with a member name twice
	RuleHeader        hufu.Rule = "credential.header"          // crit or another header that changes the processing
	RuleAlg           hufu.Rule = "credential.alg"             // an algorithm that is none of ours or not the key's
	RuleMediaType     hufu.Rule = "credential.media-type"      // another typ than the one expected
	RuleHashAlg       hufu.Rule = "credential.hash-alg"        // _sd_alg is not sha-256, or not at the top level
	RuleDigests       hufu.Rule = "credential.digests"         // _sd or ... of the wrong form
	RuleDigestTwice   hufu.Rule = "credential.digest-twice"    // one digest in two places, or one disclosure twice
	RuleDisclosure    hufu.Rule = "credential.disclosure"      // a disclosure of the wrong form for its place
	RuleClaimName     hufu.Rule = "credential.claim-name"      // a disclosure named _sd, _sd_alg or ...
	RuleCollision     hufu.Rule = "credential.claim-collision" // a disclosure of a claim that is there already
	RuleUnreferenced  hufu.Rule = "credential.unreferenced"    // a disclosure that no digest refers to
	RuleRegistered    hufu.Rule = "credential.registered"      // iss, vct, cnf, nbf, exp or status made selectively disclosable
	RuleHolderKey     hufu.Rule = "credential.holder-key"      // cnf has no usable key, or not the expected one
	RuleStatusForm    hufu.Rule = "credential.status-form"     // status is no reference to a status list
	// Times.
	RuleExpired     hufu.Rule = "credential.expired"
	RuleNotYetValid hufu.Rule = "credential.not-yet-valid"
	RuleFuture      hufu.Rule = "credential.future" // issued in the future
	// Key binding.
	RuleKeyBindingMissing    hufu.Rule = "credential.key-binding-missing"
	RuleKeyBindingUnexpected hufu.Rule = "credential.key-binding-unexpected" // where a holder receives a credential
	RuleAudience             hufu.Rule = "credential.audience"
	RuleNonce                hufu.Rule = "credential.nonce"
	RuleStalePresentation    hufu.Rule = "credential.stale-presentation"
	RuleFuturePresentation   hufu.Rule = "credential.future-presentation"
	RuleSDHash               hufu.Rule = "credential.sd-hash" // bound to another credential or other disclosures
	RuleKeyBindingSignature  hufu.Rule = "credential.key-binding-signature"
	// Issuer.
	RuleIssuerKey hufu.Rule = "credential.issuer-key" // the resolver found no key; what it refuses itself passes as it is
	RuleSignature hufu.Rule = "credential.signature"
	// Presenting.
	RuleUnknownClaim hufu.Rule = "credential.unknown-claim" // a path to disclose selects nothing
)
