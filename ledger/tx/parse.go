package tx

import (
	"crypto/sha256"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// Parse reads a transaction for network and makes all checks that need no state, cheapest first.
// Every refusal is by a rule of this package. The result shares raw, which must not change after.
func Parse(raw []byte, network hufu.Network) (*Tx, error) {
	t, err := ParseDeferred(raw, sha256.Sum256(raw), network)
	if err == nil {
		err = t.CheckKeys()
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ParseDeferred is [Parse] for a reader that has hashed raw, and that does nothing lasting with a transaction before
// its signatures are checked: it leaves out whether the control keys that an inception brings are points of their
// curve, when they sign it, as no signature holds for a key that is not one. When the transaction is then
// refused, for whatever reason, the refusal of [Tx.CheckKeys] comes first.
func ParseDeferred(raw []byte, id hufu.Digest, network hufu.Network) (*Tx, error) {
	if len(raw) > MaxSize {
		return nil, hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", len(raw), MaxSize)
	}
	t := &Tx{raw: raw, id: id}
	if err := t.parseMessage(); err != nil {
		return nil, err
	}
	if err := t.parsePayload(network); err != nil {
		return nil, err
	}
	if err := t.checkSigners(); err != nil {
		return nil, err
	}
	if err := t.parseBody(); err != nil {
		return nil, err
	}
	return t, nil
}

// CheckKeys makes the checks that [ParseDeferred] left out.
func (t *Tx) CheckKeys() error {
	if t.Payload.Kind != KindDIDCreate {
		return nil
	}
	for i, key := range t.control {
		if err := key.Check(); err != nil {
			return badControlKey(i, err)
		}
	}
	return nil
}

// signing reports whether the control key with this index is one that an inception is signed with.
func (t *Tx) signing(key int) bool {
	return slices.ContainsFunc(t.Signatures, func(s Signature) bool {
		return s.Signer == t.Payload.Author && int(s.KeyIndex) == key
	})
}

// parseMessage reads the COSE_Sign message around the payload.
func (t *Tx) parseMessage() error {
	c := cursor{rest: t.raw}
	c.exactly(majorTag, tagCOSESign)
	c.exactly(majorArray, 4)
	body := c.bytes()
	if c.err == nil && len(body) != 0 {
		return hufu.Refuse(RuleBodyHeader, "the message's protected header is not empty")
	}
	if err := c.emptyHeader(); err != nil {
		return err
	}
	t.payload = c.bytes()
	count := c.expect(majorArray)
	if c.err != nil {
		return malformed(c.err)
	}
	if count == 0 || count > MaxSignatures {
		return hufu.Refuse(RuleSignatureCount, "%d signatures, not 1 to %d", count, MaxSignatures)
	}
	t.Signatures = sized(&t.signature, int(count))
	for i := range t.Signatures {
		c.exactly(majorArray, 3)
		protected := c.bytes()
		if err := c.emptyHeader(); err != nil {
			return err
		}
		sig := c.bytes()
		if c.err != nil {
			return malformed(c.err)
		}
		if err := t.Signatures[i].read(protected, sig); err != nil {
			return err
		}
	}
	if len(c.rest) != 0 {
		return hufu.Refuse(RuleMalformed, "%d trailing bytes", len(c.rest))
	}
	return nil
}

// emptyHeader reads an unprotected header, which must be an empty map: nothing outside the
// signatures may be added to a transaction.
func (c *cursor) emptyHeader() error {
	n := c.expect(majorMap)
	if c.err == nil && n != 0 {
		return hufu.Refuse(RuleUnprotectedHeader, "an unprotected header with %d parameters", n)
	}
	return nil
}

// read takes a signature apart. Its protected header is exactly {1: alg, 4: kid}.
func (s *Signature) read(protected, sig []byte) error {
	c := cursor{rest: protected}
	c.exactly(majorMap, 2)
	c.exactly(majorUint, labelAlg)
	major, n := c.head()
	if major > majorNegint || n > 1<<31 {
		c.fail(errShape)
	}
	c.exactly(majorUint, labelKid)
	kid := c.bytes()
	if c.err != nil || len(c.rest) != 0 || len(kid) != kidLen {
		return hufu.Refuse(RuleSignatureHeader, "a signature's protected header is not {1: alg, 4: %d-byte kid}", kidLen)
	}
	if len(sig) != keys.SignatureLen {
		return hufu.Refuse(RuleMalformed, "a signature of %d bytes, not %d", len(sig), keys.SignatureLen)
	}
	s.Alg = int64(n)
	if major == majorNegint {
		s.Alg = -1 - s.Alg
	}
	copy(s.Signer[:], kid)
	s.KeyIndex = kid[kidLen-1]
	s.Sig, s.protected = sig, protected
	return nil
}

func (t *Tx) parsePayload(network hufu.Network) error {
	p := &t.Payload
	if room := new(createRoom); readCreate(t.payload, network, p, room) {
		t.Body = &room.body
	} else {
		*p = Payload{}
		if err := encoding.Unmarshal(t.payload, p); err != nil {
			return malformed(err)
		}
	}
	if p.Network != network {
		return hufu.Refuse(RuleNetwork, "made for another network than %q", network)
	}
	if p.Author.IsZero() {
		return hufu.Refuse(RuleMalformed, "no author")
	}
	if p.Sponsor != nil && (p.Sponsor.IsZero() || *p.Sponsor == p.Author) {
		return hufu.Refuse(RuleSponsor, "the sponsor is the author or nobody")
	}
	return nil
}

// checkSigners wants the author's signatures first, then the sponsor's, each by ascending key, so
// that nobody can reorder them into a second form of the transaction.
func (t *Tx) checkSigners() error {
	p := &t.Payload
	for i, s := range t.Signatures {
		byAuthor := s.Signer == p.Author
		if !byAuthor && (p.Sponsor == nil || s.Signer != *p.Sponsor) {
			return hufu.Refuse(RuleForeignSignature, "signature %d is by neither the author nor the sponsor", i)
		}
		if i == 0 {
			if !byAuthor {
				return hufu.Refuse(RuleSignatureOrder, "the author's signatures come first")
			}
			continue
		}
		last := t.Signatures[i-1]
		if last.Signer == s.Signer && last.KeyIndex == s.KeyIndex {
			return hufu.Refuse(RuleSignatureOrder, "signature %d is by the same key as the one before", i)
		}
		if (last.Signer == s.Signer && last.KeyIndex > s.KeyIndex) || (byAuthor && last.Signer != s.Signer) {
			return hufu.Refuse(RuleSignatureOrder, "signature %d is out of order", i)
		}
	}
	return nil
}

func (t *Tx) parseBody() error {
	p := &t.Payload
	if t.Body == nil { // not read yet
		if t.Body = NewBody(p.Kind); t.Body == nil {
			return hufu.Refuse(RuleKind, "a kind that this network's rules do not have")
		}
		if err := encoding.Unmarshal(p.Body, t.Body); err != nil {
			return malformed(err)
		}
	}
	if p.Kind == KindDIDCreate {
		if inceptionID(p.Network, p.Body) != p.Author {
			return hufu.Refuse(RuleInception, "the author is not the digest of the inception event")
		}
		if p.Sequence != 0 {
			return hufu.Refuse(RuleInception, "an inception has sequence 0, not %d", p.Sequence)
		}
	} else if p.Sequence == 0 {
		return hufu.Refuse(RuleInception, "only an inception has sequence 0")
	}
	var err error
	switch b := t.Body.(type) {
	case *DIDCreate:
		t.control, err = b.check(t.signing)
	case *DIDRotate:
		t.control, err = b.check()
	default:
		err = b.Validate()
	}
	return err
}

func malformed(err error) error { return hufu.Refuse(RuleMalformed, "%v", err) }
