package tx

import (
	"crypto/sha256"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// Payload is what is signed.
type Payload struct {
	Network  hufu.Network     `cbor:"1,keyasint"`
	Kind     Kind             `cbor:"2,keyasint"`
	Author   hufu.ID          `cbor:"3,keyasint"`
	Sequence uint64           `cbor:"4,keyasint"`           // the author's transactions count from 0, its did.create
	Expires  hufu.Height      `cbor:"5,keyasint"`           // last block it may be in
	Sponsor  *hufu.ID         `cbor:"6,keyasint,omitempty"` // member whose quota is charged instead
	Body     encoding.RawCBOR `cbor:"7,keyasint"`
}

// Signature is one signature of a transaction, not yet checked.
type Signature struct {
	Alg      int64   // COSE algorithm
	Signer   hufu.ID // the author or the sponsor
	KeyIndex uint8   // which of the signer's control keys, counted over its whole history
	Sig      []byte

	protected []byte // encoded protected header
}

// Tx is a transaction that [Parse] accepted.
type Tx struct {
	Payload    Payload
	Body       Body // what Payload.Body holds
	Signatures []Signature

	raw     []byte
	payload []byte // encoded Payload within raw
	id      hufu.Digest
	control []keys.PublicKey

	signature [1]Signature // room for the first, and mostly only one
}

// ID is the SHA-256 of the transaction's bytes, the identifier that CometBFT gives it too.
func (t *Tx) ID() hufu.Digest { return t.id }

// ControlKeys are the keys of an inception's or a rotation's body, already parsed; for other kinds
// there are none.
func (t *Tx) ControlKeys() []keys.PublicKey { return t.control }

// Raw is the transaction's bytes. The caller must not change them.
func (t *Tx) Raw() []byte { return t.raw }

// SigningBytes is what Signatures[i] signs: the Sig_structure of RFC 9052 §4.4.
func (t *Tx) SigningBytes(i int) []byte { return t.AppendSigningBytes(nil, i) }

// AppendSigningBytes appends what SigningBytes returns to b.
func (t *Tx) AppendSigningBytes(b []byte, i int) []byte {
	return appendSigStructure(b, t.Payload.Network, t.Signatures[i].protected, t.payload)
}

// InceptionID is the identifier that an inception event creates: the SHA-256 of
// "hufu/did/v1" 0x00 network 0x00 and the event's CBOR.
func InceptionID(network hufu.Network, b *DIDCreate) hufu.ID {
	raw, err := encoding.Marshal(b)
	if err != nil {
		return hufu.ID{} // no event has fields that cannot be written
	}
	return inceptionID(network, raw)
}

const inceptionDomain = "hufu/did/v1\x00"

func inceptionID(network hufu.Network, body []byte) hufu.ID {
	var room [512]byte // enough for most, so that nothing is allocated
	in := append(room[:0], inceptionDomain...)
	in = append(in, network...)
	in = append(in, 0)
	return sha256.Sum256(append(in, body...))
}
