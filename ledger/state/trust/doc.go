// Package trust says which credentials mean what, and who may issue them: published credential types
// and accreditation chains.
//
// Members publish types; a type's next version may only add to it, so what relied on the last one
// still holds. An accreditation is a grant for one type to one subject, made by the members together
// or passed on by a subject that was allowed to: never for longer than the grant it comes from, and
// over fewer levels. Each grant names the grant above it, so [Chain] walks one path to the members,
// and every link says who made it, in which transaction and under which proposal.
//
// A grant ends by lapsing, or by withdrawal from a height. After either nothing issued later counts;
// what was issued before still counts after a lapse, and after a withdrawal if it says so. A
// credential's time of issuance is its issuer's own word: where that word is not good any more, the
// withdrawal has to say that nothing stands.
package trust
