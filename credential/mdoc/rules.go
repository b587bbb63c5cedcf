package mdoc

import "github.com/hufu-id/hufu"

// Limits on what is read. They are checked before anything is hashed or decoded.
const (
	MaxSize       = 192 << 10 // bytes of a document; portraits are most of the large ones
	MaxElements   = 512       // elements shown in one document
	MaxDigests    = 2048      // digests in one security object
	MinSalt       = 16        // bytes of an element's salt (ISO/IEC 18013-5 §9.1.2.5)
	MaxIdentifier = 1024      // bytes of a document type, namespace or element identifier
)

// Format is the credential format identifier of OpenID4VCI and OpenID4VP.
const Format = "mso_mdoc"

// The rules a document or presentation can be refused by, in the order of the checks.
const (
	// Form.
	RuleTooLarge   hufu.Rule = "mdoc.too-large"   // over MaxSize, MaxElements or MaxDigests
	RuleMalformed  hufu.Rule = "mdoc.malformed"   // not the structure of ISO/IEC 18013-5
	RuleVersion    hufu.Rule = "mdoc.version"     // another major version than 1
	RuleAnswer     hufu.Rule = "mdoc.answer"      // a response with an error, or not with exactly one document
	RuleDigestAlg  hufu.Rule = "mdoc.digest-alg"  // digests by another algorithm than SHA-256
	RuleSalt       hufu.Rule = "mdoc.salt"        // a salt that is too short to hide the value
	RuleValue      hufu.Rule = "mdoc.value"       // an element's value has no JSON form
	RuleTwice      hufu.Rule = "mdoc.twice"       // one element or one digest twice
	RuleStatusForm hufu.Rule = "mdoc.status-form" // status is no reference to a status list
	RuleDocType    hufu.Rule = "mdoc.doctype"     // not the document type that was signed, or not the one expected
	// Times.
	RuleExpired     hufu.Rule = "mdoc.expired"
	RuleNotYetValid hufu.Rule = "mdoc.not-yet-valid"
	RuleFuture      hufu.Rule = "mdoc.future" // signed in the future
	// Digests.
	RuleUnsigned hufu.Rule = "mdoc.unsigned-element" // an element that the issuer signed no digest for
	RuleDigest   hufu.Rule = "mdoc.digest"           // an element that is not what the issuer signed
	// The holder.
	RuleDeviceKey       hufu.Rule = "mdoc.device-key"       // no usable key, or not the expected one
	RuleDeviceMissing   hufu.Rule = "mdoc.device-missing"   // no device signature
	RuleDeviceMAC       hufu.Rule = "mdoc.device-mac"       // authenticated by MAC, which is not supported
	RuleDeviceElements  hufu.Rule = "mdoc.device-elements"  // elements that the holder added
	RuleDeviceSignature hufu.Rule = "mdoc.device-signature" // not the holder's signature over this session's transcript
	// The issuer. Its certificates are refused by the rules of package x5c.
	RuleIssuerAuth   hufu.Rule = "mdoc.issuer-auth"   // no COSE_Sign1 message with certificates
	RuleSignedThen   hufu.Rule = "mdoc.signed-then"   // signed when the certificate did not hold
	RuleSignature    hufu.Rule = "mdoc.signature"     // not signed by the certificate's key
	RuleUnknownClaim hufu.Rule = "mdoc.unknown-claim" // an element to show that the document has not
)
