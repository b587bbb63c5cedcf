package oid4vp

import (
	"encoding/json"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
)

// Format is the credential format that contracts are written in (§B.3.1), and FormatMdoc the other one
// that they can be asked in (§B.2).
const (
	Format     = dcql.FormatSDJWT
	FormatMdoc = dcql.FormatMdoc
)

// Formats is vp_formats_supported: what is understood of each credential format, by its identifier.
type Formats map[string]json.RawMessage

type sdjwtFormat struct {
	IssuerAlgs  []string `json:"sd-jwt_alg_values"`
	BindingAlgs []string `json:"kb-jwt_alg_values"`
}

type mdocFormat struct {
	IssuerAlgs []int64 `json:"issuerauth_alg_values"`
	DeviceAlgs []int64 `json:"deviceauth_alg_values"`
}

// COSE's name for ECDSA with SHA-256, on any curve and on P-256 (RFC 9864 §2.1).
const (
	coseES256 = -7
	coseESP26 = -9
)

// SupportedFormats is what verifiers and wallets of this network understand of the named formats
// (§B.2.2, §B.3.4); of all, when none is named.
func SupportedFormats(names ...string) Formats {
	var algs []string
	for _, s := range keys.Suites() {
		algs = append(algs, s.JOSEAlg())
	}
	if len(names) == 0 {
		names = []string{Format, FormatMdoc}
	}
	out := Formats{}
	for _, name := range names {
		var v any
		switch name {
		case Format:
			v = sdjwtFormat{IssuerAlgs: algs, BindingAlgs: algs}
		case FormatMdoc:
			v = mdocFormat{IssuerAlgs: []int64{coseES256, coseESP26}, DeviceAlgs: []int64{coseES256, coseESP26}}
		default:
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			continue // not reached: these are lists of names and numbers
		}
		out[name] = raw
	}
	return out
}

// clientMetadata says what the verifier takes (§5.1, §11.1). Other members are ignored.
type clientMetadata struct {
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	Encs    []string        `json:"encrypted_response_enc_values_supported,omitempty"`
	Formats Formats         `json:"vp_formats_supported,omitempty"`
}

// metadata writes the verifier's metadata of a request.
func (r *Request) metadata() (*clientMetadata, error) {
	m := &clientMetadata{Formats: r.Formats}
	if !Encrypted(r.Mode) {
		return m, nil
	}
	if r.Key.IsZero() || r.Key.KeyID == "" {
		return nil, hufu.Refuse(RuleRequest, "response_mode %s without a key with a kid to encrypt to", r.Mode)
	}
	raw, err := json.Marshal(jwe.KeySet{Keys: []jwe.JWK{r.Key.JWK()}})
	if err != nil {
		return nil, err
	}
	m.JWKS, m.Encs = raw, r.Encs
	return m, nil
}

// readMetadata takes from a stranger's metadata what an answer needs.
func (r *Request) readMetadata(m *clientMetadata) error {
	if m == nil {
		m = &clientMetadata{}
	}
	r.Formats = m.Formats
	if !Encrypted(r.Mode) {
		return nil
	}
	if m.JWKS == nil {
		return hufu.Refuse(RuleRequest, "response_mode %s without a key to encrypt to", r.Mode)
	}
	list, err := jwe.ParseKeySet(m.JWKS)
	if err != nil {
		return hufu.Refuse(RuleRequest, "client_metadata: jwks is no JWK Set")
	}
	if len(list) == 0 {
		return hufu.Refuse(RuleUnsupported, "no key in jwks is for ECDH-ES on P-256")
	}
	r.Key = list[0]
	if r.Key.KeyID == "" {
		return hufu.Refuse(RuleRequest, "a key in jwks has no kid")
	}
	if r.Encs = m.Encs; m.Encs == nil {
		r.Encs = []string{jwe.A128GCM} // §5.1
	}
	r.Encs = slices.DeleteFunc(slices.Clone(r.Encs), func(enc string) bool { return !slices.Contains(jwe.Encs(), enc) })
	if len(r.Encs) == 0 {
		return hufu.Refuse(RuleUnsupported, "encrypted_response_enc_values_supported has neither A128GCM nor A256GCM")
	}
	return nil
}

// MaxWalletMetadata bounds the bytes of wallet_metadata.
const MaxWalletMetadata = 32 << 10

// WalletMetadata is what a wallet tells a verifier about itself (§5.10, §10.1). Other members are ignored.
type WalletMetadata struct {
	Formats     Formats         `json:"vp_formats_supported"`
	Prefixes    []string        `json:"client_id_prefixes_supported,omitempty"`
	SigningAlgs []string        `json:"request_object_signing_alg_values_supported,omitempty"`
	JWKS        json.RawMessage `json:"jwks,omitempty"` // to encrypt the request object to
	RequestEncs []string        `json:"request_object_encryption_enc_values_supported,omitempty"`
	ReplyAlgs   []string        `json:"authorization_encryption_alg_values_supported,omitempty"`
	ReplyEncs   []string        `json:"authorization_encryption_enc_values_supported,omitempty"`
}

// ParseWalletMetadata reads the wallet_metadata parameter. It refuses with [RuleRequest].
func ParseWalletMetadata(text string) (*WalletMetadata, error) {
	var m WalletMetadata
	if err := encoding.UnmarshalJSON([]byte(text), MaxWalletMetadata, &m); err != nil {
		return nil, hufu.Refuse(RuleRequest, "wallet_metadata is no JSON object of its form")
	}
	return &m, nil
}

// Accepts checks that a wallet which says this of itself can process a request: r's client identifier
// prefix and formats, signed with alg. It refuses with [RuleFormats] or [RuleUnsupported].
func (m *WalletMetadata) Accepts(r *Request, alg string) error {
	prefix, _, err := splitClientID(r.client())
	if err != nil {
		return err
	}
	if len(m.Prefixes) > 0 && !slices.Contains(m.Prefixes, prefix) {
		return hufu.Refuse(RuleUnsupported, "the wallet does not know client identifiers of %s", prefix)
	}
	if len(m.SigningAlgs) > 0 && !slices.Contains(m.SigningAlgs, alg) {
		return hufu.Refuse(RuleUnsupported, "the wallet does not know signatures of %s", alg)
	}
	for _, name := range r.formatNames() {
		if _, ok := m.Formats[name]; len(m.Formats) > 0 && !ok {
			return hufu.Refuse(RuleFormats, "the wallet has no credentials in %s", name)
		}
	}
	if Encrypted(r.Mode) && len(m.ReplyEncs) > 0 && !slices.ContainsFunc(r.Encs, func(enc string) bool { return slices.Contains(m.ReplyEncs, enc) }) {
		return hufu.Refuse(RuleUnsupported, "no content encryption that both know")
	}
	return nil
}

// formatNames lists the formats of a request's query, each once.
func (r *Request) formatNames() []string {
	q, err := dcql.Parse(r.Query)
	if err != nil {
		return nil
	}
	var names []string
	for i := range q.Credentials {
		if f := q.Credentials[i].Format; !slices.Contains(names, f) {
			names = append(names, f)
		}
	}
	return names
}

// RequestKey is the key and the content encryption that the wallet wants request objects encrypted
// with. The zero key means that it wants them in the clear. It refuses with [RuleUnsupported] when it wants
// what cannot be done.
func (m *WalletMetadata) RequestKey() (jwe.PublicKey, string, error) {
	if m.JWKS == nil {
		return jwe.PublicKey{}, "", nil
	}
	list, err := jwe.ParseKeySet(m.JWKS)
	if err != nil || len(list) == 0 {
		return jwe.PublicKey{}, "", hufu.Refuse(RuleUnsupported, "no key in the wallet's jwks is for ECDH-ES on P-256")
	}
	encs := m.RequestEncs
	if len(encs) == 0 {
		encs = []string{jwe.A128GCM}
	}
	for _, enc := range encs {
		if slices.Contains(jwe.Encs(), enc) {
			return list[0], enc, nil
		}
	}
	return jwe.PublicKey{}, "", hufu.Refuse(RuleUnsupported, "the wallet's content encryptions are neither A128GCM nor A256GCM")
}
