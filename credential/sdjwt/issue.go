package sdjwt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

// IssueParams is what a credential is to say.
type IssueParams struct {
	Type   string // vct
	Issuer string // iss: the issuer's DID
	KeyID  string // kid: the DID URL of Signer's key
	Signer keys.Signer
	// Chain, if set, leads from Signer's certificate to an authority of Issuer, in DER, the leaf first,
	// the authority's own left out (see package x5c). It becomes the x5c of the header.
	Chain [][]byte

	// Claims are the claims about the subject, as JSON values: nil, bool, string, json.Number, int,
	// int64, uint64, []any, []string, map[string]any. The claims that other fields stand for are
	// refused.
	Claims map[string]any
	// Disclosable says whether the claim at a path of names and indexes is to be selectively
	// disclosable by itself. nil: every claim, member and element is. It must not keep the path. See
	// [Except].
	Disclosable func(path Path) bool
	// Decoys, if positive, fills the digests of each object and array up to a multiple of itself with
	// digests of nothing, so that within that multiple their number says nothing.
	Decoys int

	HolderKey keys.PublicKey // cnf; the zero key makes a credential that anybody can present
	IssuedAt  time.Time      // iat; see the package's comment on rounding
	NotBefore time.Time      // nbf; zero: none
	ExpiresAt time.Time      // exp; zero: none
	Status    *StatusRef     // nil: none
}

// Copy is what one copy of a batch has for itself.
type Copy struct {
	HolderKey keys.PublicKey
	Status    *StatusRef
}

// Except makes a rule for [IssueParams] by which every claim is selectively disclosable except the
// ones at paths and all that is in them. A nil in a path stands for any element of an array.
func Except(paths ...Path) func(Path) bool {
	return func(path Path) bool {
		for _, p := range paths {
			if covers(p, path) {
				return false
			}
		}
		return true
	}
}

func covers(p, path Path) bool {
	if len(p) > len(path) {
		return false
	}
	for i, step := range p {
		if step == nil {
			if _, element := path[i].(int); element {
				continue
			}
		}
		if step != path[i] {
			return false
		}
	}
	return true
}

// Issue makes one credential. Errors are mistakes in p or failures of rand and the signer.
func Issue(rand io.Reader, p IssueParams) (string, error) {
	copies, err := issue(rand, p, []Copy{{HolderKey: p.HolderKey, Status: p.Status}})
	if err != nil {
		return "", err
	}
	return copies[0], nil
}

// IssueBatch makes one copy of the same credential for each holder key, with salts and decoys of
// its own. Status indexes come from the caller and should be drawn at random. p.HolderKey and
// p.Status must be unset; a holder key or a status entry used twice is refused, as it would link
// copies.
func IssueBatch(rand io.Reader, p IssueParams, copies []Copy) ([]string, error) {
	if !p.HolderKey.IsZero() || p.Status != nil {
		return nil, errors.New("sdjwt: in a batch, each copy has the holder key and the status")
	}
	holders := make(map[string]bool, len(copies))
	entries := make(map[StatusRef]bool, len(copies))
	for _, c := range copies {
		if c.HolderKey.IsZero() || holders[string(c.HolderKey.Multikey())] {
			return nil, errors.New("sdjwt: a copy without a holder key of its own")
		}
		holders[string(c.HolderKey.Multikey())] = true
		if c.Status == nil {
			continue
		}
		if entries[*c.Status] {
			return nil, errors.New("sdjwt: two copies with one status entry")
		}
		entries[*c.Status] = true
	}
	return issue(rand, p, copies)
}

// keyBindingRoom is what a credential leaves of MaxSize for the key binding.
const keyBindingRoom = 4 << 10

func issue(rand io.Reader, p IssueParams, copies []Copy) ([]string, error) {
	fixed, err := p.registered()
	if err != nil {
		return nil, err
	}
	plan, err := planClaims(p)
	if err != nil {
		return nil, err
	}
	header := jws.Header{"typ": MediaType}
	if p.KeyID != "" {
		header["kid"] = p.KeyID
	}
	if len(p.Chain) > 0 {
		header["x5c"] = x5c.Header(p.Chain...)
	}
	random := bufio.NewReaderSize(rand, 1<<10) // salts are small, sources such as the kernel's slow to call
	out := make([]string, len(copies))
	b := builder{rand: random, decoys: p.Decoys}
	for i, c := range copies {
		b.reset()
		payload, err := b.payload(plan, fixed, c)
		if err != nil {
			return nil, err
		}
		token, err := jws.Sign(rand, header, payload, p.Signer)
		if err != nil {
			return nil, err
		}
		size := len(token) + 1 + len(b.disclosures)
		if size > MaxSize-keyBindingRoom || b.count > MaxDisclosures || b.digests > MaxDigests {
			return nil, fmt.Errorf("sdjwt: a credential of %d bytes with %d disclosures and %d digests; at most %d, %d and %d",
				size, b.count, b.digests, MaxSize-keyBindingRoom, MaxDisclosures, MaxDigests)
		}
		out[i] = token + "~" + string(b.disclosures)
	}
	return out, nil
}

// registered writes the registered claims that all copies share, as members without a brace.
func (p *IssueParams) registered() ([]byte, error) {
	switch {
	case p.Signer == nil:
		return nil, errors.New("sdjwt: no Signer")
	case p.Type == "" || p.Issuer == "":
		return nil, errors.New("sdjwt: Type and Issuer are required")
	case !utf8.ValidString(p.KeyID):
		return nil, errClaimsUTF8
	case p.IssuedAt.IsZero():
		return nil, errors.New("sdjwt: IssuedAt is required: the issuer's key is judged as of then")
	case !p.ExpiresAt.IsZero() && (!p.ExpiresAt.After(p.IssuedAt) || !p.ExpiresAt.After(p.NotBefore)):
		return nil, errors.New("sdjwt: ExpiresAt is not after IssuedAt and NotBefore")
	case p.Decoys < 0:
		return nil, errors.New("sdjwt: Decoys is negative")
	}
	if err := p.checkChain(); err != nil {
		return nil, err
	}
	b := []byte(`"_sd_alg":"` + hashAlg + `"`)
	for _, c := range []struct {
		name string
		at   time.Time
	}{{"exp", p.ExpiresAt}, {"iat", p.IssuedAt}, {"nbf", p.NotBefore}} {
		if c.at.IsZero() {
			continue
		}
		unix := c.at.Unix()
		if unix <= 0 || unix > maxTime {
			return nil, fmt.Errorf("sdjwt: %s is out of range", c.name)
		}
		b = fmt.Appendf(b, `,"%s":%d`, c.name, unix)
	}
	b, err := appendString(append(b, `,"iss":`...), p.Issuer)
	if err != nil {
		return nil, err
	}
	return appendString(append(b, `,"vct":`...), p.Type)
}

// checkChain sees to it that what is signed can be verified by the chain.
func (p *IssueParams) checkChain() error {
	if len(p.Chain) == 0 {
		return nil
	}
	chain, err := x5c.Parse(p.Chain)
	if err != nil {
		return fmt.Errorf("sdjwt: Chain: %w", err)
	}
	if err := chain.Check(p.IssuedAt, 0, x5c.CredentialSigner); err != nil {
		return fmt.Errorf("sdjwt: Chain: %w", err)
	}
	switch leaf := chain.Leaf(); {
	case !leaf.Key.Equal(p.Signer.Public()):
		return errors.New("sdjwt: Chain is not the Signer's")
	case string(leaf.DID) != p.Issuer:
		return errors.New("sdjwt: Chain names another issuer")
	}
	return nil
}

// appendCopy writes the registered claims that a copy has for itself.
func (c *Copy) appendCopy(b []byte) ([]byte, error) {
	if !c.HolderKey.IsZero() {
		j := jws.NewJWK(c.HolderKey)
		b = append(b, `,"cnf":{"jwk":{"kty":"`+j.Kty+`","crv":"`+j.Crv+`","x":"`+j.X...)
		if j.Y != "" {
			b = append(b, `","y":"`+j.Y...)
		}
		b = append(b, `"}}`...)
	}
	if c.Status == nil {
		return b, nil
	}
	if c.Status.URI == "" {
		return nil, errors.New("sdjwt: a status without a URI")
	}
	b = fmt.Appendf(b, `,"status":{"status_list":{"idx":%d,"uri":`, c.Status.Index)
	b, err := appendString(b, c.Status.URI)
	return append(b, "}}"...), err
}
