// Package hufu holds the nouns of the Hufu identity network: the words that every other
// package shares. Page one for a newcomer.
//
// Members run a ledger together. Issuers, accredited on that ledger, attest what is true of
// people. A holder keeps those attestations in a wallet. A gate, in front of a service, publishes
// an access contract and lets in whoever satisfies it. An auditor checks all of them. The ledger
// records every change of trust and nothing about any person.
//
// This package imports the standard library alone and is pure.
package hufu

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Network names one ledger, for example "demo" or "cn-pilot". It is part of every identifier and
// of every signature, so nothing signed for one network means anything on another.
type Network string

// MaxNetworkLen bounds a network's name; CometBFT refuses a chain id above 50 bytes.
const MaxNetworkLen = 40

// Valid reports whether n is 1 to [MaxNetworkLen] characters of a-z, 0-9 and "-", neither first
// nor last a "-".
func (n Network) Valid() bool {
	if n == "" || len(n) > MaxNetworkLen || n[0] == '-' || n[len(n)-1] == '-' {
		return false
	}
	for _, c := range []byte(n) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// Height numbers the ledger's blocks from 1.
type Height uint64

// Digest is a SHA-256 digest: a transaction's id, a contract's hash, an app hash.
type Digest [32]byte

// String is the lower-case hexadecimal form.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the hexadecimal form, so digests read well in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return fmt.Errorf("hufu: a digest has %d hexadecimal digits, not %d", 2*len(d), len(text))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// DID is a decentralized identifier, did:hufu:<network>:<id>, where id is the multibase
// (base58btc) form of the 32-byte digest of the identifier's inception event (DID Core 1.0 §3.1).
// On the ledger itself an identifier is those 32 bytes, an [ID].
type DID string

// ID is the 32-byte ledger form of a [DID]: the digest of its inception event.
type ID [32]byte

// IsZero reports whether the identifier is unset.
func (id ID) IsZero() bool { return id == ID{} }

const didPrefix = "did:hufu:"

// DID returns the textual identifier of id on network n.
func (id ID) DID(n Network) DID {
	return DID(didPrefix + string(n) + ":" + EncodeMultibase(id[:]))
}

// Parse splits d into its network and 32-byte identifier.
func (d DID) Parse() (Network, ID, error) {
	rest, ok := strings.CutPrefix(string(d), didPrefix)
	if !ok {
		return "", ID{}, fmt.Errorf("hufu: %q is not a did:hufu identifier", clip(string(d)))
	}
	net, enc, ok := strings.Cut(rest, ":")
	if !ok || !Network(net).Valid() {
		return "", ID{}, fmt.Errorf("hufu: %q names no valid network", clip(string(d)))
	}
	raw, err := DecodeMultibase(enc, len(ID{}))
	if err != nil {
		return "", ID{}, fmt.Errorf("hufu: identifier in %q: %w", clip(string(d)), err)
	}
	var id ID
	if len(raw) != len(id) {
		return "", ID{}, fmt.Errorf("hufu: %q has an identifier of %d bytes, not %d", clip(string(d)), len(raw), len(id))
	}
	copy(id[:], raw)
	return Network(net), id, nil
}

// URL is the DID URL of one verification method of d: d#fragment (DID Core 1.0 §3.2).
func (d DID) URL(fragment string) string { return string(d) + "#" + fragment }

// SplitDIDURL splits a DID URL with a fragment, as used in the kid of a JWS, into both parts.
func SplitDIDURL(u string) (did DID, fragment string, err error) {
	head, frag, ok := strings.Cut(u, "#")
	if !ok || frag == "" || strings.ContainsAny(head, "/?") || strings.Contains(frag, "#") {
		return "", "", fmt.Errorf("hufu: %q is not a DID URL with a fragment", clip(u))
	}
	return DID(head), frag, nil
}

// ContractID names an access contract: its owner's DID and a name the owner chose, written as a
// DID URL path, did:hufu:<network>:<id>/contracts/<name>.
type ContractID struct {
	Owner DID
	Name  string
}

const contractPath = "/contracts/"

// String is the DID URL form.
func (c ContractID) String() string { return string(c.Owner) + contractPath + c.Name }

// ParseContractID reads the form that String writes. The name is checked by package contract.
func ParseContractID(s string) (ContractID, error) {
	owner, name, ok := strings.Cut(s, contractPath)
	if !ok || name == "" || strings.ContainsAny(name, "/?#") {
		return ContractID{}, fmt.Errorf("hufu: %q is not a contract identifier", clip(s))
	}
	if _, _, err := DID(owner).Parse(); err != nil {
		return ContractID{}, err
	}
	return ContractID{Owner: DID(owner), Name: name}, nil
}

// MarshalText writes the DID URL form.
func (c ContractID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the DID URL form.
func (c *ContractID) UnmarshalText(text []byte) (err error) {
	*c, err = ParseContractID(string(text))
	return err
}

// Status is the state of one credential, with the values of Token Status List §7.1.
type Status uint8

// The three states a Hufu status list can hold.
const (
	StatusValid     Status = 0 // may be relied upon
	StatusRevoked   Status = 1 // final: never becomes anything else (INVALID in the standard)
	StatusSuspended Status = 2 // may become valid again
)

// String is the field's word for the status.
func (s Status) String() string {
	switch s {
	case StatusValid:
		return "valid"
	case StatusRevoked:
		return "revoked"
	case StatusSuspended:
		return "suspended"
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// AsOf says for which state of the ledger an answer holds. Every proven read carries one.
type AsOf struct {
	Height  Height    `json:"height"`   // the block after which the state was this
	Time    time.Time `json:"time"`     // that state's time: the header that commits to AppHash
	AppHash Digest    `json:"app_hash"` // root of the state, signed in the header of Height+1
}

// Decision is the answer of an access contract.
type Decision bool

// The two answers. The zero value is the safe one.
const (
	Deny  Decision = false
	Allow Decision = true
)

// String is "allow" or "deny".
func (d Decision) String() string {
	if d == Allow {
		return "allow"
	}
	return "deny"
}

// MarshalText writes "allow" or "deny".
func (d Decision) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "allow" or "deny" and nothing else.
func (d *Decision) UnmarshalText(text []byte) error {
	switch string(text) {
	case "allow":
		*d = Allow
	case "deny":
		*d = Deny
	default:
		return fmt.Errorf("hufu: %q is neither allow nor deny", clip(string(text)))
	}
	return nil
}

// Rule is the stable name of a rule that something can be refused by, "<area>.<rule>", for example
// "tx.expired" or "status.revoked-is-final". Programs act on it; people read the detail.
type Rule string

// Refusal is the error of everything that was understood and refused: by the ledger, a verifier, a
// contract or a wallet. Detail never holds personal data or secrets.
type Refusal struct {
	Rule   Rule
	Detail string
}

// Refuse makes a [Refusal]. The format's arguments must hold no personal data.
func Refuse(rule Rule, format string, args ...any) error {
	return &Refusal{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// Error is "<rule>: <detail>".
func (r *Refusal) Error() string { return string(r.Rule) + ": " + r.Detail }

// Is reports whether target is a refusal by the same rule, so errors.Is works on rules.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Rule == r.Rule
}

// RuleOf returns the rule that err was refused by, or "" when err is no refusal.
func RuleOf(err error) Rule {
	if err == nil {
		return "" // mostly, and without taking memory
	}
	var r *Refusal
	if errors.As(err, &r) {
		return r.Rule
	}
	return ""
}

// clip keeps attacker-chosen text in errors short.
func clip(s string) string {
	const most = 96
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
