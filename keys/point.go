package keys

import (
	"crypto/ecdsa"
	"fmt"
)

// coordinateLen is the length in bytes of one coordinate of a point of P-256 and of SM2's curve.
const coordinateLen = 32

// NewPublicKeyFromPoint makes the key of a curve point given by both coordinates, 32 bytes each and
// big-endian, as a JWK carries it (RFC 7518 §6.2.1). It refuses a point that is not on the suite's
// curve. Unlike [NewPublicKey] it has no square root to take, which matters where each message
// brings its own key.
func NewPublicKeyFromPoint(s *Suite, x, y []byte) (PublicKey, error) {
	c, ok := s.impl.(pointScheme)
	if !ok {
		return PublicKey{}, fmt.Errorf("keys: a public key of %s is no pair of coordinates", s.name)
	}
	if len(x) != coordinateLen || len(y) != coordinateLen {
		return PublicKey{}, fmt.Errorf("keys: %s coordinates of %d and %d bytes, not %d", s.name, len(x), len(y), coordinateLen)
	}
	var point [1 + 2*coordinateLen]byte
	point[0] = 4
	copy(point[1:], x)
	copy(point[1+coordinateLen:], y)
	key, err := c.parsePoint(point[:])
	if err != nil {
		return PublicKey{}, fmt.Errorf("keys: %s public key: not a point of the curve", s.name)
	}
	raw := make([]byte, 1+coordinateLen)
	raw[0] = 2 + y[coordinateLen-1]&1
	copy(raw[1:], x)
	return PublicKey{suite: s, raw: raw, key: key}, nil
}

// pointScheme is a suite whose keys are points with two coordinates.
type pointScheme interface {
	// parsePoint reads the uncompressed form (SEC 1 §2.3.4).
	parsePoint(raw []byte) (*ecdsa.PublicKey, error)
}
