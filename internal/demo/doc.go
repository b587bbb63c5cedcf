// Package demo tells the whole story of Hufu on real parts: a network starts as a process of its own,
// an agency is accredited, people are enrolled, their wallets take up offers of credentials from the
// agency's server, doors open for the right ones and stay shut for everyone else, every known attack is
// tried, the node is killed, verification goes on offline, and an audit replays the ledger from genesis.
// Whatever is not as it must be makes the demonstration fail.
//
// The agency and each service serve on an origin of their own on loopback, in this process, with the same
// server that "hufu issuer serve" and "hufu gate serve" run. Wallets meet them over HTTP alone, by OpenID4VCI and
// OpenID4VP; what the agency and the services order from their own side (an offer, a session, a revocation)
// they do by a call, as their back offices do.
package demo
