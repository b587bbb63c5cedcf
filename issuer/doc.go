// Package issuer is the agency that attests what is true of people: it enrols them from a register,
// gives their wallets credentials, and keeps the status of what it gave on the ledger.
//
// A person's file never leaves the agency and is encrypted under a key of its own: the database
// shows neither who is in it nor which status entries somebody holds, and erasing a person is
// destroying one key. Each reading of a file has a purpose and leaves a record of the access.
//
// What is trusted: the register that is enrolled, the master key, the clock. What is not: whoever
// asks for a credential, before each holder key is proven under a fresh nonce. Authorising the
// request, that is deciding that a wallet is this person's, is the caller's. The ledger is reached
// through a client that checks every answer.
package issuer
