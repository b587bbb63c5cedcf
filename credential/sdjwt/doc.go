// Package sdjwt issues, presents and verifies credentials as SD-JWT VC: JSON tokens whose claims the
// holder discloses one by one (RFC 9901) with the rules for credentials on top (SD-JWT VC draft,
// media type dc+sd-jwt).
//
// An issuer signs digests of salted claims instead of the claims. The holder passes on the salted
// claims, the disclosures, that a verifier is to see and signs that choice for this verifier and this
// moment with the key the credential is bound to (the key binding JWT). Every claim is selectively
// disclosable unless the issuer says otherwise, inside objects and arrays too.
//
// Nothing read here is to be believed before [Verify] returns. Its checks have a fixed order, cheap
// first: form, times, key binding, the issuer's key as of issuance, the issuer's signature. The
// algorithm comes from the key, never from the token alone. Whether the issuer was accredited and
// whether the credential is still valid are the caller's next questions. Refusals name a rule and no
// claim.
//
// Linkability is designed against: a holder uses each copy once, and the copies of a batch share no
// salt, key, status index or decoy. What they do share is what the caller passes in, above all the
// times: round them (iat down, exp up, for example to the day, as long as the issuer's key and
// accreditation were valid at the rounded iat), or copies of one batch are recognised by the second
// they were issued in.
//
// The package is pure: time and randomness are arguments. Numbers among claims are json.Number.
package sdjwt
