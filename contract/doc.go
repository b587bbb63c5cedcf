// Package contract is the access contract: the rule of a door, written where everybody can read it.
//
// One TOML text says who owns the door, what it is for, what it asks a visitor to show (a DCQL query,
// OpenID4VP 1.0 §6), when it opens (Cedar policies) and within which bounds. [Parse] reads the text
// and reports everything wrong with it at once, [Check] holds it against the published credential
// types, [Decide] is the only judge of whether the door opens. All three are pure: the ledger, a
// gate and an auditor who replays a receipt come to the same answer from the same values.
//
// # What a policy may speak of
//
//	principal   Person::"holder", whoever presents
//	action      Action::"enter"
//	resource    Door::"<id of the contract>"
//
//	context.<credential>.<claim>      a requested claim; nested claims are nested records and a claim
//	                                  whose name is no identifier is written person["x-1"]
//	context.<credential>.issuer       String, the issuer's DID
//	context.<credential>.assurance    String, assurance of the credential's type: low, substantial, high
//	context.now                       datetime, whole seconds
//	context.staleness                 Long, age in seconds of the ledger state relied upon
//
// A claim of type string is a String, bool a Bool, int a Long, date a datetime at midnight UTC, an
// array a Set, an object a Record. What may be absent (a credential of an optional set, a claim that
// is not in every claim set, a member of an object asked for as a whole) is used behind "has":
//
//	permit (principal, action, resource)
//	when { context has guardian && context.guardian.relation == "parent" };
//
// Cedar denies by default and a matching forbid wins. Beyond Cedar: a policy that fails to evaluate
// never permits, and a forbid that fails to evaluate denies.
//
// # Trust boundary
//
// The text comes from a stranger; its size, nesting and number of everything are capped before a
// recursive parser sees it. [Facts] come from the caller, who has checked signatures, key binding,
// accreditation and status: a wrong fact is a wrong decision. What Decide can check again without
// believing anybody it does check again: presence and type of every claim that was asked for.
package contract
