package issuer

import (
	"fmt"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// sign makes the copies of a batch in the format that is asked for. The same is said in each.
func (s *Service) sign(b *batch, i *issuance) ([]string, error) {
	make := s.signSDJWT
	if i.configuration.Format == oid4vci.FormatMDoc {
		make = s.signMDoc
	}
	out, err := make(b, i)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return out, nil
}

func (s *Service) signSDJWT(b *batch, i *issuance) ([]string, error) {
	copies := make([]sdjwt.Copy, len(i.holders))
	for n := range i.holders {
		copies[n] = sdjwt.Copy{HolderKey: i.holders[n], Status: &sdjwt.StatusRef{URI: b.status[n].uri, Index: b.status[n].index}}
	}
	p := sdjwt.IssueParams{
		Type: b.vct, Issuer: string(s.cfg.DID), Signer: s.cfg.Signer,
		Claims: b.claims, Decoys: decoys, IssuedAt: b.issuedAt, ExpiresAt: b.expiresAt,
	}
	if i.configuration.Certified {
		p.Chain = s.exchange.chain
	} else {
		p.KeyID = s.cfg.DID.URL(s.cfg.Fragment)
	}
	return sdjwt.IssueBatch(s.cfg.Rand, p, copies)
}

func (s *Service) signMDoc(b *batch, i *issuance) ([]string, error) {
	elements, err := mdoc.ElementsOf(b.vct, b.claims, i.configuration.isDate)
	if err != nil {
		return nil, err
	}
	copies := make([]mdoc.Copy, len(i.holders))
	for n := range i.holders {
		copies[n] = mdoc.Copy{DeviceKey: i.holders[n], Status: &mdoc.StatusRef{URI: b.status[n].uri, Index: b.status[n].index}}
	}
	return mdoc.IssueBatch(s.cfg.Rand, mdoc.IssueParams{
		DocType: b.vct, Elements: elements, Signer: s.cfg.Signer, Chain: s.exchange.chain,
		Signed: b.issuedAt, ValidUntil: b.expiresAt, Decoys: decoys,
	}, copies)
}

// within keeps the times of a credential inside those of the signer's certificate.
func (x *exchange) within(issuedAt, expires time.Time) (time.Time, time.Time, error) {
	if issuedAt.Before(x.certified.NotBefore) {
		issuedAt = x.certified.NotBefore.UTC()
	}
	if expires.After(x.certified.NotAfter) {
		expires = x.certified.NotAfter.UTC()
	}
	if !expires.After(issuedAt) {
		return issuedAt, expires, hufu.Refuse(RuleCertificate, "the certificate of the signer's key is past its time")
	}
	return issuedAt, expires, nil
}
