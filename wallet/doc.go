// Package wallet is the role of the holder: it keeps a person's credentials and the keys they are bound
// to, and answers gates.
//
// It answers a gate only when the request is signed by the gate's key on the ledger and equals, member
// for member, the current version of a contract that the gate published there. It then shows the least
// that opens the door. Each copy of a credential is shown once, and a key that was used at one gate is
// never used at another, so two gates, or two visits, have nothing to recognise the person by.
//
// Every request and what was answered, refusals too, is in the wallet's own log. Receipts are checked
// when they come in (signed by the gate, for this request, committing to what was shown) and kept with
// the presentations they commit to: the person's half of the record.
//
// Trust boundary: gates, issuers and networks are hostile. The ledger is believed only through a verified
// view. What the wallet holds is secret; on disk it is sealed, see [OpenFile].
package wallet
