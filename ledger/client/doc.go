// Package client writes to the ledger and reads from it without believing the node it talks to.
//
// A [Client] follows the headers of a network from a trusted genesis or checkpoint by the rules of a
// light client, and gives out only records whose Merkle proof ends in an app hash that more than 2/3
// of the voting power signed, with the height and time they hold for. Transactions are reported as
// included only when the block's data hash and the next header's results hash say so.
//
// Trust boundary: nothing a [Transport] returns is believed. What a node can still do is to be
// silent, late or to refuse a transaction before it is in a block; a refusal at admission is the
// node's own word, as is the text of any refusal (its rule, once in a block, is proven). A lie ends
// in a refusal by a client.* rule.
package client
