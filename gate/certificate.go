package gate

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

// Certificate is a gate's name for wallets that know no ledger: a P-256 key with a certificate under an
// authority that is a key of the gate's DID.
type Certificate struct {
	Signer keys.Signer
	Chain  [][]byte // DER, the signer's first; authorities between it and the one that wallets trust may follow
}

// certificateLife is how long a certificate of [Certify] holds. It is made anew when a gate starts.
const certificateLife = 90 * 24 * time.Hour

// Certify makes a new key and a certificate for it, with the host names that wallets reach the gate by.
// authority is a P-256 key that did has on the ledger for assertions.
func Certify(rand io.Reader, did hufu.DID, authority keys.Signer, name string, dns []string, now time.Time) (*Certificate, error) {
	from := now.Truncate(time.Second) // not earlier: the authority may be as new as the gate
	ca, err := x5c.MakeCA(rand, authority, did, x5c.Subject{CommonName: name + " authority"}, from, from.Add(certificateLife+24*time.Hour))
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	signer, err := keys.P256.Generate(rand)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	leaf, err := x5c.MakeLeaf(rand, ca, authority, x5c.Leaf{
		Key: signer.Public(), DID: did, DNS: dns, Subject: x5c.Subject{CommonName: name}, Use: x5c.Reader, NotBefore: from, NotAfter: from.Add(certificateLife),
	})
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	// Without the authority's: who trusts it has it, and HAIP 1.0 §5 keeps trust anchors out of x5c.
	return &Certificate{Signer: signer, Chain: [][]byte{leaf}}, nil
}

func (c *Certificate) leaf() (x5c.Certified, error) {
	chain, err := x5c.Parse(c.Chain)
	if err != nil {
		return x5c.Certified{}, fmt.Errorf("gate: certificate: %w", err)
	}
	return chain.Leaf(), nil
}

func (c *Certificate) check(did hufu.DID) error {
	leaf, err := c.leaf()
	switch {
	case err != nil:
		return err
	case c.Signer == nil || !leaf.Key.Equal(c.Signer.Public()):
		return errors.New("gate: the certificate is not the signer's")
	case leaf.DID != did:
		return errors.New("gate: the certificate names another identifier than the gate's")
	}
	return nil
}
