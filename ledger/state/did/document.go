package did

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Document is a DID document (DID Core 1.0 §5).
type Document struct {
	Context              []string             `json:"@context"`
	ID                   hufu.DID             `json:"id"`
	VerificationMethod   []VerificationMethod `json:"verificationMethod,omitempty"`
	Authentication       []string             `json:"authentication,omitempty"`
	AssertionMethod      []string             `json:"assertionMethod,omitempty"`
	KeyAgreement         []string             `json:"keyAgreement,omitempty"`
	CapabilityInvocation []string             `json:"capabilityInvocation,omitempty"`
	Service              []ServiceEndpoint    `json:"service,omitempty"`
}

// VerificationMethod is a Multikey (Controlled Identifiers 1.0 §2.2.2).
type VerificationMethod struct {
	ID                 string   `json:"id"`
	Type               string   `json:"type"`
	Controller         hufu.DID `json:"controller"`
	PublicKeyMultibase string   `json:"publicKeyMultibase"`
}

// ServiceEndpoint is a service (DID Core 1.0 §5.4).
type ServiceEndpoint struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Endpoint string `json:"serviceEndpoint"`
}

// Names of the standards' vocabularies.
const (
	ContextDID      = "https://www.w3.org/ns/did/v1"
	ContextMultikey = "https://w3id.org/security/multikey/v1"
)

// NewDocument is the DID document of rec's present keys. It has keys in order of their index and
// methods in order of their addition. That each key's bytes are a point of its curve was checked when the
// ledger took it in, and is not again.
func NewDocument(rec *Record, network hufu.Network) (*Document, error) {
	did := rec.ID.DID(network)
	doc := &Document{Context: []string{ContextDID, ContextMultikey}, ID: did}
	if rec.IsDeactivated() {
		return doc, nil
	}
	for _, i := range rec.CurrentKeys() {
		if err := doc.add(ControlFragment(i), rec.Keys[i].Multikey, controlPurposes); err != nil {
			return nil, err
		}
	}
	for i := range rec.Methods {
		if m := &rec.Methods[i]; m.Current() {
			if err := doc.add(m.Fragment, m.Multikey, m.Purposes); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range rec.Services {
		doc.Service = append(doc.Service, ServiceEndpoint{ID: did.URL(s.Fragment), Type: s.Type, Endpoint: s.Endpoint})
	}
	return doc, nil
}

func (d *Document) add(fragment string, multikey []byte, purposes uint8) error {
	if _, err := keys.ReadMultikey(multikey); err != nil {
		return err
	}
	id := d.ID.URL(fragment)
	d.VerificationMethod = append(d.VerificationMethod, VerificationMethod{
		ID: id, Type: "Multikey", Controller: d.ID, PublicKeyMultibase: hufu.EncodeMultibase(multikey),
	})
	for _, r := range []struct {
		bit  uint8
		list *[]string
	}{
		{tx.PurposeAuthentication, &d.Authentication},
		{tx.PurposeAssertion, &d.AssertionMethod},
		{tx.PurposeAgreement, &d.KeyAgreement},
		{tx.PurposeInvocation, &d.CapabilityInvocation},
	} {
		if purposes&r.bit != 0 {
			*r.list = append(*r.list, id)
		}
	}
	return nil
}
