package tx

import (
	"unicode/utf8"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Nearly every transaction is a plain creation of an identifier. What is here reads one in a single pass over
// its bytes, where encoding.Unmarshal goes over them four times (check, decode, write again, compare). It knows
// that form alone and refuses nothing: what it does not know, whether fit or unfit, goes the general way, which
// is also the measure of what is here (FuzzReadCreate).

// createRoom has room for what most creations have, in one piece of memory.
type createRoom struct {
	body    DIDCreate
	sponsor hufu.ID
	key     [1][]byte
	next    [1]hufu.Digest
}

// sized is a slice of n elements: one, where that is enough.
func sized[T any](one *[1]T, n int) []T {
	if n == 1 {
		return one[:]
	}
	return make([]T, n)
}

// readCreate reads the payload of a creation by t's network that is in the deterministic form. With false,
// nothing is said about it, and p and room are of no use.
func readCreate(payload []byte, network hufu.Network, p *Payload, room *createRoom) bool {
	c := cursor{rest: payload}
	fields := c.expect(majorMap)
	if fields != 6 && fields != 7 {
		return false
	}
	c.exactly(majorUint, 1)
	if string(c.text()) != string(network) || !utf8.ValidString(string(network)) {
		return false
	}
	c.exactly(majorUint, 2)
	if string(c.text()) != string(KindDIDCreate) {
		return false
	}
	p.Network, p.Kind = network, KindDIDCreate
	c.exactly(majorUint, 3)
	c.array32((*[32]byte)(&p.Author))
	c.exactly(majorUint, 4)
	p.Sequence = c.expect(majorUint)
	c.exactly(majorUint, 5)
	p.Expires = hufu.Height(c.expect(majorUint))
	if fields == 7 {
		c.exactly(majorUint, 6)
		p.Sponsor = &room.sponsor
		c.array32((*[32]byte)(p.Sponsor))
	}
	c.exactly(majorUint, 7)
	p.Body = encoding.RawCBOR(c.rest)
	c.create(room)
	return c.err == nil && len(c.rest) == 0
}

// create reads the body of a creation without methods, services and guardians.
func (c *cursor) create(room *createRoom) {
	b := &room.body
	fields := c.expect(majorMap)
	if fields != 4 && fields != 5 {
		c.fail(errShape)
		return
	}
	c.exactly(majorUint, 1)
	b.Keys = sized(&room.key, c.count())
	for i := range b.Keys {
		b.Keys[i] = c.bytes()
	}
	c.exactly(majorUint, 2)
	b.Threshold = c.uint8()
	c.exactly(majorUint, 3)
	b.Next = sized(&room.next, c.count())
	for i := range b.Next {
		c.array32((*[32]byte)(&b.Next[i]))
	}
	c.exactly(majorUint, 4)
	b.NextThreshold = c.uint8()
	if fields == 5 {
		c.exactly(majorUint, 7)
		if b.Salt = c.bytes(); len(b.Salt) == 0 {
			c.fail(errShape) // absent is how no salt is written
		}
	}
}

// count reads the length of an array of keys or digests.
func (c *cursor) count() int {
	n := c.expect(majorArray)
	if c.err == nil && n > MaxControlKeys {
		c.fail(errShape)
	}
	if c.err != nil {
		return 0
	}
	return int(n)
}

func (c *cursor) uint8() uint8 {
	n := c.expect(majorUint)
	if n > 0xff {
		c.fail(errShape)
	}
	return uint8(n)
}

func (c *cursor) text() []byte { return c.string(majorText) }

func (c *cursor) array32(to *[32]byte) {
	b := c.bytes()
	if c.err == nil && len(b) != len(to) {
		c.fail(errShape)
	}
	copy(to[:], b)
}
