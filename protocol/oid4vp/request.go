package oid4vp

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/jwe"
)

// Fixed values of the standard.
const (
	RequestType = "oauth-authz-req+jwt"       // typ of a request object (§5)
	Audience    = "https://self-issued.me/v2" // aud of a request to a wallet found statically (§5.8)

	responseType = "vp_token"
)

// The response modes that are understood (§8.2, §8.3.1, §A.2).
const (
	ModePost       = "direct_post"
	ModePostJWT    = "direct_post.jwt"
	ModeDC         = "dc_api"
	ModeDCJWT      = "dc_api.jwt"
	maxOrigins     = 16
	maxWalletNonce = 512
	minOwnNonce    = 16  // characters, of a gate of this network: 128 bits make 22
	maxNonce       = 512 // characters, of anybody's
	maxState       = 512
)

// Encrypted reports whether answers in a response mode are encrypted.
func Encrypted(mode string) bool { return mode == ModePostJWT || mode == ModeDCJWT }

// OverDC reports whether a response mode belongs to the Digital Credentials API.
func OverDC(mode string) bool { return mode == ModeDC || mode == ModeDCJWT }

// MaxRequest bounds a request object, in bytes of its compact form. A contract's text is at most 32 KiB, a staple
// at most [MaxStaple].
const MaxRequest = 256 << 10

// FormatStaple is the format of what verifiers of this network attach to a request (verifier_info, §5.11): proofs of the ledger's
// records that the wallet judges the request by, in base64url.
const FormatStaple = "urn:hufu:staple:1"

// MaxStaple bounds a staple in bytes.
const MaxStaple = 96 << 10

// MaxLifetime is the longest time between iat and exp that a request with a contract may have.
const MaxLifetime = time.Hour

// Rules that messages are refused by.
const (
	RuleRequest     hufu.Rule = "oid4vp.request"     // not a request object of the standard
	RuleUnsupported hufu.Rule = "oid4vp.unsupported" // well formed, but asks for what is not supported
	RuleFormats     hufu.Rule = "oid4vp.formats"     // asks for credentials in formats that are not supported
	RuleMethod      hufu.Rule = "oid4vp.uri-method"  // request_uri_method is neither get nor post
	RuleTransaction hufu.Rule = "oid4vp.transaction" // transaction_data of the wrong form, or not consented to
	RuleSignature   hufu.Rule = "oid4vp.signature"   // not signed by a key of the client it names
	RuleExpired     hufu.Rule = "oid4vp.expired"     // outside iat and exp
	RuleResponse    hufu.Rule = "oid4vp.response"    // not a response of the standard
	RuleDenied      hufu.Rule = "oid4vp.denied"      // the wallet answered with an error
)

// ErrorCode is the error code (§8.5) by which a wallet answers a request that err refuses.
func ErrorCode(err error) string {
	switch hufu.RuleOf(err) {
	case RuleFormats:
		return "vp_formats_not_supported"
	case RuleMethod:
		return "invalid_request_uri_method"
	case RuleTransaction:
		return "invalid_transaction_data"
	case RuleDenied, dcql.RuleUnavailable:
		return "access_denied"
	}
	return "invalid_request"
}

// Request is a verifier's request (§5), as it is written and as it is read.
type Request struct {
	// Verifier is the DID of who asks: the one in the client identifier or, when a certificate is, the one
	// that the certificate names. It is "" when the request names none.
	Verifier hufu.DID
	// ClientID is the full client identifier; "" writes that of Verifier, and is what an unsigned request
	// over the Digital Credentials API has.
	ClientID string
	Mode     string // response mode; "" is direct_post

	ResponseURI string   // where the response is to be posted; https, or http on loopback
	Origins     []string // expected_origins of a signed request over the Digital Credentials API

	Nonce       string // fresh, at least 128 bits of randomness
	State       string // names the verifier's session
	WalletNonce string // the wallet's, repeated; or ""

	Query        json.RawMessage // the DCQL query, as JSON
	Transactions []Transaction   // what is to be consented to, or none

	// Key is the key with a kid to encrypt the answer to, and Encs are the content encryptions that the
	// verifier accepts, for the modes that encrypt.
	Key     jwe.PublicKey
	Encs    []string
	Formats Formats // vp_formats_supported

	Contract hufu.ContractID // the published contract that Query comes from; zero: it names none
	Version  uint32          // of Contract
	Staple   []byte          // what is attached as [FormatStaple] to a signed request, not verified; or nil

	IssuedAt  time.Time // whole seconds; zero when a request without contract does not say, like the next
	ExpiresAt time.Time
}

// Foreign reports whether the request names no contract, as those of verifiers of other networks.
func (r *Request) Foreign() bool { return r.Contract == hufu.ContractID{} }

// PresentationAudience is what presentations that answer the request name as their audience: the client
// identifier, or over the Digital Credentials API the origin that asked (§14.1.2, §A.4).
func (r *Request) PresentationAudience(origin string) string {
	if OverDC(r.Mode) {
		return OriginAudience(origin)
	}
	return r.client()
}

func (r *Request) client() string {
	if r.ClientID == "" && r.Verifier != "" {
		return ClientID(r.Verifier)
	}
	return r.ClientID
}

// Thumbprint is that of the key the answer is encrypted to, or nil when it is not encrypted, for the
// session transcript of mdocs (§B.2.6).
func (r *Request) Thumbprint() []byte {
	if !Encrypted(r.Mode) {
		return nil
	}
	return r.Key.Thumbprint()
}

type requestPayload struct {
	ClientID       string          `json:"client_id,omitempty"`
	ResponseType   string          `json:"response_type"`
	ResponseMode   string          `json:"response_mode"`
	ResponseURI    string          `json:"response_uri,omitempty"`
	Origins        []string        `json:"expected_origins,omitempty"`
	Audience       string          `json:"aud,omitempty"`
	Nonce          string          `json:"nonce"`
	WalletNonce    string          `json:"wallet_nonce,omitempty"`
	State          string          `json:"state,omitempty"`
	Query          json.RawMessage `json:"dcql_query"`
	Transactions   []string        `json:"transaction_data,omitempty"`
	ClientMetadata *clientMetadata `json:"client_metadata,omitempty"`
	Contract       *contractRef    `json:"hufu_contract,omitempty"`
	IssuedAt       int64           `json:"iat,omitempty"`
	ExpiresAt      int64           `json:"exp,omitempty"`
	VerifierInfo   []verifierInfo  `json:"verifier_info,omitempty"`

	// What must not be there.
	RedirectURI json.RawMessage `json:"redirect_uri,omitempty"`
	Scope       json.RawMessage `json:"scope,omitempty"`
	Request     json.RawMessage `json:"request,omitempty"`
	RequestURI  json.RawMessage `json:"request_uri,omitempty"`
}

type contractRef struct {
	ID      hufu.ContractID `json:"id"`
	Version uint32          `json:"version"`
}

// verifierInfo is something about the verifier (§5.11). Formats that are not known are ignored.
type verifierInfo struct {
	Format string          `json:"format"`
	Data   json.RawMessage `json:"data"`
}

// transport is how a request reaches the wallet, which decides what it has to have.
type transport int

const (
	signed     transport = iota // a signed request object, by reference or by value or over the Digital Credentials API
	parameters                  // unsigned parameters of a link
	unsignedDC                  // an unsigned request over the Digital Credentials API
)

// payload writes r, and refuses what [requestPayload.request] would.
func (r *Request) payload(how transport) (*requestPayload, error) {
	mode := r.Mode
	if mode == "" {
		mode = ModePost
	}
	full := *r
	full.Mode = mode
	if full.Formats == nil {
		full.Formats = SupportedFormats(full.formatNames()...)
	}
	m, err := full.metadata()
	if err != nil {
		return nil, err
	}
	p := &requestPayload{
		ResponseType: responseType, ResponseMode: mode, ResponseURI: r.ResponseURI, Nonce: r.Nonce, State: r.State,
		WalletNonce: r.WalletNonce, Query: r.Query, ClientMetadata: m,
	}
	if how != unsignedDC {
		p.ClientID = r.client()
	}
	if how == signed {
		p.Audience, p.Origins = Audience, r.Origins
		if r.Staple != nil {
			data, err := json.Marshal(base64.RawURLEncoding.EncodeToString(r.Staple))
			if err != nil {
				return nil, err
			}
			p.VerifierInfo = []verifierInfo{{FormatStaple, data}}
		}
	}
	for _, t := range r.Transactions {
		p.Transactions = append(p.Transactions, t.Raw)
	}
	if !r.Foreign() {
		p.Contract = &contractRef{ID: r.Contract, Version: r.Version}
	}
	if !r.IssuedAt.IsZero() {
		p.IssuedAt = r.IssuedAt.Unix()
	}
	if !r.ExpiresAt.IsZero() {
		p.ExpiresAt = r.ExpiresAt.Unix()
	}
	if _, err := p.request(how); err != nil {
		return nil, err
	}
	return p, nil
}

// ParsePayload reads the claims of a signed request object.
func ParsePayload(data []byte) (*Request, error) { return parsePayload(data, signed) }

func parsePayload(data []byte, how transport) (*Request, error) {
	var p requestPayload
	if err := encoding.UnmarshalJSON(data, MaxRequest, &p); err != nil {
		return nil, hufu.Refuse(RuleRequest, "payload is not a request object")
	}
	return p.request(how)
}

func (p *requestPayload) request(how transport) (*Request, error) {
	if how == unsignedDC { // which have no client, and whose origin the browser tells (§A.2)
		p.ClientID, p.Origins, p.ResponseURI, p.State = "", nil, "", ""
	}
	if err := p.check(how); err != nil {
		return nil, err
	}
	r := &Request{
		ClientID: p.ClientID, Verifier: ClientDID(p.ClientID), Mode: p.ResponseMode, ResponseURI: p.ResponseURI, Origins: p.Origins,
		Nonce: p.Nonce, State: p.State, WalletNonce: p.WalletNonce, Query: p.Query,
	}
	if p.IssuedAt != 0 {
		r.IssuedAt = time.Unix(p.IssuedAt, 0).UTC()
	}
	if p.ExpiresAt != 0 {
		r.ExpiresAt = time.Unix(p.ExpiresAt, 0).UTC()
	}
	if err := r.readMetadata(p.ClientMetadata); err != nil {
		return nil, err
	}
	if err := r.readTransactions(p.Transactions); err != nil {
		return nil, err
	}
	if p.Contract != nil {
		r.Contract, r.Version = p.Contract.ID, p.Contract.Version
	}
	if how == signed {
		if err := r.readInfo(p.VerifierInfo); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readInfo reads what is attached about the verifier, as far as it is known.
func (r *Request) readInfo(list []verifierInfo) error {
	for i := range list {
		if list[i].Format != FormatStaple {
			continue
		}
		var text string
		if err := json.Unmarshal(list[i].Data, &text); err != nil || len(text) > base64.RawURLEncoding.EncodedLen(MaxStaple) {
			return hufu.Refuse(RuleRequest, "verifier_info: a staple that is no text of at most %d bytes", MaxStaple)
		}
		raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
		switch {
		case err != nil || len(raw) == 0:
			return hufu.Refuse(RuleRequest, "verifier_info: a staple that is not in base64url")
		case r.Staple != nil:
			return hufu.Refuse(RuleRequest, "verifier_info: two staples")
		}
		r.Staple = raw
	}
	return nil
}

// check is everything about a request but its metadata and transactions.
func (p *requestPayload) check(how transport) error {
	switch {
	case p.ResponseType != responseType:
		return hufu.Refuse(RuleUnsupported, "response_type is not %s", responseType)
	case !slices.Contains([]string{ModePost, ModePostJWT, ModeDC, ModeDCJWT}, p.ResponseMode):
		return hufu.Refuse(RuleUnsupported, "response_mode is none of direct_post, direct_post.jwt, dc_api and dc_api.jwt")
	case p.Scope != nil:
		return hufu.Refuse(RuleRequest, "scope beside dcql_query")
	case p.RedirectURI != nil:
		return hufu.Refuse(RuleRequest, "redirect_uri with response_mode %s", p.ResponseMode)
	case p.Request != nil || p.RequestURI != nil:
		return hufu.Refuse(RuleRequest, "a request inside a request")
	case p.Audience != "" && p.Audience != Audience:
		return hufu.Refuse(RuleRequest, "aud is not %s", Audience)
	case !urlSafe(p.Nonce) || len(p.Nonce) > maxNonce:
		return hufu.Refuse(RuleRequest, "nonce is not 1 to %d URL-safe characters", maxNonce)
	case p.State != "" && (!urlSafe(p.State) || len(p.State) > maxState):
		return hufu.Refuse(RuleRequest, "state is not of at most %d URL-safe characters", maxState)
	case len(p.WalletNonce) > maxWalletNonce:
		return hufu.Refuse(RuleRequest, "wallet_nonce is longer than %d characters", maxWalletNonce)
	case p.IssuedAt < 0 || p.ExpiresAt < 0 || p.ExpiresAt != 0 && p.ExpiresAt <= p.IssuedAt:
		return hufu.Refuse(RuleRequest, "iat and exp are no period")
	}
	q, err := dcql.Parse(p.Query)
	if err != nil {
		return hufu.Refuse(RuleRequest, "dcql_query: %s", detail(err))
	}
	for i := range q.Credentials {
		if f := q.Credentials[i].Format; f != Format && f != FormatMdoc {
			return hufu.Refuse(RuleFormats, "credentials in %s are not supported", clip(f))
		}
	}
	if err := p.checkOwn(how); err != nil {
		return err
	}
	return p.checkWay(how)
}

// checkOwn checks what a request with a contract has beyond the standard's demands.
func (p *requestPayload) checkOwn(how transport) error {
	switch {
	case p.Contract == nil:
		return nil
	case p.Contract.Version == 0 || p.Contract.ID == hufu.ContractID{}:
		return hufu.Refuse(RuleRequest, "hufu_contract names no contract")
	case len(p.Nonce) < minOwnNonce:
		return hufu.Refuse(RuleRequest, "nonce is shorter than %d characters", minOwnNonce)
	case how == signed && p.Audience == "":
		return hufu.Refuse(RuleRequest, "aud is not %s", Audience)
	case p.State == "" && !OverDC(p.ResponseMode):
		return hufu.Refuse(RuleRequest, "no state")
	case p.IssuedAt <= 0 || p.ExpiresAt <= p.IssuedAt || p.ExpiresAt-p.IssuedAt > int64(MaxLifetime/time.Second):
		return hufu.Refuse(RuleRequest, "iat and exp are no period of at most %s", MaxLifetime)
	}
	return nil
}

// checkWay checks who asks and where the answer goes, which depend on each other.
func (p *requestPayload) checkWay(how transport) error {
	dc := OverDC(p.ResponseMode)
	if how == unsignedDC {
		if !dc {
			return hufu.Refuse(RuleRequest, "response_mode %s over the Digital Credentials API", p.ResponseMode)
		}
		return nil
	}
	prefix, name, err := splitClientID(p.ClientID)
	if err != nil {
		return err
	}
	if (prefix == PrefixRedirect) != (how == parameters) {
		return hufu.Refuse(RuleRequest, "requests of a client with the prefix %s are %s", prefix, map[bool]string{true: "not signed", false: "signed"}[prefix == PrefixRedirect])
	}
	if dc {
		if how == parameters {
			return hufu.Refuse(RuleRequest, "response_mode %s in a link", p.ResponseMode)
		}
		p.ResponseURI, p.State = "", "" // which the API has not
		return checkOrigins(p.Origins)
	}
	if prefix == PrefixRedirect && p.ResponseURI == "" { // it may be left out, as the client identifier has it
		p.ResponseURI = name
	}
	if err := checkURL(p.ResponseURI); err != nil {
		return hufu.Refuse(RuleRequest, "response_uri %v", err)
	}
	switch {
	case prefix == PrefixRedirect && p.ResponseURI != name:
		return hufu.Refuse(RuleRequest, "response_uri is not the client identifier's")
	case prefix == PrefixDNS && !strings.EqualFold(hostOf(p.ResponseURI), name):
		return hufu.Refuse(RuleRequest, "response_uri is at another host than the client identifier's")
	}
	return nil
}

func checkOrigins(origins []string) error {
	if len(origins) == 0 || len(origins) > maxOrigins {
		return hufu.Refuse(RuleRequest, "expected_origins is no list of 1 to %d origins", maxOrigins)
	}
	for _, o := range origins {
		if err := CheckOrigin(o); err != nil {
			return hufu.Refuse(RuleRequest, "expected_origins: not an origin")
		}
	}
	return nil
}

// readTransactions reads transaction_data, which nobody may ignore.
func (r *Request) readTransactions(list []string) error {
	if list == nil {
		return nil
	}
	if len(list) == 0 || len(list) > MaxTransactions {
		return hufu.Refuse(RuleTransaction, "transaction_data is no list of 1 to %d", MaxTransactions)
	}
	q, err := dcql.Parse(r.Query)
	if err != nil {
		return err
	}
	for _, raw := range list {
		t, err := ParseTransaction(raw)
		if err != nil {
			return err
		}
		for _, id := range t.Credentials {
			c := q.Find(id)
			switch {
			case c == nil:
				return hufu.Refuse(RuleTransaction, "credential_ids names a credential that is not asked for")
			case c.Format != Format:
				return hufu.Refuse(RuleTransaction, "transactions are consented to with credentials in %s only", Format)
			case !c.RequireHolderBinding:
				return hufu.Refuse(RuleTransaction, "a transaction without holder binding")
			}
		}
		r.Transactions = append(r.Transactions, t)
	}
	return nil
}
