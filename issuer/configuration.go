package issuer

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// types are the credential types that the issuer knows how to make, by their names in the identifiers of
// configurations.
var types = []struct{ name, vct string }{{"resident-id", TypeResidentID}, {"guardianship", TypeGuardianship}}

// Configuration is one way in which a credential type is issued.
type Configuration struct {
	ID     string `json:"id"`
	Type   string `json:"type"`   // vct
	Format string `json:"format"` // oid4vci.FormatSDJWT or oid4vci.FormatMDoc
	// Certified says that the issuer's key is named by a certificate, and not by a DID URL.
	Certified bool `json:"certified"`

	record *trust.TypeRecord
}

// ways are how each type is issued.
var ways = []Configuration{
	{ID: "_sd-jwt", Format: oid4vci.FormatSDJWT},
	{ID: "_sd-jwt_x5c", Format: oid4vci.FormatSDJWT, Certified: true},
	{ID: "_mdoc", Format: oid4vci.FormatMDoc, Certified: true},
}

// offering remembers for a while which types the ledger has.
type offering struct {
	reading sync.Mutex // held by the one who reads the ledger

	mu   sync.Mutex
	list []*Configuration
	read time.Time
	docs map[string]document // made of list, by name
}

// What the ledger has is remembered for offeringLife, and when it is read anew for at most
// offeringPatience by the one caller who does, while others are told what was.
const (
	offeringLife     = time.Minute
	offeringPatience = 5 * time.Second
)

func (o *offering) known(now time.Time) (list []*Configuration, fresh bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.list, o.list != nil && now.Before(o.read.Add(offeringLife))
}

// Configurations lists the credential configurations that wallets can ask for: the types this issuer
// makes that are published on the ledger, in each format. When the ledger cannot be read, it is what
// was read last.
func (s *Service) Configurations(ctx context.Context) ([]*Configuration, error) {
	x, err := s.exchanging()
	if err != nil {
		return nil, err
	}
	o, now := &x.offered, s.cfg.Now()
	list, fresh := o.known(now)
	switch {
	case fresh:
		return list, nil
	case list == nil:
		o.reading.Lock()
	case !o.reading.TryLock():
		return list, nil
	}
	defer o.reading.Unlock()
	if list, fresh = o.known(now); fresh { // while this one waited
		return list, nil
	}
	ctx, cancel := context.WithTimeout(ctx, offeringPatience)
	defer cancel()
	got, err := s.published(ctx)
	if err != nil {
		if list != nil {
			return list, nil //nolint:nilerr // what was read last still holds
		}
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list, o.read, o.docs = got, now, map[string]document{}
	return got, nil
}

// document is something that is the same for everybody.
type document struct {
	body []byte
	made time.Time
}

// document is what compose makes, made once for all who ask until the ledger is read again, or could have been.
// Wallets ask for the metadata in every issuance, and signing them takes as long as signing a credential.
func (s *Service) document(ctx context.Context, name string, compose func(context.Context) ([]byte, error)) ([]byte, error) {
	if _, err := s.Configurations(ctx); err != nil {
		return nil, err
	}
	o, now := &s.exchange.offered, s.cfg.Now()
	o.mu.Lock()
	docs := o.docs
	d, there := docs[name]
	o.mu.Unlock()
	if there && now.Before(d.made.Add(offeringLife)) {
		return d.body, nil
	}
	body, err := compose(ctx)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	docs[name] = document{body, now} // of a reading that may be over by now: then nobody finds it
	return body, nil
}

// published reads from the ledger what there is to offer.
func (s *Service) published(ctx context.Context) (list []*Configuration, err error) {
	err = s.cfg.Ledger.Read(ctx, func(v client.View) error {
		list = []*Configuration{}
		for _, t := range types {
			record, err := trust.GetType(v, t.vct)
			if err != nil {
				return err
			}
			if record == nil {
				continue
			}
			for _, w := range ways {
				if w.Certified && s.exchange.chain == nil {
					continue
				}
				list = append(list, &Configuration{ID: t.name + w.ID, Type: t.vct, Format: w.Format, Certified: w.Certified, record: record})
			}
		}
		return nil
	})
	return list, err
}

// configuration finds one by its identifier; nil when there is none.
func (s *Service) configuration(ctx context.Context, id string) (*Configuration, error) {
	list, err := s.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(list, func(c *Configuration) bool { return c.ID == id }); i >= 0 {
		return list[i], nil
	}
	return nil, nil
}

// identifier names the one dataset that a person has for a configuration.
func (c *Configuration) identifier() string { return c.ID + ".1" }

// algs are the signature algorithms that holder keys may have.
func (c *Configuration) algs() []string {
	if c.Format == oid4vci.FormatMDoc {
		return []string{keys.P256.JOSEAlg()} // ISO/IEC 18013-5 readers have no other
	}
	return []string{keys.P256.JOSEAlg(), keys.Ed25519.JOSEAlg()}
}

// isDate reports whether a claim of the type is a date.
func (c *Configuration) isDate(path []string) bool {
	return c.record != nil && slices.ContainsFunc(c.record.Claims, func(claim tx.Claim) bool {
		return claim.Type == tx.ClaimDate && slices.Equal(claim.Path, path)
	})
}

// describe is the configuration as metadata.
func (c *Configuration) describe(s *Service) *oid4vci.CredentialConfig {
	d := &oid4vci.CredentialConfig{
		Format: c.Format, Scope: c.ID, Metadata: &oid4vci.CredentialMetadata{},
		ProofTypes: map[string]*oid4vci.ProofType{oid4vci.ProofJWT: {Algs: c.algs(), Required: s.exchange.KeyAttestation}},
	}
	if len(s.exchange.Providers) > 0 {
		d.ProofTypes[oid4vci.ProofAttestation] = d.ProofTypes[oid4vci.ProofJWT]
	}
	suite := s.cfg.Signer.Public().Suite()
	if c.Format == oid4vci.FormatMDoc {
		d.DocType, d.SigningAlgs, d.BindingMethods = c.Type, []any{suite.COSEAlg()}, []string{oid4vci.BindingCOSEKey}
	} else {
		d.VCT, d.SigningAlgs, d.BindingMethods = c.Type, []any{suite.JOSEAlg()}, []string{oid4vci.BindingJWK}
	}
	for _, t := range c.record.Display {
		d.Metadata.Display = append(d.Metadata.Display, oid4vci.Display{Name: t.Name, Locale: t.Lang, Description: t.Description})
	}
	for _, claim := range c.record.Claims {
		if c.Format == oid4vci.FormatMDoc && claim.Type == tx.ClaimObject {
			continue // its members are elements by themselves
		}
		e := oid4vci.ClaimDetail{Path: c.path(claim.Path), Mandatory: true}
		for _, l := range claim.Display {
			e.Display = append(e.Display, oid4vci.ClaimDisplay{Name: l.Label, Locale: l.Lang})
		}
		d.Metadata.Claims = append(d.Metadata.Claims, e)
	}
	return d
}

// path is where a claim is in the format (OpenID4VCI 1.0 Appendix C).
func (c *Configuration) path(names []string) []any {
	if c.Format == oid4vci.FormatMDoc {
		return []any{c.Type, strings.Join(names, ".")}
	}
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// encodeIDs and decodeIDs write a list of configurations for the store.
func encodeIDs(ids []string) (string, error) {
	raw, err := json.Marshal(ids)
	return string(raw), err
}

func decodeIDs(text string) (ids []string, err error) {
	err = json.Unmarshal([]byte(text), &ids)
	return ids, err
}

// known checks that every configuration exists.
func (s *Service) known(ctx context.Context, ids []string) error {
	for _, id := range ids {
		c, err := s.configuration(ctx, id)
		if err != nil {
			return err
		}
		if c == nil {
			return hufu.Refuse(oid4vci.RuleConfiguration, "no such credential configuration")
		}
	}
	return nil
}
