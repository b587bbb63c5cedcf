// Package mdoc makes and reads credentials in the mobile document format of ISO/IEC 18013-5
// (mso_mdoc): an issuer issues batches, a holder presents chosen elements, a verifier learns what was
// shown and that it is true. It is package sdjwt's counterpart and says the same things of the same
// people in the other format.
//
// An mdoc is data elements, each with a random salt and a digest, under a mobile security object that
// the issuer signs (§9.1.2). The holder's key signs the transcript of the session, so a presentation
// is for one verifier and one request (§9.1.3). Here the transcript is one of OpenID4VP 1.0 Appendix
// B.2.6; proximity is not supported, nor device authentication by MAC, which needs a verifier's key
// that OpenID4VP has not.
//
// On this network, the document type and the one namespace are the credential type's vct, and the
// claim a.b is the element "a.b"; see [ElementsOf] and [Verified.Claims]. Documents of other issuers,
// with namespaces of their own, are read too.
//
// Trust: [Verify] believes nothing in a presentation. What was signed is judged as the bytes that came,
// never as written again; the issuer is the identifier under which its certificate chain verifies
// (package x5c); and a status that cannot be looked up is refused. Accreditation, status and contract are
// left to the caller.
//
// The package is pure: time and randomness are arguments.
package mdoc
