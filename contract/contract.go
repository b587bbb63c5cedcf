package contract

import (
	"crypto/sha256"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
)

// Language is the version of the contract language that this package reads. A contract names its
// language so that its meaning stays the same when the language grows.
const Language = "hufu-contract/1"

// Limits of a contract. A contract is parsed by every validator when it is published and evaluated
// at every door, so each limit is a few times what a contract that people can read needs.
const (
	MaxText         = 32 << 10 // bytes; half of the largest transaction
	MaxNesting      = 32       // of brackets, if and unary operators in a policy: parser and evaluator recurse
	MaxTOMLNesting  = 4        // of arrays and inline tables; the language uses 1
	MaxPolicies     = 64       // every one is evaluated at each decision
	MaxPolicyTokens = 1024     // of one policy: bounds the length of operator chains, which nest as well
	MaxLanguages    = 32       // of titles, purposes and retention statements
	MaxStatement    = 2048     // bytes of one such statement
	MaxIssuers      = 64       // named for one credential
	MaxDuration     = 30 * 24 * time.Hour
	maxNameLen      = 64
)

// Contract is a parsed access contract. It is read-only and may be used concurrently.
type Contract struct {
	Name    string // its id, unique among the owner's contracts
	Version uint32 // from 1
	Owner   hufu.DID

	Title, Purpose, Retention []Statement // sorted by language; each has "en"

	Query     *dcql.Query // what the door asks for
	QueryJSON []byte      // the query as it is written

	Requirements []Requirement // one for each of Query.Credentials, in their order
	SameHolder   bool          // all credentials must be bound to one holder key
	MaxStaleness time.Duration // oldest ledger state a decision may rest on
	Grant        time.Duration // how long a granted entry lasts
	Policies     []Policy      // in the order of the text

	Hash hufu.Digest // of the exact text, see [Hash]

	source   source
	cedarAt  int     // where the policies begin in the text
	queryAt  int     // where the query begins
	asks     []asked // one for each of Query.Credentials
	resource cedar.EntityUID
}

// ID is the contract's identifier on the ledger.
func (c *Contract) ID() hufu.ContractID { return hufu.ContractID{Owner: c.Owner, Name: c.Name} }

// Statement is a text for people in one language.
type Statement struct {
	Language string // BCP 47 tag
	Text     string
}

// In returns the statement in a language, else in English.
func In(statements []Statement, language string) string {
	english := ""
	for _, s := range statements {
		if s.Language == language {
			return s.Text
		}
		if s.Language == "en" {
			english = s.Text
		}
	}
	return english
}

// Requirement is what a contract demands of one credential beyond its type and the accreditation of
// its issuer for that type, which every contract demands.
type Requirement struct {
	Credential string     // id of the credential query
	Assurance  string     // lowest acceptable assurance of the credential's type; empty: any
	Issuers    []hufu.DID // acceptable issuers; none: any accredited one
	at         int
}

// Policy is one Cedar policy of a contract.
type Policy struct {
	ID           string // its @id annotation, else "policy" and its place from 0
	Forbid       bool   // else it permits
	Line, Column int    // where it starts, in the contract's text

	compiled *cedar.Policy
	text     string // in Cedar
	at       int    // where it starts, in the contract's text
}

// Hash is the SHA-256 digest of a contract's exact text, by which receipts name it.
func Hash(text []byte) hufu.Digest { return sha256.Sum256(text) }

// The assurance levels of credential types, low to high (Regulation (EU) No 910/2014, Article 8).
const (
	AssuranceLow         = "low"
	AssuranceSubstantial = "substantial"
	AssuranceHigh        = "high"
)

// assuranceRank orders the assurance levels; anything else has rank 0.
func assuranceRank(level string) int {
	switch level {
	case AssuranceLow:
		return 1
	case AssuranceSubstantial:
		return 2
	case AssuranceHigh:
		return 3
	}
	return 0
}
