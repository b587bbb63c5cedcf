// Package issuer is the agency that attests what is true of people: it enrols them from a register,
// gives their wallets credentials, and keeps the status of what it gave on the ledger.
//
// A person's file never leaves the agency and is encrypted under a key of its own: the database
// shows neither who is in it nor which status entries somebody holds, and erasing a person is
// destroying one key. Each reading of a file has a purpose and leaves a record of the access.
//
// Wallets get credentials in two ways. [Service.Issue] gives them to whoever the caller vouches for.
// With an [Exchange], the issuer speaks OpenID4VCI 1.0 over HTTP, with an authorization server of its
// own: it knows whose a wallet is because the wallet took an offer that was handed to the person, or
// because the person signed in and agreed. The methods that do this take and return messages; HTTP is
// in the files that begin with http.
//
// What is trusted: the register that is enrolled, the master key, the clock, and the wallet providers
// in the configuration for what they attest. What is not: whoever asks for a credential, before each
// holder key is proven or attested under a fresh nonce, and whoever reads the database, which holds of
// every secret a digest. What is good once is used up in the database, so once for all processes of the
// issuer. The ledger is reached through a client that checks every answer.
package issuer
