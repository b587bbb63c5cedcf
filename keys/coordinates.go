package keys

import (
	"crypto/ecdsa"

	"github.com/emmansun/gmsm/sm2"
)

// Coordinates returns what other key formats are made of: both affine coordinates of a P-256 or SM2
// key, 32 bytes each, big-endian; for Ed25519 the 32-byte key and no y; nothing for the zero key.
// The caller must not change them.
func (k PublicKey) Coordinates() (x, y []byte) {
	if k.suite == nil || k.suite == Ed25519 {
		return k.raw, nil
	}
	point, err := uncompressedBytes(k)
	if err != nil {
		return nil, nil // unreachable: parsing put the point on the curve
	}
	return point[1:33], point[33:65]
}

func uncompressedBytes(k PublicKey) ([]byte, error) {
	pub := k.key.(*ecdsa.PublicKey)
	if k.suite != SM2 {
		return pub.Bytes()
	}
	point, err := sm2.PublicKeyToECDH(pub)
	if err != nil {
		return nil, err
	}
	return point.Bytes(), nil
}
