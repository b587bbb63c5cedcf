package status

import (
	"fmt"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// MediaTypeCWT is the content type under which a token in CWT form is served (§8.1) and the type in its
// header (§5.2).
const MediaTypeCWT = "application/statuslist+cwt"

// cwtClaims are the claims of the CWT form (§5.2; RFC 8392 §3.1).
type cwtClaims struct {
	Iss  string           `cbor:"1,keyasint,omitempty"`
	Sub  string           `cbor:"2,keyasint"`
	Exp  encoding.RawCBOR `cbor:"4,keyasint,omitempty"`
	Nbf  encoding.RawCBOR `cbor:"5,keyasint,omitempty"`
	Iat  encoding.RawCBOR `cbor:"6,keyasint"`
	List cwtList          `cbor:"65533,keyasint"`
	TTL  encoding.RawCBOR `cbor:"65534,keyasint,omitempty"`
}

// cwtList is the StatusList structure (§4.3). aggregation_uri is not used.
type cwtList struct {
	Bits encoding.RawCBOR `cbor:"bits"`
	Lst  encoding.RawCBOR `cbor:"lst"`
}

// SignCWT writes the token as a CWT signed by the issuer: a tagged COSE_Sign1 message. rand is read by
// ECDSA and SM2.
func (t *Token) SignCWT(rand io.Reader, signer keys.Signer) ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	lst, err := t.List.Compress()
	if err != nil {
		return nil, err
	}
	claims := cwtClaims{Iss: t.Issuer, Sub: t.URI}
	for _, c := range []struct {
		to    *encoding.RawCBOR
		value any
		skip  bool
	}{
		{&claims.Iat, t.IssuedAt.Unix(), false},
		{&claims.Exp, t.ExpiresAt.Unix(), t.ExpiresAt.IsZero()},
		{&claims.TTL, int64(t.TTL / time.Second), t.TTL == 0},
		{&claims.List.Bits, t.List.Bits(), false},
		{&claims.List.Lst, lst, false},
	} {
		if c.skip {
			continue
		}
		if *c.to, err = encoding.Marshal(c.value); err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
	}
	payload, err := encoding.Marshal(&claims)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	message, err := cose.Sign(rand, cose.Header{Type: MediaTypeCWT, KeyID: []byte(t.KeyID), X5Chain: t.Chain}, payload, signer)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return cose.Tag(message), nil
}

// VerifyCWT checks a token in CWT form as [Verify] does one in JWT form.
func VerifyCWT(token []byte, want Expect) (*Token, error) {
	m, t, list, err := parseCWT(token)
	if err != nil {
		return nil, err
	}
	if err := want.check(t, m.Verify, cose.RuleAlg, cose.RuleSignature); err != nil {
		return nil, err
	}
	if t.List, err = list.read(); err != nil {
		return nil, err
	}
	return t, nil
}

// parseCWT reads a token's form and claims; the list stays as it is until the signature is checked.
func parseCWT(token []byte) (*cose.Message, *Token, *cwtList, error) {
	m, err := cose.Parse(token, MaxTokenBytes)
	switch rule := hufu.RuleOf(err); {
	case rule == cose.RuleTooLarge:
		return nil, nil, nil, hufu.Refuse(RuleTooLarge, "%v", err)
	case rule == cose.RuleAlg:
		return nil, nil, nil, hufu.Refuse(RuleAlg, "%v", err)
	case err != nil:
		return nil, nil, nil, hufu.Refuse(RuleMalformed, "%v", err)
	case !m.Tagged || m.Payload == nil:
		return nil, nil, nil, hufu.Refuse(RuleMalformed, "without its tag, or detached")
	case m.Type != MediaTypeCWT:
		return nil, nil, nil, hufu.Refuse(RuleType, "type is not %s", MediaTypeCWT)
	}
	var claims cwtClaims
	if err := encoding.UnmarshalForeign(m.Payload, MaxTokenBytes, &claims); err != nil || m.Payload[0]>>5 != majorMap {
		return nil, nil, nil, hufu.Refuse(RuleMalformed, "the claims are no map of their structure")
	}
	t := &Token{URI: claims.Sub, Issuer: claims.Iss, KeyID: string(m.KeyID), Chain: m.X5Chain}
	return m, t, &claims.List, t.readCWT(&claims)
}

const majorMap = 5

func (t *Token) readCWT(c *cwtClaims) error {
	if !validURI(t.URI) {
		return hufu.Refuse(RuleMalformed, "sub is not an absolute URI of at most %d bytes", MaxURILen)
	}
	iat, err := wholeCBOR(c.Iat, maxTime)
	if err != nil {
		return hufu.Refuse(RuleMalformed, "iat: %v", err)
	}
	t.IssuedAt = time.Unix(int64(iat), 0).UTC()
	if c.Nbf != nil {
		if nbf, err := wholeCBOR(c.Nbf, maxTime); err != nil || nbf > iat {
			return hufu.Refuse(RuleMalformed, "nbf is no time up to iat")
		}
	}
	if c.Exp != nil {
		exp, err := wholeCBOR(c.Exp, maxTime)
		if err != nil {
			return hufu.Refuse(RuleMalformed, "exp: %v", err)
		}
		t.ExpiresAt = time.Unix(int64(exp), 0).UTC()
	}
	if c.TTL != nil {
		ttl, err := wholeCBOR(c.TTL, maxTTL)
		if err != nil || ttl == 0 {
			return hufu.Refuse(RuleMalformed, "ttl is not a whole number from 1 to %d", uint64(maxTTL))
		}
		t.TTL = time.Duration(ttl) * time.Second
	}
	return nil
}

func (l *cwtList) read() (*List, error) {
	bits, err := wholeCBOR(l.Bits, 8)
	if err != nil {
		return nil, hufu.Refuse(RuleMalformed, "bits: %v", err)
	}
	const majorBytes = 2
	var lst []byte
	if len(l.Lst) == 0 || l.Lst[0]>>5 != majorBytes || encoding.UnmarshalForeign(l.Lst, MaxTokenBytes, &lst) != nil {
		return nil, hufu.Refuse(RuleMalformed, "lst is no byte string")
	}
	return Decompress(uint8(bits), lst)
}

// wholeCBOR reads an unsigned integer, 0 to most.
func wholeCBOR(raw encoding.RawCBOR, most uint64) (uint64, error) {
	var n uint64
	if len(raw) == 0 || raw[0]>>5 != 0 || encoding.UnmarshalForeign(raw, len(raw), &n) != nil || n > most {
		return 0, errNumber(most)
	}
	return n, nil
}
