package tx

import (
	"slices"

	"github.com/hufu-id/hufu"
)

// TrustType publishes a credential type, or its next version.
type TrustType struct {
	VCT       string        `cbor:"1,keyasint"` // the credential's "vct" (SD-JWT VC §3.2.2.1.1)
	Version   uint32        `cbor:"2,keyasint"` // from 1, consecutive
	Display   []TypeDisplay `cbor:"3,keyasint"`
	Assurance string        `cbor:"4,keyasint"` // AssuranceLow, AssuranceSubstantial or AssuranceHigh
	Claims    []Claim       `cbor:"5,keyasint"`
}

// TypeDisplay names a credential type in one language (RFC 5646 tag).
type TypeDisplay struct {
	Lang        string `cbor:"1,keyasint"`
	Name        string `cbor:"2,keyasint"`
	Description string `cbor:"3,keyasint,omitempty"`
}

// Claim is one claim that credentials of a type hold.
type Claim struct {
	Path      []string       `cbor:"1,keyasint"` // member names from the credential's root
	Type      string         `cbor:"2,keyasint"` // ClaimString and its like
	Display   []ClaimDisplay `cbor:"3,keyasint,omitempty"`
	Selective string         `cbor:"4,keyasint"` // SelectiveAlways and its like (SD-JWT VC §9.3)
}

// ClaimDisplay labels a claim in one language.
type ClaimDisplay struct {
	Lang  string `cbor:"1,keyasint"`
	Label string `cbor:"2,keyasint"`
}

// Assurance levels of a credential type, lowest first.
const (
	AssuranceLow         = "low"
	AssuranceSubstantial = "substantial"
	AssuranceHigh        = "high"
)

// Types of claims.
const (
	ClaimString  = "string"
	ClaimBool    = "bool"
	ClaimInt     = "int"     // within ±2^53, what JSON carries exactly
	ClaimDate    = "date"    // YYYY-MM-DD
	ClaimObject  = "object"  // its members have paths of their own
	ClaimStrings = "strings" // an array of strings
)

// Whether a claim is selectively disclosable (SD-JWT VC §9.3).
const (
	SelectiveAlways  = "always"
	SelectiveAllowed = "allowed"
	SelectiveNever   = "never"
)

// Grant is what an accreditation allows.
type Grant struct {
	Types     []string `cbor:"1,keyasint"`           // vcts, ascending
	Delegate  uint8    `cbor:"2,keyasint,omitempty"` // how many further levels the subject may accredit
	NotBefore int64    `cbor:"3,keyasint"`           // unix seconds
	NotAfter  int64    `cbor:"4,keyasint"`           // unix seconds, the last at which it holds
}

// TrustAccredit passes a grant of the author's on to Subject.
type TrustAccredit struct {
	Subject hufu.ID `cbor:"1,keyasint"`
	Grant   Grant   `cbor:"2,keyasint"`
}

// TrustWithdraw ends what the author granted to Subject for one type.
type TrustWithdraw struct {
	Subject hufu.ID     `cbor:"1,keyasint"`
	Type    string      `cbor:"2,keyasint"`           // vct
	From    hufu.Height `cbor:"3,keyasint,omitempty"` // effective from that height; 0: from this block
	Stand   bool        `cbor:"4,keyasint,omitempty"` // credentials issued before stand
}

// Kind is [KindTrustType].
func (*TrustType) Kind() Kind { return KindTrustType }

// Kind is [KindTrustAccredit].
func (*TrustAccredit) Kind() Kind { return KindTrustAccredit }

// Kind is [KindTrustWithdraw].
func (*TrustWithdraw) Kind() Kind { return KindTrustWithdraw }

// Validate implements [Body].
func (b *TrustType) Validate() error {
	if err := checkVCT(b.VCT); err != nil {
		return err
	}
	if b.Version == 0 {
		return invalid("versions count from 1")
	}
	switch b.Assurance {
	case AssuranceLow, AssuranceSubstantial, AssuranceHigh:
	default:
		return invalid("an unknown assurance level")
	}
	if len(b.Display) == 0 || len(b.Display) > MaxLanguages {
		return invalid("%d displays of a type, not 1 to %d", len(b.Display), MaxLanguages)
	}
	for i, d := range b.Display {
		if i > 0 && b.Display[i-1].Lang >= d.Lang {
			return invalid("displays not in ascending order of language")
		}
		if err := checkLang(d.Lang); err != nil {
			return err
		}
		if err := checkText("type name", d.Name, MaxLabel); err != nil {
			return err
		}
		if d.Description != "" {
			if err := checkText("type description", d.Description, MaxDescription); err != nil {
				return err
			}
		}
	}
	return checkClaims(b.Claims)
}

func checkClaims(claims []Claim) error {
	if len(claims) == 0 || len(claims) > MaxClaims {
		return invalid("%d claims, not 1 to %d", len(claims), MaxClaims)
	}
	for i := range claims {
		if i > 0 && slices.Compare(claims[i-1].Path, claims[i].Path) >= 0 {
			return invalid("claims not in ascending order of path")
		}
		if err := claims[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Claim) validate() error {
	if len(c.Path) == 0 || len(c.Path) > MaxClaimDepth {
		return invalid("a claim path of %d components, not 1 to %d", len(c.Path), MaxClaimDepth)
	}
	for _, name := range c.Path {
		if err := checkText("claim name", name, MaxClaimName); err != nil {
			return err
		}
	}
	switch c.Type {
	case ClaimString, ClaimBool, ClaimInt, ClaimDate, ClaimObject, ClaimStrings:
	default:
		return invalid("an unknown claim type")
	}
	switch c.Selective {
	case SelectiveAlways, SelectiveAllowed, SelectiveNever:
	default:
		return invalid("an unknown rule of disclosure")
	}
	if len(c.Display) > MaxLanguages {
		return invalid("%d labels of a claim, more than %d", len(c.Display), MaxLanguages)
	}
	for i, d := range c.Display {
		if i > 0 && c.Display[i-1].Lang >= d.Lang {
			return invalid("labels not in ascending order of language")
		}
		if err := checkLang(d.Lang); err != nil {
			return err
		}
		if err := checkText("claim label", d.Label, MaxLabel); err != nil {
			return err
		}
	}
	return nil
}

// Validate implements [Body].
func (b *TrustAccredit) Validate() error {
	if err := checkID("subject", b.Subject); err != nil {
		return err
	}
	g := &b.Grant
	switch {
	case len(g.Types) == 0 || len(g.Types) > MaxGrantTypes:
		return invalid("%d types granted, not 1 to %d", len(g.Types), MaxGrantTypes)
	case g.Delegate > MaxDelegate:
		return invalid("delegation over %d levels, more than %d", g.Delegate, MaxDelegate)
	case g.NotBefore < 0 || g.NotAfter > MaxUnixTime || g.NotBefore > g.NotAfter:
		return invalid("a grant valid from %d to %d", g.NotBefore, g.NotAfter)
	}
	for i, vct := range g.Types {
		if i > 0 && g.Types[i-1] >= vct {
			return invalid("granted types not in ascending order")
		}
		if err := checkVCT(vct); err != nil {
			return err
		}
	}
	return nil
}

// Validate implements [Body].
func (b *TrustWithdraw) Validate() error {
	if err := checkID("subject", b.Subject); err != nil {
		return err
	}
	return checkVCT(b.Type)
}
