// Package gate is the role of a verifier: it stands in front of a service, asks visitors for exactly what
// its access contract on the ledger asks for, and lets in whom that contract lets in.
//
// A gate can ask for nothing else: [Gate.OpenSession] and [Gate.Request] take the name of a published contract
// and no query. Any wallet of OpenID4VP 1.0 can be asked, by link, QR code or browser, for SD-JWT VC or for
// the same in mdocs, with answers encrypted to a key of the session's own.
// [Gate.Answer] checks an answer in a fixed order, cheap first: request known, unanswered and in time;
// form; times; key binding (audience, nonce, freshness, hash of disclosures); issuer's key as of issuance;
// accreditation for the type; status; no claim beyond the query; and last the contract, which is the
// only judge. All facts about the world come from one verified view of the ledger, online or from a
// snapshot, and the age of that view is held against the contract's bound and reported.
//
// Every outcome, refusals too, is a signed receipt that the visitor gets and the gate keeps. Neither the
// store nor a log is given a claim; a presentation is forgotten when the call returns. Claims that the
// service behind the gate asked for wait for it sealed to a secret that only the service has. [Replay] decides
// again from a receipt, the presentations it commits to and the ledger at that height.
//
// Trust boundary: whatever comes from the visitor is hostile; the ledger is believed only through a view
// that has been proven; the clock and the gate's own key are trusted.
package gate
