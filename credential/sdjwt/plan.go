package sdjwt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
)

// A batch of copies differs in salts, digests, holder key and status alone. So the claims are walked
// and written once, into a plan, and each copy only draws salts and hashes.

// saltLen is the entropy of a salt in bytes (RFC 9901 §9.3). In base64url it is 22 characters, which
// makes the opening `["<salt>` of a disclosure 24 bytes: a multiple of three. What follows the salt
// can therefore be base64-encoded once for all copies.
const saltLen = 16

// container is an object or array of the claims.
type container struct {
	list  bool
	items []item
}

// item is a member or an element.
type item struct {
	name      []byte // in an object: the name as JSON
	selective bool
	value     []byte     // a leaf's JSON
	tail      []byte     // a selective leaf's disclosure after the salt, in base64url
	sub       *container // anything else
}

type planner struct {
	disclosable func(Path) bool
	path        Path
}

// planClaims walks the claims once.
func planClaims(p IssueParams) (*container, error) {
	for _, name := range []string{"iss", "vct", "cnf", "iat", "nbf", "exp", "status"} {
		if _, there := p.Claims[name]; there {
			return nil, fmt.Errorf("sdjwt: the claim %s has a field of its own", name)
		}
	}
	w := planner{disclosable: p.Disclosable}
	return w.object(p.Claims, 1)
}

func (w *planner) object(m map[string]any, depth int) (*container, error) {
	if depth > maxClaimsDepth {
		return nil, errClaimsDepth
	}
	c := &container{items: make([]item, 0, len(m))}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if err := checkName(name); err != nil {
			return nil, err
		}
		quoted, err := appendString(nil, name)
		if err != nil {
			return nil, err
		}
		selective := depth > 1 || !registered(name)
		it, err := w.item(name, m[name], depth, selective)
		if err != nil {
			return nil, err
		}
		it.name = quoted
		it.finish()
		c.items = append(c.items, it)
	}
	return c, nil
}

func (w *planner) list(l []any, depth int) (*container, error) {
	if depth > maxClaimsDepth {
		return nil, errClaimsDepth
	}
	c := &container{list: true, items: make([]item, 0, len(l))}
	for i, v := range l {
		it, err := w.item(i, v, depth, true)
		if err != nil {
			return nil, err
		}
		it.finish()
		c.items = append(c.items, it)
	}
	return c, nil
}

// item plans the member or element that step leads to; with selective false nothing in it is.
func (w *planner) item(step, v any, depth int, selective bool) (it item, err error) {
	w.path = append(w.path, step)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	it.selective = selective && (w.disclosable == nil || w.disclosable(w.path))
	if list, ok := v.([]string); ok {
		all := make([]any, len(list))
		for i, s := range list {
			all[i] = s
		}
		v = all
	}
	switch v := v.(type) {
	case map[string]any:
		if selective {
			it.sub, err = w.object(v, depth+1)
			return it, err
		}
	case []any:
		if selective {
			it.sub, err = w.list(v, depth+1)
			return it, err
		}
	}
	it.value, err = appendJSON(nil, v, depth+1)
	return it, err
}

// finish encodes the tail of a selective leaf.
func (it *item) finish() {
	if it.selective && it.sub == nil {
		it.tail = base64url.AppendEncode(nil, append(it.opening(nil), append(it.value, ']')...))
	}
}

// opening is a disclosure between its salt and its value.
func (it *item) opening(b []byte) []byte {
	b = append(b, `",`...)
	if it.name != nil {
		b = append(append(b, it.name...), ',')
	}
	return b
}

// builder makes copies of a plan, one after the other in the same buffers.
type builder struct {
	rand        io.Reader
	decoys      int
	out         []byte   // the payload
	scratch     [][]byte // free buffers for disclosures being made, one inside the other
	found       []digest // digests of the objects being written, one inside the other
	disclosures []byte   // each followed by "~"
	count       int      // disclosures
	digests     int      // digests and decoys
}

type digest [digestLen]byte

func (b *builder) reset() {
	b.disclosures, b.found = b.disclosures[:0], b.found[:0]
	b.count, b.digests = 0, 0
}

// payload writes the payload, which is valid until the next one is written.
func (b *builder) payload(plan *container, fixed []byte, c Copy) (out []byte, err error) {
	defer func() { b.out = out }()
	if out, err = b.object(append(b.out[:0], '{'), plan); err != nil {
		return nil, err
	}
	if len(out) > 1 {
		out = append(out, ',')
	}
	out = append(out, fixed...)
	if out, err = c.appendCopy(out); err != nil {
		return nil, err
	}
	return append(out, '}'), nil
}

// object writes an object's members without braces: the sorted digests, then the members in the
// clear.
func (b *builder) object(out []byte, c *container) ([]byte, error) {
	start, from := len(out), len(b.found)
	for i := range c.items {
		it := &c.items[i]
		if it.selective {
			d, err := b.disclose(it)
			if err != nil {
				return nil, err
			}
			b.found = append(b.found, d)
			continue
		}
		if len(out) > start {
			out = append(out, ',')
		}
		var err error
		if out, err = b.value(append(append(out, it.name...), ':'), it); err != nil {
			return nil, err
		}
	}
	for range b.padding(len(b.found)-from, len(c.items)) {
		d, err := b.decoy()
		if err != nil {
			return nil, err
		}
		b.found = append(b.found, d)
	}
	digests := b.found[from:]
	b.found = b.found[:from]
	if len(digests) == 0 {
		return out, nil
	}
	slices.SortFunc(digests, func(x, y digest) int { return bytes.Compare(x[:], y[:]) })
	if len(out) > start {
		out = append(out, ',')
	}
	out = append(out, `"_sd":[`...)
	for i := range digests {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), digests[i][:]...), '"')
	}
	return append(out, ']'), nil
}

// padding is how many decoys to add to an object or array of which some items are selectively
// disclosable or which is empty.
func (b *builder) padding(digests, items int) int {
	if b.decoys == 0 || digests == 0 && items > 0 {
		return 0
	}
	return (max(digests, 1)+b.decoys-1)/b.decoys*b.decoys - digests
}

// array writes an array's elements, with decoys in random places among them.
func (b *builder) array(out []byte, c *container) ([]byte, error) {
	elements := make([][]byte, 0, len(c.items)+b.decoys)
	selective := 0
	for i := range c.items {
		it := &c.items[i]
		if !it.selective {
			e, err := b.value(nil, it)
			if err != nil {
				return nil, err
			}
			elements = append(elements, e)
			continue
		}
		selective++
		d, err := b.disclose(it)
		if err != nil {
			return nil, err
		}
		elements = append(elements, elementJSON(d))
	}
	for range b.padding(selective, len(c.items)) {
		d, err := b.decoy()
		if err != nil {
			return nil, err
		}
		at, err := b.below(len(elements) + 1)
		if err != nil {
			return nil, err
		}
		elements = slices.Insert(elements, at, elementJSON(d))
	}
	return append(out, bytes.Join(elements, []byte{','})...), nil
}

func elementJSON(d digest) []byte { return append(append([]byte(`{"...":"`), d[:]...), `"}`...) }

// value writes what stands in the clear.
func (b *builder) value(out []byte, it *item) ([]byte, error) {
	if it.sub == nil {
		return append(out, it.value...), nil
	}
	opening, closing, write := byte('{'), byte('}'), b.object
	if it.sub.list {
		opening, closing, write = '[', ']', b.array
	}
	out, err := write(append(out, opening), it.sub)
	return append(out, closing), err
}

// disclose makes the disclosure of a selective item with a fresh salt and returns its digest.
func (b *builder) disclose(it *item) (d digest, err error) {
	// The salt in base64url, the opening of the array around it, and both in base64url again.
	var salt [saltLen]byte
	if _, err := io.ReadFull(b.rand, salt[:]); err != nil {
		return d, err
	}
	var open [24]byte
	copy(open[:], `["`)
	base64url.Encode(open[2:], salt[:])
	var plain []byte
	if it.sub != nil { // whose own disclosures go first
		if plain, err = b.value(it.opening(b.borrow()), it); err != nil {
			return d, err
		}
		plain = append(plain, ']')
	}
	start := len(b.disclosures)
	b.disclosures = base64url.AppendEncode(b.disclosures, open[:])
	if it.sub != nil {
		b.disclosures = base64url.AppendEncode(b.disclosures, plain)
		b.scratch = append(b.scratch, plain[:0])
	} else {
		b.disclosures = append(b.disclosures, it.tail...)
	}
	sum := sha256.Sum256(b.disclosures[start:])
	b.disclosures = append(b.disclosures, '~')
	b.count++
	b.digests++
	base64url.Encode(d[:], sum[:])
	return d, nil
}

// borrow takes a buffer that no disclosure in the making uses.
func (b *builder) borrow() []byte {
	if len(b.scratch) == 0 {
		return nil
	}
	last := b.scratch[len(b.scratch)-1]
	b.scratch = b.scratch[:len(b.scratch)-1]
	return last
}

// decoy is the digest of a random number (RFC 9901 §4.2.5).
func (b *builder) decoy() (d digest, err error) {
	var random [32]byte
	if _, err := io.ReadFull(b.rand, random[:]); err != nil {
		return d, err
	}
	sum := sha256.Sum256(random[:])
	b.digests++
	base64url.Encode(d[:], sum[:])
	return d, nil
}

// below draws a number below n. n is so small that the remainder's bias is out of reach.
func (b *builder) below(n int) (int, error) {
	var random [8]byte
	if _, err := io.ReadFull(b.rand, random[:]); err != nil {
		return 0, err
	}
	return int(binary.LittleEndian.Uint64(random[:]) % uint64(n)), nil
}
