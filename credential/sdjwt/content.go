package sdjwt

import (
	"strconv"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
)

// Content is what a credential says.
type Content struct {
	MediaType  string         // the "typ" header
	Alg        string         // the "alg" header: the issuer's signature suite
	KeyID      string         // the "kid" header: the DID URL of the issuer's key; "" when absent
	Issuer     string         // iss: the issuer's DID
	Type       string         // vct
	HolderKey  keys.PublicKey // cnf.jwk; the zero key when the credential is bound to none
	IssuedAt   time.Time      // iat; zero when absent, like the next two
	NotBefore  time.Time      // nbf
	ExpiresAt  time.Time      // exp: not to be relied upon from then on
	Status     *StatusRef     // nil: the credential has no status
	Claims     map[string]any // the processed payload: everything disclosed, registered claims too
	iat        int64          // 0: absent
	nbf, exp   int64
	hasNBF     bool
	hasExpires bool
	noHolder   error // why HolderKey is zero in spite of a cnf
}

// StatusRef points to one entry of a status list (Token Status List §6.2).
type StatusRef struct {
	URI   string
	Index uint64
}

// maxTime is the last second of the year 9999, the latest that times are written for.
const maxTime = 253402300799

func knownAlg(alg string) bool {
	if alg == "Ed25519" { // RFC 9864 §2.2, the same as EdDSA with an Ed25519 key
		return true
	}
	for _, s := range keys.Suites() {
		if s.JOSEAlg() == alg {
			return true
		}
	}
	return false
}

// content reads what the processed payload says.
func (s *sdJWT) content() (c Content, err error) {
	c.Claims = s.members(s.payload)
	header := s.jwt.header
	c.MediaType, c.Alg, c.KeyID = s.memberText(header, "typ"), s.jwt.alg, s.memberText(header, "kid")
	wrong := func(name string) error {
		return hufu.Refuse(RuleMalformed, "%s is of the wrong type", name)
	}
	for at := s.nodes[s.payload].first; at != none; at = s.nodes[at].next {
		name := s.name(at)
		ok := true
		switch name {
		case "iss":
			c.Issuer, ok = s.text(at)
		case "vct":
			c.Type, ok = s.text(at)
		case "iat":
			c.iat, ok = s.time(at)
			c.IssuedAt = time.Unix(c.iat, 0).UTC()
		case "nbf":
			c.nbf, ok = s.time(at)
			c.hasNBF, c.NotBefore = true, time.Unix(c.nbf, 0).UTC()
		case "exp":
			c.exp, ok = s.time(at)
			c.hasExpires, c.ExpiresAt = true, time.Unix(c.exp, 0).UTC()
		case "cnf":
			cnf, isObject := c.Claims[name].(map[string]any)
			if !isObject {
				err = hufu.Refuse(RuleHolderKey, "cnf is not an object")
			}
			c.HolderKey, c.noHolder = holderKey(cnf)
		case "status":
			c.Status, err = s.status(at)
		}
		if !ok {
			err = wrong(name)
		}
		if err != nil {
			return c, err
		}
	}
	if c.MediaType != MediaType {
		return c, nil
	}
	if c.Type == "" {
		return c, hufu.Refuse(RuleMalformed, "no vct")
	}
	if s.member(header, "kid") != none && c.KeyID == "" {
		return c, wrong("kid")
	}
	return c, nil
}

func (t *tree) text(at int32) (string, bool) { return t.value(at), t.nodes[at].kind == text }

// memberText is the string that an object's member is; "" when there is none, or another value.
func (t *tree) memberText(at int32, name string) string {
	m := t.member(at, name)
	if m == none || t.nodes[m].kind != text {
		return ""
	}
	return t.value(m)
}

// time reads a NumericDate in whole seconds, 1 to maxTime.
func (t *tree) time(at int32) (int64, bool) {
	if t.nodes[at].kind != number {
		return 0, false
	}
	v, err := strconv.ParseInt(t.value(at), 10, 64)
	return v, err == nil && v > 0 && v <= maxTime
}

// holderKey reads cnf.jwk (RFC 7800 §3.2). With another confirmation method or a key of no suite of
// ours, a credential can be read but no key binding verified.
func holderKey(cnf map[string]any) (keys.PublicKey, error) {
	jwk, _ := cnf["jwk"].(map[string]any)
	key, err := jws.KeyOf(jwk)
	if err != nil {
		return keys.PublicKey{}, refuseAs(RuleHolderKey, "cnf.jwk", err)
	}
	return key, nil
}

var errStatus = hufu.Refuse(RuleStatusForm, "status is no status_list with idx and uri")

// status reads a reference to a status list. Another mechanism is refused: a status that nobody
// here can look up must not pass for none.
func (t *tree) status(at int32) (*StatusRef, error) {
	list := t.member(at, "status_list") // what is no object has no members
	idx, uri := t.member(list, "idx"), t.member(list, "uri")
	if idx == none || uri == none || t.nodes[idx].kind != number || t.nodes[uri].kind != text || t.value(uri) == "" {
		return nil, errStatus
	}
	index, err := strconv.ParseUint(t.value(idx), 10, 64)
	if err != nil {
		return nil, errStatus
	}
	return &StatusRef{URI: t.value(uri), Index: index}, nil
}
