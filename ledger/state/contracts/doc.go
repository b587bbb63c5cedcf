// Package contracts keeps the published access contracts: what a service may ask of people, in words
// that everybody can read and that nobody can change afterwards.
//
// A contract is published by its owner, whose DID stands in the text, under a name of its own. Each
// version is a record that stays as it is; the head beside them names the newest one and says whether
// the contract was retired, which is for good. Versions follow each other without gaps, so there are
// never two of one id.
//
// Publication is the moment of judgement: a text that does not parse, or that speaks of a credential
// type or claim that is not published at that moment, never enters the state (package contract says
// what is wrong, with line and column). Readers may therefore rely on every text they find here being
// a contract. Credential types may later gain claims but never lose or change any, so a contract that
// was right stays right.
package contracts
