package mdoc

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// IssueParams is what a document is to say.
type IssueParams struct {
	DocType  string
	Elements []Element // see [ElementsOf]; a value may be a [Date]

	Signer keys.Signer // of the document signer's certificate
	Chain  [][]byte    // that certificate in DER, and those between it and the authority; not the authority's

	Signed     time.Time // while the certificate holds
	ValidFrom  time.Time // zero: Signed
	ValidUntil time.Time // not after the certificate's end, as readers judge it by the present
	// Decoys, if positive, fills the digests of each namespace up to a multiple of itself with digests
	// of nothing, so that within that multiple their number says nothing.
	Decoys int

	DeviceKey keys.PublicKey // the holder's, P-256
	Status    *StatusRef     // nil: none
}

// Copy is what one copy of a batch has for itself.
type Copy struct {
	DeviceKey keys.PublicKey
	Status    *StatusRef
}

const saltLen = 16

// Issue makes one document: an IssuerSigned structure in base64url, as OpenID4VCI 1.0 Appendix A.2.4
// sends it. Errors are mistakes in p or failures of rand and the signer.
func Issue(rand io.Reader, p IssueParams) (string, error) {
	out, err := issue(rand, p, []Copy{{p.DeviceKey, p.Status}})
	if err != nil {
		return "", err
	}
	return out[0], nil
}

// IssueBatch makes one copy of the same document for each holder key, with salts, digest numbers and
// decoys of its own. p.DeviceKey and p.Status must be unset; a holder key or status entry used twice is
// refused, as it would link copies.
func IssueBatch(rand io.Reader, p IssueParams, copies []Copy) ([]string, error) {
	if !p.DeviceKey.IsZero() || p.Status != nil {
		return nil, errors.New("mdoc: in a batch, each copy has the holder key and the status")
	}
	holders := make(map[string]bool, len(copies))
	entries := make(map[StatusRef]bool, len(copies))
	for _, c := range copies {
		if holders[string(c.DeviceKey.Multikey())] {
			return nil, errors.New("mdoc: two copies with one holder key")
		}
		holders[string(c.DeviceKey.Multikey())] = true
		if c.Status == nil {
			continue
		}
		if entries[*c.Status] {
			return nil, errors.New("mdoc: two copies with one status entry")
		}
		entries[*c.Status] = true
	}
	return issue(rand, p, copies)
}

func issue(rand io.Reader, p IssueParams, copies []Copy) ([]string, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	plan, err := planElements(p.Elements)
	if err != nil {
		return nil, err
	}
	b := builder{params: &p, plan: plan, random: bufio.NewReaderSize(rand, 1<<10), rand: rand}
	out := make([]string, len(copies))
	for i, c := range copies {
		raw, err := b.document(c)
		if err != nil {
			return nil, err
		}
		if len(raw) > MaxSize-deviceRoom {
			return nil, fmt.Errorf("mdoc: a document of %d bytes, at most %d", len(raw), MaxSize-deviceRoom)
		}
		out[i] = jws.EncodeBase64(raw)
	}
	return out, nil
}

// deviceRoom is what a document leaves of MaxSize for the response around it.
const deviceRoom = 4 << 10

func (p *IssueParams) check() error {
	if p.ValidFrom.IsZero() {
		p.ValidFrom = p.Signed
	}
	p.Signed, p.ValidFrom, p.ValidUntil = p.Signed.Truncate(time.Second), p.ValidFrom.Truncate(time.Second), p.ValidUntil.Truncate(time.Second)
	switch {
	case p.Signer == nil:
		return errors.New("mdoc: no Signer")
	case p.DocType == "" || len(p.DocType) > MaxIdentifier:
		return errors.New("mdoc: no fitting DocType")
	case p.Signed.Unix() <= 0 || p.ValidFrom.Before(p.Signed) || !p.ValidUntil.After(p.ValidFrom) || p.ValidUntil.Year() > 9999:
		return errors.New("mdoc: Signed, ValidFrom and ValidUntil are not in this order")
	case p.Decoys < 0:
		return errors.New("mdoc: Decoys is negative")
	}
	chain, err := x5c.Parse(p.Chain)
	if err != nil {
		return fmt.Errorf("mdoc: Chain: %w", err)
	}
	if err := chain.Check(p.Signed, 0, x5c.DocumentSigner); err != nil {
		return fmt.Errorf("mdoc: Chain: %w", err)
	}
	switch leaf := chain.Leaf(); {
	case !leaf.Key.Equal(p.Signer.Public()):
		return errors.New("mdoc: Chain is not the Signer's")
	case p.ValidUntil.After(leaf.NotAfter):
		return errors.New("mdoc: the document would be valid for longer than its signer's certificate")
	}
	return nil
}

// planned is the elements of one namespace with their values written.
type planned struct {
	namespace   string
	identifiers []string
	values      []encoding.RawCBOR
}

func planElements(elements []Element) ([]planned, error) {
	var plan []planned
	for _, e := range elements {
		if e.Namespace == "" || e.Identifier == "" || len(e.Namespace) > MaxIdentifier || len(e.Identifier) > MaxIdentifier {
			return nil, errors.New("mdoc: an element without a fitting namespace or identifier")
		}
		value, err := writeValue(e.Value, 0)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(plan, func(p planned) bool { return p.namespace == e.Namespace })
		if at < 0 {
			at = len(plan)
			plan = append(plan, planned{namespace: e.Namespace})
		}
		if slices.Contains(plan[at].identifiers, e.Identifier) {
			return nil, errors.New("mdoc: an element twice")
		}
		plan[at].identifiers = append(plan[at].identifiers, e.Identifier)
		plan[at].values = append(plan[at].values, value)
	}
	if len(elements) == 0 || len(elements) > MaxElements {
		return nil, fmt.Errorf("mdoc: %d elements, not 1 to %d", len(elements), MaxElements)
	}
	return plan, nil
}

type builder struct {
	params *IssueParams
	plan   []planned
	random *bufio.Reader // salts are small, sources such as the kernel's slow to call
	rand   io.Reader
}

// document makes one copy.
func (b *builder) document(c Copy) ([]byte, error) {
	out := issuerSigned{NameSpaces: make(map[string][]encoding.RawCBOR, len(b.plan))}
	o := securityObject{
		Version: "1.0", DigestAlg: digestAlg, DocType: b.params.DocType,
		ValueDigests: make(map[string]map[uint64][]byte, len(b.plan)),
	}
	total := 0
	for i := range b.plan {
		items, digests, err := b.namespace(&b.plan[i])
		if err != nil {
			return nil, err
		}
		out.NameSpaces[b.plan[i].namespace], o.ValueDigests[b.plan[i].namespace] = items, digests
		total += len(digests)
	}
	if total > MaxDigests {
		return nil, fmt.Errorf("mdoc: %d digests, at most %d", total, MaxDigests)
	}
	if err := b.finish(&o, c); err != nil {
		return nil, err
	}
	raw, err := encoding.Marshal(&o)
	if err != nil {
		return nil, err
	}
	payload, err := embed(raw)
	if err != nil {
		return nil, err
	}
	if out.IssuerAuth, err = cose.Sign(b.rand, cose.Header{X5Chain: b.params.Chain}, payload, b.params.Signer); err != nil {
		return nil, fmt.Errorf("mdoc: %w", err)
	}
	return encoding.Marshal(&out)
}

// finish writes what is not about elements into the security object.
func (b *builder) finish(o *securityObject, c Copy) (err error) {
	if c.DeviceKey.Suite() != keys.P256 {
		return errors.New("mdoc: a document is bound to a P-256 key")
	}
	if o.DeviceKeyInfo.DeviceKey, err = cose.MarshalKey(c.DeviceKey); err != nil {
		return err
	}
	v := &o.ValidityInfo
	for _, t := range []struct {
		to *encoding.RawCBOR
		at time.Time
	}{{&v.Signed, b.params.Signed}, {&v.ValidFrom, b.params.ValidFrom}, {&v.ValidUntil, b.params.ValidUntil}} {
		if *t.to, err = writeTime(t.at); err != nil {
			return err
		}
	}
	if c.Status == nil {
		return nil
	}
	if c.Status.URI == "" {
		return errors.New("mdoc: a status without a URI")
	}
	index, err := encoding.Marshal(c.Status.Index)
	if err != nil {
		return err
	}
	o.Status, err = encoding.Marshal(&statusWire{List: &statusListInfo{Index: index, URI: c.Status.URI}})
	return err
}

// namespace makes the items of one namespace and all its digests. Elements take their digest numbers at
// random, so that a number says nothing about which of a type's elements a document has.
func (b *builder) namespace(p *planned) ([]encoding.RawCBOR, map[uint64][]byte, error) {
	n := len(p.values)
	size := n
	if b.params.Decoys > 0 {
		size = (n + b.params.Decoys - 1) / b.params.Decoys * b.params.Decoys
	}
	numbers, err := b.permutation(size)
	if err != nil {
		return nil, nil, err
	}
	items, digests := make([]encoding.RawCBOR, n), make(map[uint64][]byte, size)
	for i := range size {
		var digest [sha256.Size]byte
		if i >= n {
			if _, err := io.ReadFull(b.random, digest[:]); err != nil {
				return nil, nil, err
			}
			digests[numbers[i]] = digest[:]
			continue
		}
		salt := make([]byte, saltLen)
		if _, err := io.ReadFull(b.random, salt); err != nil {
			return nil, nil, err
		}
		raw, err := encoding.Marshal(&issuerSignedItem{DigestID: numbers[i], Random: salt, Identifier: p.identifiers[i], Value: p.values[i]})
		if err != nil {
			return nil, nil, err
		}
		if items[i], err = embed(raw); err != nil {
			return nil, nil, err
		}
		digest = sha256.Sum256(items[i])
		digests[numbers[i]] = digest[:]
	}
	return items, digests, nil
}

// permutation is the numbers from 0 in random order (Fisher and Yates).
func (b *builder) permutation(n int) ([]uint64, error) {
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i)
	}
	var word [8]byte
	for i := n - 1; i > 0; i-- {
		if _, err := io.ReadFull(b.random, word[:]); err != nil {
			return nil, err
		}
		j := binary.BigEndian.Uint64(word[:]) % uint64(i+1) // 64 bits against a dozen: no bias that matters
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}
