package issuer

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// signedMetadataLife is how long signed metadata may be relied upon.
const signedMetadataLife = 24 * time.Hour

// Metadata describes the issuer to wallets (OpenID4VCI 1.0 §12.2).
func (s *Service) Metadata(ctx context.Context) (*oid4vci.IssuerMetadata, error) {
	list, err := s.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	x := s.exchange
	keySet, err := json.Marshal(jwe.KeySet{Keys: []jwe.JWK{x.encryption.Public().JWK()}})
	if err != nil {
		return nil, err
	}
	m := &oid4vci.IssuerMetadata{
		CredentialIssuer: x.URL, CredentialEndpoint: x.endpoint("credential"), NonceEndpoint: x.endpoint("nonce"),
		DeferredEndpoint: x.endpoint("deferred_credential"), NotificationEndpoint: x.endpoint("notification"),
		RequestEncryption:  &oid4vci.RequestEncryptionMetadata{JWKS: keySet, Encs: jwe.Encs(), Required: x.EncryptRequests || x.EncryptResponses},
		ResponseEncryption: &oid4vci.ResponseEncryptionMetadata{Algs: []string{jwe.Alg}, Encs: jwe.Encs(), Required: x.EncryptResponses},
		Configurations:     make(map[string]*oid4vci.CredentialConfig, len(list)),
	}
	if x.Batch > 1 {
		m.Batch = &oid4vci.BatchMetadata{Size: x.Batch}
	}
	for _, lang := range slices.Sorted(maps.Keys(x.Name)) {
		m.Display = append(m.Display, oid4vci.Display{Name: x.Name[lang], Locale: lang})
	}
	for _, c := range list {
		m.Configurations[c.ID] = c.describe(s)
	}
	return m, nil
}

// SignedMetadata is the metadata as a JWT (§12.2.3), signed by the key that signs credentials.
func (s *Service) SignedMetadata(ctx context.Context) (string, error) {
	m, err := s.Metadata(ctx)
	if err != nil {
		return "", err
	}
	header := jws.Header{"kid": s.cfg.DID.URL(s.cfg.Fragment)}
	if s.exchange.chain != nil {
		header["x5c"] = x5c.Header(s.exchange.chain...)
	}
	now := s.cfg.Now()
	return m.Sign(s.cfg.Rand, header, s.cfg.Signer, string(s.cfg.DID), now, now.Add(signedMetadataLife))
}

// ServerMetadata describes the authorization server (RFC 8414).
func (s *Service) ServerMetadata(ctx context.Context) (*oauth.ServerMetadata, error) {
	list, err := s.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	x := s.exchange
	m := &oauth.ServerMetadata{
		Issuer: x.URL, AuthorizationEndpoint: x.endpoint("authorize"), TokenEndpoint: x.endpoint("token"),
		PushedEndpoint: x.endpoint("par"), PushedRequired: true,
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query"}, ChallengeMethods: []string{oauth.ChallengeMethod},
		Grants: []string{oauth.GrantCode, oauth.GrantPreAuthorized}, ClientAuth: []string{oauth.AuthNone},
		DPoPAlgs: oauth.SigningAlgs(), IssuerInResponse: true, AnonymousPreAuthorized: !x.WalletAttestation,
		DetailsTypes: []string{oid4vci.DetailsType}, UILocales: languages(),
	}
	if x.RefreshLife > 0 {
		m.Grants = append(m.Grants, oauth.GrantRefresh)
	}
	if len(x.Providers) > 0 {
		m.ChallengeEndpoint = x.endpoint("challenge")
		m.AttestationAlgs, m.AttestationPoPAlgs = oauth.SigningAlgs(), oauth.SigningAlgs()
		m.ClientAuth = append(m.ClientAuth, oauth.AuthAttestation)
		if x.WalletAttestation {
			m.ClientAuth = m.ClientAuth[1:]
		}
	}
	for _, c := range list {
		m.Scopes = append(m.Scopes, c.ID)
	}
	return m, nil
}

// KeyMetadata names the keys that credentials are signed with (SD-JWT VC §3.5).
type KeyMetadata struct {
	Issuer string `json:"issuer"`
	JWKS   keySet `json:"jwks"`
}

type keySet struct {
	Keys []signingKey `json:"keys"`
}

type signingKey struct {
	jws.JWK
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	X5C []any  `json:"x5c,omitempty"`
}

// KeyMetadata is the JWT VC Issuer Metadata. Who believes the ledger needs none of it: a kid is a DID
// URL.
func (s *Service) KeyMetadata() (*KeyMetadata, error) {
	x, err := s.exchanging()
	if err != nil {
		return nil, err
	}
	pub := s.cfg.Signer.Public()
	k := signingKey{JWK: jws.NewJWK(pub), Use: "sig", Alg: pub.Suite().JOSEAlg(), Kid: s.cfg.DID.URL(s.cfg.Fragment)}
	if x.chain != nil {
		k.X5C = x5c.Header(x.chain...)
	}
	return &KeyMetadata{Issuer: x.URL, JWKS: keySet{[]signingKey{k}}}, nil
}
