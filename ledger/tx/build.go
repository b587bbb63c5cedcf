package tx

import (
	"fmt"
	"io"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// SignerRef is one key that signs a transaction.
type SignerRef struct {
	ID       hufu.ID // whose control key it is; zero: the author's
	KeyIndex uint8   // its index among all control keys that ID ever had
	Signer   keys.Signer
}

// Build writes and signs a transaction. It fills in p.Kind and p.Body from body, and for an inception
// p.Author; signers may come in any order. rand is read by suites whose signatures are randomised.
// The result parses, or an error says what is wrong with it.
func Build(rand io.Reader, p Payload, body Body, signers ...SignerRef) ([]byte, error) {
	raw, err := encoding.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("tx: body: %w", err)
	}
	p.Kind, p.Body = body.Kind(), raw
	if p.Kind == KindDIDCreate && p.Author.IsZero() {
		p.Author = inceptionID(p.Network, raw)
	}
	payload, err := encoding.Marshal(&p)
	if err != nil {
		return nil, fmt.Errorf("tx: payload: %w", err)
	}
	sigs := make([]Signature, len(signers))
	for i, s := range order(p.Author, signers) {
		alg := s.Signer.Public().Suite().COSEAlg()
		protected := protectedHeader(alg, s.ID, s.KeyIndex)
		sig, err := s.Signer.Sign(rand, appendSigStructure(nil, p.Network, protected, payload))
		if err != nil {
			return nil, fmt.Errorf("tx: sign: %w", err)
		}
		sigs[i] = Signature{Sig: sig, protected: protected}
	}
	msg := message(payload, sigs)
	if _, err := Parse(msg, p.Network); err != nil {
		return nil, err
	}
	return msg, nil
}

// order sorts signers as a transaction has them: the author's first, each signer's by key.
func order(author hufu.ID, signers []SignerRef) []SignerRef {
	out := slices.Clone(signers)
	for i := range out {
		if out[i].ID.IsZero() {
			out[i].ID = author
		}
	}
	slices.SortStableFunc(out, func(a, b SignerRef) int {
		switch {
		case a.ID == b.ID:
			return int(a.KeyIndex) - int(b.KeyIndex)
		case a.ID == author:
			return -1
		case b.ID == author:
			return 1
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out
}
