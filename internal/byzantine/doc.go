// Package byzantine is members of a network that do as they like: a validator's key that signs twice, a proposer that
// fills blocks with what may not be in them, a peer that sends garbage or forged transactions. They are made of the
// engine's and the ledger's own parts, so that they speak to honest nodes as those do, up to the point where they
// lie. Nothing of the product can be told to be like them.
package byzantine
