// Package wallet is the role of the holder: it keeps a person's credentials and the keys they are bound
// to, gets them from issuers, and answers verifiers. It speaks OpenID4VCI 1.0 and OpenID4VP 1.0, so issuers and
// verifiers of other networks work too, and holds SD-JWT VCs and mdocs.
//
// A verifier that the ledger knows is answered only when its request is signed by its key there and equals
// the current version of a contract that it published. It then gets the least that opens the door. A
// stranger, whom the ledger does not know, is answered only when the person agreed after having been
// told so: [Wallet.Consider] says who asks, for what, and what would be shown; [Wallet.Agree] shows it.
// Each copy of a credential is shown once, and a key that was used at one verifier is never used at
// another, so two verifiers, or two visits, have nothing to recognise the person by. Copies that run low
// are fetched anew.
//
// Every request and what was answered, refusals too, is in the wallet's own log. Receipts are checked
// when they come in (signed by the gate, for this request, committing to what was shown) and kept with
// the presentations they commit to: the person's half of the record.
//
// Trust boundary: verifiers, issuers and networks are hostile. The ledger is believed only through a verified
// view. What a gate staples to its request is one, if it is fresh enough, and then no node learns of the visit; it also
// serves in an outage, within the bound of the gate's contract ([StapleFresh], [RuleStale]). What the wallet holds is secret; on disk it is sealed, see [OpenFile].
package wallet
