package machine

// Upgrades names the upgrades of the rules that these rules have, oldest first. The members vote on a name
// and a height: from that block on it holds, and headers name the next version. A program that does not
// have it stops before that block.
//
// A release that changes what any transaction does adds a name here, and keeps the rules from before it for
// the heights before it.
func Upgrades() []string { return nil }
