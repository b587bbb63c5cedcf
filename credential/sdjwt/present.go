package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
)

// Path points at claims as OpenID4VP 1.0 §7 says (claims path pointer): a string selects a member, a
// non-negative integer (int or json.Number) an element, nil all elements. The empty path is the whole
// credential.
type Path = []any

// Credential is a credential in its holder's hands. Parsing does not verify it.
type Credential struct {
	Content
	sd *sdJWT
}

// Parse reads a credential as an issuer sends it, checking its form and putting every claim in its
// place. It refuses a presentation with [RuleKeyBindingUnexpected] and otherwise as [Verify] does
// for form. Use [Credential.Verify] to know whether it is the issuer's.
func Parse(credential string) (*Credential, error) {
	s, err := parse(credential)
	if err != nil {
		return nil, err
	}
	if s.kb != nil {
		return nil, hufu.Refuse(RuleKeyBindingUnexpected, "a presentation, where a credential is expected")
	}
	c, err := s.content()
	if err != nil {
		return nil, err
	}
	return &Credential{Content: c, sd: s}, nil
}

// String is the credential as it was parsed, with all disclosures.
func (c *Credential) String() string { return c.sd.raw }

// Verify checks what the holder received as [Verify] does, without key binding.
func (c *Credential) Verify(params VerifyParams) (*Verified, error) {
	params.RequireKeyBinding = false
	return c.sd.verify(params)
}

// KeyBinding says for whom a presentation is made. The zero value makes one without key binding.
type KeyBinding struct {
	Audience string // the verifier's identifier (OpenID4VP 1.0: its client_id)
	Nonce    string
	IssuedAt time.Time
	Signer   keys.Signer // of the credential's HolderKey

	// What the holder consents to beside showing the credential (OpenID4VP 1.0 §B.3.3.1).
	TransactionHashes  []string // transaction_data_hashes; none: left out
	TransactionHashAlg string   // transaction_data_hashes_alg; "": left out
}

// Present makes a presentation that discloses the claims that the paths select, with everything in
// them, the claims around them, and nothing else. Claims that are in the clear are seen by any
// verifier. It refuses a path that selects nothing with [RuleUnknownClaim], a signer that is not the
// holder's with [RuleHolderKey] and a presentation over [MaxSize] with [RuleTooLarge].
func (c *Credential) Present(rand io.Reader, disclose []Path, kb KeyBinding) (string, error) {
	shown := make([]bool, len(c.sd.disclosures)+1)
	for i, p := range disclose {
		found, err := c.sd.choose(shown, c.sd.payload, p, 0)
		if err != nil {
			return "", fmt.Errorf("sdjwt: path %d to disclose: %w", i+1, err)
		}
		if !found {
			return "", hufu.Refuse(RuleUnknownClaim, "path %d to disclose selects nothing in the credential", i+1)
		}
	}
	var b strings.Builder
	head, _, _ := strings.Cut(c.sd.raw, "~")
	b.WriteString(head)
	b.WriteByte('~')
	for i := range c.sd.disclosures {
		if shown[i+1] {
			b.WriteString(c.sd.disclosures[i].encoded)
			b.WriteByte('~')
		}
	}
	if kb.Signer == nil {
		return b.String(), nil
	}
	token, err := c.bind(rand, b.String(), kb)
	if err != nil {
		return "", err
	}
	b.WriteString(token)
	if b.Len() > MaxSize {
		return "", hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", b.Len(), MaxSize)
	}
	return b.String(), nil
}

// bind makes the key binding JWT (RFC 9901 §4.3) over what is presented.
func (c *Credential) bind(rand io.Reader, presented string, kb KeyBinding) (string, error) {
	if kb.Audience == "" || kb.Nonce == "" || kb.IssuedAt.IsZero() {
		return "", errors.New("sdjwt: a key binding needs Audience, Nonce and IssuedAt")
	}
	if !kb.Signer.Public().Equal(c.HolderKey) {
		return "", hufu.Refuse(RuleHolderKey, "the credential is bound to another key than the signer's")
	}
	claims := map[string]any{
		"aud": kb.Audience, "nonce": kb.Nonce, "iat": kb.IssuedAt.Unix(), "sd_hash": digestOf([]byte(presented)),
	}
	if len(kb.TransactionHashes) > 0 {
		claims["transaction_data_hashes"] = kb.TransactionHashes
		if kb.TransactionHashAlg != "" {
			claims["transaction_data_hashes_alg"] = kb.TransactionHashAlg
		}
	}
	payload, err := appendJSON(nil, claims, 1)
	if err != nil {
		return "", err
	}
	return jws.Sign(rand, jws.Header{"typ": KeyBindingMediaType}, payload, kb.Signer)
}

// choose marks the disclosures needed for what path selects from the value at, which came with the
// disclosure around, and reports whether it selects anything.
func (s *sdJWT) choose(shown []bool, at int32, path Path, around int32) (bool, error) {
	n := &s.nodes[at]
	if n.disclosure != 0 {
		around = int32(n.disclosure)
	}
	if len(path) == 0 {
		for i := around; i != 0; i = s.disclosures[i-1].under {
			shown[i] = true
		}
		s.chooseAll(shown, at)
		return true, nil
	}
	switch step := path[0].(type) {
	case string:
		if n.kind != object {
			return false, nil
		}
		c := s.member(at, step)
		if c == none {
			return false, nil
		}
		return s.choose(shown, c, path[1:], around)
	case nil:
		if n.kind != array {
			return false, nil
		}
		found := false
		for c := n.first; c != none; c = s.nodes[c].next {
			here, err := s.choose(shown, c, path[1:], around)
			if err != nil {
				return false, err
			}
			found = found || here
		}
		return found, nil
	default:
		index, err := elementIndex(step)
		if err != nil || n.kind != array {
			return false, err
		}
		c := n.first
		for ; c != none && index > 0; index-- {
			c = s.nodes[c].next
		}
		if c == none {
			return false, nil
		}
		return s.choose(shown, c, path[1:], around)
	}
}

func elementIndex(step any) (int, error) {
	index, err := -1, error(nil)
	switch v := step.(type) {
	case int:
		index = v
	case json.Number:
		index, err = strconv.Atoi(string(v))
	}
	if err != nil || index < 0 {
		return 0, errors.New("an element of a path is no string, null or non-negative integer")
	}
	return index, nil
}

// chooseAll marks the disclosures inside the value at.
func (s *sdJWT) chooseAll(shown []bool, at int32) {
	if d := s.nodes[at].disclosure; d != 0 {
		shown[d] = true
	}
	for c := s.nodes[at].first; c != none; c = s.nodes[c].next {
		s.chooseAll(shown, c)
	}
}

// Certified reports whether the credential brings certificates for its issuer's key (x5c) and no kid.
func (c *Credential) Certified() bool {
	return c.sd.member(c.sd.jwt.header, "x5c") != none && c.KeyID == ""
}
