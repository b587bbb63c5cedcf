package tx

import (
	"errors"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Heads and labels of COSE_Sign (RFC 9052 §4.1, §3.1; CBOR major types of RFC 8949 §3.1).
const (
	majorUint, majorNegint, majorBytes        = encoding.MajorUint, encoding.MajorNegint, encoding.MajorBytes
	majorText, majorArray, majorMap, majorTag = encoding.MajorText, encoding.MajorArray, encoding.MajorMap, encoding.MajorTag

	tagCOSESign = 98
	labelAlg    = 1
	labelKid    = 4
	kidLen      = len(hufu.ID{}) + 1

	externalDomain   = "hufu/tx/v1\x00"
	signatureContext = "Signature"
)

var (
	errShape = errors.New("not the shape of a COSE_Sign message")
	errShort = errors.New("truncated")
	errLong  = errors.New("an integer or length not in its shortest form")
)

func appendHead(b []byte, major byte, n uint64) []byte { return encoding.AppendHead(b, major, n) }

func appendBytes(b, s []byte) []byte { return append(appendHead(b, majorBytes, uint64(len(s))), s...) }

// protectedHeader is {1: alg, 4: signer ‖ index}.
func protectedHeader(alg int64, signer hufu.ID, index uint8) []byte {
	b := make([]byte, 0, 48)
	b = appendHead(b, majorMap, 2)
	b = appendHead(b, majorUint, labelAlg)
	if alg < 0 {
		b = appendHead(b, majorNegint, uint64(-1-alg))
	} else {
		b = appendHead(b, majorUint, uint64(alg))
	}
	b = appendHead(b, majorUint, labelKid)
	b = appendHead(b, majorBytes, uint64(kidLen))
	return append(append(b, signer[:]...), index)
}

// appendSigStructure appends the bytes a signer signs (RFC 9052 §4.4), with an empty body header and the
// network's domain as external data.
func appendSigStructure(b []byte, network hufu.Network, protected, payload []byte) []byte {
	b = slices.Grow(b, 96+len(network)+len(protected)+len(payload))
	b = appendHead(b, majorArray, 5)
	b = append(appendHead(b, majorText, uint64(len(signatureContext))), signatureContext...)
	b = appendHead(b, majorBytes, 0)
	b = appendBytes(b, protected)
	b = appendHead(b, majorBytes, uint64(len(externalDomain)+len(network)))
	b = append(append(b, externalDomain...), network...)
	return appendBytes(b, payload)
}

// message writes the COSE_Sign message.
func message(payload []byte, sigs []Signature) []byte {
	b := make([]byte, 0, 16+len(payload)+len(sigs)*128)
	b = appendHead(b, majorTag, tagCOSESign)
	b = appendHead(b, majorArray, 4)
	b = appendHead(b, majorBytes, 0)
	b = appendHead(b, majorMap, 0)
	b = appendBytes(b, payload)
	b = appendHead(b, majorArray, uint64(len(sigs)))
	for _, s := range sigs {
		b = appendHead(b, majorArray, 3)
		b = appendBytes(b, s.protected)
		b = appendHead(b, majorMap, 0)
		b = appendBytes(b, s.Sig)
	}
	return b
}

// cursor reads the fixed shape of a message. The first error sticks.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err, c.rest = err, nil
	}
}

// head reads a head and returns its major type and argument.
func (c *cursor) head() (major byte, n uint64) {
	if len(c.rest) == 0 {
		c.fail(errShort)
		return 0xff, 0
	}
	major, info := c.rest[0]>>5, c.rest[0]&0x1f
	if info < 24 {
		c.rest = c.rest[1:]
		return major, uint64(info)
	}
	if info > 27 || major == 7 {
		c.fail(errShape)
		return 0xff, 0
	}
	size := 1 << (info - 24)
	if len(c.rest) < 1+size {
		c.fail(errShort)
		return 0xff, 0
	}
	for _, d := range c.rest[1 : 1+size] {
		n = n<<8 | uint64(d)
	}
	if n < 24 || (size > 1 && n>>(4*size) == 0) {
		c.fail(errLong)
		return 0xff, 0
	}
	c.rest = c.rest[1+size:]
	return major, n
}

func (c *cursor) expect(major byte) uint64 {
	got, n := c.head()
	if c.err == nil && got != major {
		c.fail(errShape)
	}
	return n
}

func (c *cursor) exactly(major byte, n uint64) {
	if got := c.expect(major); c.err == nil && got != n {
		c.fail(errShape)
	}
}

func (c *cursor) bytes() []byte { return c.string(majorBytes) }

// string reads a byte or text string.
func (c *cursor) string(major byte) []byte {
	n := c.expect(major)
	if c.err != nil {
		return nil
	}
	if n > uint64(len(c.rest)) {
		c.fail(errShort)
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}
