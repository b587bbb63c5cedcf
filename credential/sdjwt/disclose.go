package sdjwt

import (
	"crypto/sha256"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

// Names with a meaning of their own in a payload (RFC 9901 §4.1, §4.2.4).
const (
	nameDigests = "_sd"
	nameHashAlg = "_sd_alg"
	nameElement = "..."
	hashAlg     = "sha-256"
)

// digestLen is the length of a SHA-256 digest in base64url.
const digestLen = 43

// disclosure is one salted claim (RFC 9901 §4.2).
type disclosure struct {
	encoded string
	name    chars // of an object's member
	member  bool  // with a name; otherwise an array's element
	value   int32
	under   int32 // 1 + the disclosure whose value refers to this one, 0: the payload does
}

// digests notes every digest met so far. Few are found faster in a list, many in a map.
type digests struct {
	list  []digestNote
	index map[string]int // from manyDigests on
}

type digestNote struct {
	digest     string
	disclosure int32 // 1 + the presented disclosure that waits for its place, 0 for none, or spent
}

const (
	spent       int32 = -1
	manyDigests int   = 64
)

// find returns the note of a digest, which it may add, and whether it was there before. The note is
// valid until the next call.
func (d *digests) find(digest string) (note *digestNote, there bool) {
	if d.index != nil {
		if i, there := d.index[digest]; there {
			return &d.list[i], true
		}
		d.index[digest] = len(d.list)
	} else {
		for i := range d.list {
			if d.list[i].digest == digest {
				return &d.list[i], true
			}
		}
	}
	d.list = append(d.list, digestNote{digest: digest})
	if len(d.list) == manyDigests {
		d.index = make(map[string]int, 4*manyDigests)
		for i := range d.list {
			d.index[d.list[i].digest] = i
		}
	}
	return &d.list[len(d.list)-1], false
}

// registered reports whether a claim and all that is in it must be in the clear (SD-JWT VC,
// Registered JWT Claims).
func registered(name string) bool {
	switch name {
	case "iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "aka_vcts", "status":
		return true
	}
	return false
}

// wait notes the digests of the presented disclosures, one behind the other in all.
func (d *digests) wait(all string, count int) error {
	d.list = make([]digestNote, 0, 2*count+24)
	for i := range count {
		note, there := d.find(all[i*digestLen : (i+1)*digestLen])
		if there {
			return hufu.Refuse(RuleDigestTwice, "disclosure %d was there before", i+1)
		}
		note.disclosure = int32(i + 1)
	}
	return nil
}

// readDisclosures parses the decoded disclosures.
func (s *sdJWT) readDisclosures(texts []span) error {
	for i := range s.disclosures {
		root, err := s.read("disclosure", texts[i])
		if err != nil {
			return err
		}
		if err := s.disclosures[i].take(&s.tree, root); err != nil {
			return err
		}
	}
	return nil
}

var errDisclosure = hufu.Refuse(RuleDisclosure, "not an array of a salt, a name for a member of an object, and a value")

// take reads the array of salt, name if any, and value.
func (d *disclosure) take(t *tree, root int32) error {
	parts := [3]int32{}
	count := 0
	if t.nodes[root].kind != array {
		return errDisclosure
	}
	for c := t.nodes[root].first; c != none; c = t.nodes[c].next {
		if count == len(parts) {
			return errDisclosure
		}
		parts[count] = c
		count++
	}
	if count < 2 || t.nodes[parts[0]].kind != text {
		return errDisclosure
	}
	d.value = parts[count-1]
	if count == 3 {
		if t.nodes[parts[1]].kind != text {
			return errDisclosure
		}
		d.member, d.name = true, t.nodes[parts[1]].text
		switch t.chars(d.name) {
		case nameDigests, nameHashAlg, nameElement:
			return hufu.Refuse(RuleClaimName, "a disclosure of a claim with a reserved name")
		}
	}
	return nil
}

// place is where in the payload something stands.
type place uint8

const (
	inside place = iota
	top
	clear // in a registered claim, where nothing is selectively disclosable
)

// merge puts every presented disclosure where its digest is and takes the digests out (RFC 9901
// §7.1 step 3), which leaves the processed payload.
func (s *sdJWT) merge() error {
	if err := s.mergeValue(s.payload, 1, top, 0); err != nil {
		return err
	}
	for i := range s.disclosures {
		if s.nodes[s.disclosures[i].value].disclosure == 0 {
			return hufu.Refuse(RuleUnreferenced, "disclosure %d has its digest nowhere", i+1)
		}
	}
	return nil
}

func (s *sdJWT) mergeValue(at int32, depth int, p place, under int32) error {
	if depth > encoding.MaxJSONDepth+1 {
		return errDepth
	}
	switch s.nodes[at].kind {
	case object:
		return s.mergeObject(at, depth, p, under)
	case array:
		return s.mergeArray(at, depth, p, under)
	}
	return nil
}

func (s *sdJWT) mergeObject(at int32, depth int, p place, under int32) error {
	sd, last, count := none, none, 0
	for c := s.nodes[at].first; c != none; c = s.nodes[c].next {
		n, name := &s.nodes[c], s.name(c)
		below := inside
		switch {
		case name == nameElement:
			return hufu.Refuse(RuleDigests, "a member ... that stands for no array element")
		case name == nameDigests:
			sd = c
			s.unlink(at, last, c)
			continue
		case name == nameHashAlg:
			if p != top || n.kind != text || s.value(c) != hashAlg {
				return hufu.Refuse(RuleHashAlg, "_sd_alg must be %s and at the top level", hashAlg)
			}
			s.unlink(at, last, c)
			continue
		case p == clear, p == top && registered(name):
			below = clear
		}
		if n.first != none {
			if err := s.mergeValue(c, depth+1, below, under); err != nil {
				return err
			}
		}
		last = c
		count++
	}
	if sd == none {
		return nil
	}
	if p == clear {
		return hufu.Refuse(RuleRegistered, "digests inside a registered claim")
	}
	return s.mergeMembers(at, last, count, sd, depth, p, under)
}

// unlink takes child, which follows last, out of parent's chain. Its own next stays.
func (t *tree) unlink(parent, last, child int32) { t.link(parent, last, t.nodes[child].next) }

// mergeMembers adds the disclosed members whose digests are in sd to an object.
func (s *sdJWT) mergeMembers(at, last int32, count int, sd int32, depth int, p place, under int32) error {
	if s.nodes[sd].kind != array {
		return hufu.Refuse(RuleDigests, "_sd is not an array of strings")
	}
	present := names{tree: &s.tree, count: count}
	for c := s.nodes[sd].first; c != none; c = s.nodes[c].next {
		if s.nodes[c].kind != text {
			return hufu.Refuse(RuleDigests, "_sd is not an array of strings")
		}
		i, err := s.spend(s.value(c))
		if err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		d := &s.disclosures[i-1]
		switch {
		case !d.member:
			return hufu.Refuse(RuleDisclosure, "disclosure %d has no name and belongs to an object", i)
		case p == top && registered(s.chars(d.name)):
			return hufu.Refuse(RuleRegistered, "disclosure %d is of a claim that must be in the clear", i)
		case !present.add(at, s.chars(d.name)):
			return hufu.Refuse(RuleCollision, "disclosure %d is of a claim that is there already", i)
		}
		d.under = under
		v := &s.nodes[d.value]
		v.name, v.next, v.disclosure = d.name, none, int16(i)
		s.link(at, last, d.value)
		last = d.value
		if err := s.mergeValue(d.value, depth+1, inside, i); err != nil {
			return err
		}
	}
	return nil
}

// mergeArray is mergeObject for arrays, which are never at the top.
func (s *sdJWT) mergeArray(at int32, depth int, p place, under int32) error {
	last := none
	for c := s.nodes[at].first; c != none; c = s.nodes[c].next {
		ref, err := s.element(c)
		if err != nil {
			return err
		}
		if ref == none {
			if err := s.mergeValue(c, depth+1, p, under); err != nil {
				return err
			}
			last = c
			continue
		}
		if p == clear {
			return hufu.Refuse(RuleRegistered, "digests inside a registered claim")
		}
		i, err := s.spend(s.value(ref))
		if err != nil {
			return err
		}
		s.unlink(at, last, c)
		if i == 0 {
			continue
		}
		d := &s.disclosures[i-1]
		if d.member {
			return hufu.Refuse(RuleDisclosure, "disclosure %d has a name and belongs to an array", i)
		}
		d.under = under
		v := &s.nodes[d.value]
		v.next, v.disclosure = s.nodes[c].next, int16(i)
		s.link(at, last, d.value)
		if err := s.mergeValue(d.value, depth+1, inside, i); err != nil {
			return err
		}
		last = d.value
	}
	return nil
}

// element returns the digest in an array's element of the form {"...": digest}, none for any other.
func (t *tree) element(at int32) (int32, error) {
	if t.nodes[at].kind != object {
		return none, nil
	}
	ref := t.member(at, nameElement)
	if ref == none {
		return none, nil
	}
	if t.nodes[ref].kind != text || t.nodes[at].first != ref || t.nodes[ref].next != none {
		return none, hufu.Refuse(RuleDigests, "... is not alone in its object or not a string")
	}
	return ref, nil
}

// spend notes that a digest was met and returns 1 + the disclosure it stands for, or 0. A digest has
// one place (RFC 9901 §7.1 step 4).
func (s *sdJWT) spend(digest string) (int32, error) {
	note, _ := s.digests.find(digest)
	i := note.disclosure
	if i == spent {
		return 0, hufu.Refuse(RuleDigestTwice, "a digest that was met before")
	}
	if s.met++; s.met > MaxDigests {
		return 0, hufu.Refuse(RuleTooLarge, "more than %d digests", MaxDigests)
	}
	note.disclosure = spent
	return i, nil
}

// digestOf is the digest of what a key binding signs.
func digestOf(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return jws.EncodeBase64(sum[:])
}
