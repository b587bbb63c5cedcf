package oid4vci

import (
	"encoding/json"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
)

const (
	// MetadataName is the well-known name of an issuer's metadata (§12.2.2).
	MetadataName = "openid-credential-issuer"
	// MetadataMediaType is the "typ" of signed metadata (§12.2.3); they are served as application/jwt.
	MetadataMediaType = "openidvci-issuer-metadata+jwt"
	// MaxMetadataBytes bounds metadata that is read: logos may be in it as data: URLs.
	MaxMetadataBytes = 2 << 20
	// maxSupported bounds the credential configurations in metadata that are read.
	maxSupported = 1024
)

// The credential formats (Appendix A).
const (
	FormatSDJWT = "dc+sd-jwt"
	FormatMDoc  = "mso_mdoc"
)

// How keys that credentials are bound to are written.
const (
	BindingJWK     = "jwk"
	BindingCOSEKey = "cose_key"
)

// IssuerMetadata describes an issuer (§12.2.4).
type IssuerMetadata struct {
	CredentialIssuer     string                       `json:"credential_issuer"`
	AuthorizationServers []string                     `json:"authorization_servers,omitempty"`
	CredentialEndpoint   string                       `json:"credential_endpoint"`
	NonceEndpoint        string                       `json:"nonce_endpoint,omitempty"`
	DeferredEndpoint     string                       `json:"deferred_credential_endpoint,omitempty"`
	NotificationEndpoint string                       `json:"notification_endpoint,omitempty"`
	RequestEncryption    *RequestEncryptionMetadata   `json:"credential_request_encryption,omitempty"`
	ResponseEncryption   *ResponseEncryptionMetadata  `json:"credential_response_encryption,omitempty"`
	Batch                *BatchMetadata               `json:"batch_credential_issuance,omitempty"`
	Display              []Display                    `json:"display,omitempty"`
	Configurations       map[string]*CredentialConfig `json:"credential_configurations_supported"`
}

// RequestEncryptionMetadata says how requests may be encrypted.
type RequestEncryptionMetadata struct {
	JWKS     json.RawMessage `json:"jwks"` // see [jwe.ParseKeySet]
	Encs     []string        `json:"enc_values_supported"`
	Zips     []string        `json:"zip_values_supported,omitempty"`
	Required bool            `json:"encryption_required"`
}

// ResponseEncryptionMetadata says how responses may be encrypted.
type ResponseEncryptionMetadata struct {
	Algs     []string `json:"alg_values_supported"`
	Encs     []string `json:"enc_values_supported"`
	Zips     []string `json:"zip_values_supported,omitempty"`
	Required bool     `json:"encryption_required"`
}

// BatchMetadata says how many copies one request may ask for.
type BatchMetadata struct {
	Size int `json:"batch_size"`
}

// Display shows an issuer or a credential in one language.
type Display struct {
	Name            string `json:"name,omitempty"`
	Locale          string `json:"locale,omitempty"`
	Description     string `json:"description,omitempty"`
	Logo            *Image `json:"logo,omitempty"`
	BackgroundColor string `json:"background_color,omitempty"`
	BackgroundImage *Image `json:"background_image,omitempty"`
	TextColor       string `json:"text_color,omitempty"`
}

// Image is a picture to be fetched, or in a data: URL.
type Image struct {
	URI     string `json:"uri"`
	AltText string `json:"alt_text,omitempty"`
}

// CredentialConfig is one entry of credential_configurations_supported.
type CredentialConfig struct {
	Format         string                `json:"format"`
	Scope          string                `json:"scope,omitempty"`
	SigningAlgs    []any                 `json:"credential_signing_alg_values_supported,omitempty"` // names or COSE numbers
	BindingMethods []string              `json:"cryptographic_binding_methods_supported,omitempty"`
	ProofTypes     map[string]*ProofType `json:"proof_types_supported,omitempty"`
	VCT            string                `json:"vct,omitempty"`     // of dc+sd-jwt
	DocType        string                `json:"doctype,omitempty"` // of mso_mdoc
	Metadata       *CredentialMetadata   `json:"credential_metadata,omitempty"`
}

// ProofType says how proofs of one type have to be.
type ProofType struct {
	Algs     []string        `json:"proof_signing_alg_values_supported"`
	Required *KeyRequirement `json:"key_attestations_required,omitempty"`
}

// CredentialMetadata says how a credential is shown.
type CredentialMetadata struct {
	Display []Display     `json:"display,omitempty"`
	Claims  []ClaimDetail `json:"claims,omitempty"`
}

// ParseIssuerMetadata reads the metadata that were fetched for an issuer. It refuses with
// [RuleMetadata] those of another issuer, and addresses that nothing may be sent to.
func ParseIssuerMetadata(raw []byte, issuer string) (*IssuerMetadata, error) {
	m := new(IssuerMetadata)
	if err := encoding.UnmarshalJSON(raw, MaxMetadataBytes, m); err != nil {
		return nil, hufu.Refuse(RuleMetadata, "%v", err)
	}
	return m, m.check(issuer)
}

func (m *IssuerMetadata) check(issuer string) error {
	fail := func(format string, args ...any) error { return hufu.Refuse(RuleMetadata, format, args...) }
	switch {
	case m.CredentialIssuer != issuer || issuer == "":
		return fail("of another issuer")
	case m.CredentialEndpoint == "":
		return fail("no credential_endpoint")
	case len(m.Configurations) == 0 || len(m.Configurations) > maxSupported:
		return fail("%d credential configurations, not 1 to %d", len(m.Configurations), maxSupported)
	case m.Batch != nil && m.Batch.Size < 2:
		return fail("a batch_size under 2")
	}
	for _, endpoint := range []string{m.CredentialEndpoint, m.NonceEndpoint, m.DeferredEndpoint, m.NotificationEndpoint} {
		if endpoint == "" {
			continue
		}
		if err := oauth.CheckEndpoint(endpoint); err != nil {
			return fail("%v", err)
		}
	}
	for _, server := range m.AuthorizationServers {
		if err := oauth.CheckIssuer(server); err != nil {
			return fail("authorization_servers: %v", err)
		}
	}
	if e := m.RequestEncryption; e != nil {
		if _, err := jwe.ParseKeySet(e.JWKS); err != nil || len(e.Encs) == 0 {
			return fail("credential_request_encryption has no keys or no enc")
		}
	}
	for id, c := range m.Configurations {
		if id == "" || len(id) > maxIdentifier || c == nil || c.Format == "" {
			return fail("a credential configuration without a name or format")
		}
	}
	return nil
}

// BatchSize is how many copies one request may ask for.
func (m *IssuerMetadata) BatchSize() int {
	if m.Batch == nil {
		return 1
	}
	return m.Batch.Size
}

// signedMetadata is the payload of signed metadata.
type signedMetadata struct {
	*IssuerMetadata
	Issuer   string `json:"iss,omitempty"`
	Subject  string `json:"sub"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp,omitempty"`
}

// Sign writes the metadata as a JWT. header holds what leads to the signer's key: x5c or kid. by is who
// attests them, "" for nobody else than the issuer.
func (m *IssuerMetadata) Sign(rand io.Reader, header jws.Header, signer keys.Signer, by string, issuedAt, expires time.Time) (string, error) {
	payload, err := jws.MarshalJSON(signedMetadata{m, by, m.CredentialIssuer, issuedAt.Unix(), expires.Unix()})
	if err != nil {
		return "", err
	}
	full := jws.Header{"typ": MetadataMediaType}
	for name, v := range header {
		full[name] = v
	}
	return jws.Sign(rand, full, payload, signer)
}

// VerifySignedMetadata checks signed metadata that were fetched for an issuer. key finds the signer's key
// from the header and iss ("" when absent), and says by an error that the signer is not trusted. It
// refuses with [RuleMetadata].
func VerifySignedMetadata(token, issuer string, now time.Time, key func(header jws.Header, by string) (keys.PublicKey, error)) (*IssuerMetadata, error) {
	fail := func(format string, args ...any) (*IssuerMetadata, error) {
		return nil, hufu.Refuse(RuleMetadata, format, args...)
	}
	msg, err := jws.Parse(token, maxEncrypted(MaxMetadataBytes))
	if err != nil {
		return fail("%v", err)
	}
	if msg.Header.Text("typ") != MetadataMediaType {
		return fail("typ is not %s", MetadataMediaType)
	}
	m := signedMetadata{IssuerMetadata: new(IssuerMetadata)}
	if err := encoding.UnmarshalJSON(msg.Payload, MaxMetadataBytes, &m); err != nil {
		return fail("%v", err)
	}
	signer, err := key(msg.Header, m.Issuer)
	if err != nil {
		return fail("%v", err)
	}
	if err := msg.Verify(signer); err != nil {
		return fail("%v", err)
	}
	switch {
	case m.Subject != issuer:
		return fail("sub is another issuer")
	case m.IssuedAt <= 0 || m.IssuedAt > now.Add(DefaultClockSkew).Unix():
		return fail("iat is no time up to now")
	case m.Expires != 0 && m.Expires <= now.Add(-DefaultClockSkew).Unix():
		return fail("expired")
	}
	return m.IssuerMetadata, m.check(issuer)
}
