// Package gov is the ledger's room for the members: who they are, what they decide together, and how
// much of the ledger each may use.
//
// Members propose and vote, one member one vote. A proposal that reaches the threshold, counted over
// the members of that moment, is executed at once, in the same block, all of its actions or none.
// What an execution changes names the proposal, so every change of trust can be followed to the
// votes for it. A deciding vote whose actions the state refuses is refused itself, with their rule.
//
// What is open can be listed ([OpenProposals]): each member has a record that names its open proposals, and
// former members have one together. They are bounded, and end by themselves.
//
// Capacity is metered, not sold: each member has units per epoch for what it authors or co-signs, and
// apart from them open units for identifiers that name it without its signature.
//
// The package does not know what accreditations are; whoever calls [Apply] brings what executes them.
package gov
