package oid4vp

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Scheme is the custom URL scheme that wallets are invoked by (§13.1.2).
const Scheme = "openid4vp"

// The values of request_uri_method.
const (
	MethodGet  = "get"
	MethodPost = "post"
)

// MaxLink bounds the bytes of a link. One with a request by value is as long as the request.
const MaxLink = 2*MaxRequest + 4096

// Link is an authorization request as it reaches a wallet (§5.4): a link, or what a QR code holds. It has
// the request by reference, by value, or as its own unsigned parameters.
type Link struct {
	ClientID   string
	RequestURI string   // where to get the request object
	Method     string   // how; "" is get
	Request    string   // the request object
	Unsigned   *Request // the request
}

// URI writes the link for the authorization endpoint of a wallet, such as "openid4vp://".
func (l Link) URI(endpoint string) (string, error) {
	q := url.Values{}
	switch {
	case l.Unsigned != nil:
		var err error
		if q, err = l.Unsigned.parameters(); err != nil {
			return "", err
		}
	case l.Request != "":
		q.Set("client_id", l.ClientID)
		q.Set("request", l.Request)
	default:
		q.Set("client_id", l.ClientID)
		q.Set("request_uri", l.RequestURI)
		if l.Method != "" && l.Method != MethodGet {
			q.Set("request_uri_method", l.Method)
		}
	}
	if endpoint == "" {
		endpoint = Scheme + "://"
	}
	return endpoint + "?" + q.Encode(), nil
}

// ParseLink reads a link of any scheme. Errors are refusals.
func ParseLink(text string) (*Link, error) {
	if len(text) > MaxLink {
		return nil, hufu.Refuse(RuleRequest, "a link of more than %d bytes", MaxLink)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, hufu.Refuse(RuleRequest, "not a link")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, hufu.Refuse(RuleRequest, "not a link with parameters")
	}
	for _, values := range q {
		if len(values) != 1 {
			return nil, hufu.Refuse(RuleRequest, "a parameter is there twice") // RFC 6749 §3.1
		}
	}
	l := &Link{ClientID: q.Get("client_id"), RequestURI: q.Get("request_uri"), Method: q.Get("request_uri_method"), Request: q.Get("request")}
	if _, _, err := splitClientID(l.ClientID); err != nil {
		return nil, err
	}
	switch {
	case l.RequestURI != "" && l.Request != "":
		return nil, hufu.Refuse(RuleRequest, "request beside request_uri")
	case l.RequestURI == "" && l.Method != "":
		return nil, hufu.Refuse(RuleRequest, "request_uri_method without request_uri")
	case l.Method != "" && l.Method != MethodGet && l.Method != MethodPost:
		return nil, hufu.Refuse(RuleMethod, "request_uri_method is neither get nor post")
	case l.RequestURI != "":
		if err := checkURL(l.RequestURI); err != nil {
			return nil, hufu.Refuse(RuleRequest, "request_uri %v", err)
		}
	case l.Request == "":
		l.Unsigned, err = parseParameters(q)
		return l, err
	}
	return l, nil
}

// Match checks that a request object is the one that the link announced: of the same client, and with
// the nonce that the wallet sent, if it sent one (§5.10.1).
func (l *Link) Match(r *Request, walletNonce string) error {
	switch {
	case r.ClientID != l.ClientID:
		return hufu.Refuse(RuleRequest, "client_id of the link and of the request object differ")
	case walletNonce != "" && r.WalletNonce != walletNonce:
		return hufu.Refuse(RuleRequest, "the request object has not the wallet's nonce")
	case OverDC(r.Mode):
		return hufu.Refuse(RuleRequest, "response_mode %s outside the Digital Credentials API", r.Mode)
	}
	return nil
}

// parameters writes an unsigned request as parameters of a link: objects as JSON (§5.1).
func (r *Request) parameters() (url.Values, error) {
	p, err := r.payload(parameters)
	if err != nil {
		return nil, err
	}
	q := url.Values{}
	set := func(name, v string) {
		if v != "" {
			q.Set(name, v)
		}
	}
	set("client_id", p.ClientID)
	set("response_type", p.ResponseType)
	set("response_mode", p.ResponseMode)
	set("response_uri", p.ResponseURI)
	set("nonce", p.Nonce)
	set("state", p.State)
	set("dcql_query", string(p.Query))
	for name, v := range map[string]any{"client_metadata": p.ClientMetadata, "hufu_contract": p.Contract, "transaction_data": p.Transactions} {
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		if text := string(raw); text != "null" {
			q.Set(name, text)
		}
	}
	for name, v := range map[string]int64{"iat": p.IssuedAt, "exp": p.ExpiresAt} {
		if v != 0 {
			q.Set(name, strconv.FormatInt(v, 10))
		}
	}
	return q, nil
}

// parseParameters reads what [Request.parameters] writes.
func parseParameters(q url.Values) (*Request, error) {
	p := requestPayload{
		ClientID: q.Get("client_id"), ResponseType: q.Get("response_type"), ResponseMode: q.Get("response_mode"),
		ResponseURI: q.Get("response_uri"), Nonce: q.Get("nonce"), State: q.Get("state"), Query: json.RawMessage(q.Get("dcql_query")),
		Audience: q.Get("aud"),
	}
	for name, into := range map[string]any{"client_metadata": &p.ClientMetadata, "hufu_contract": &p.Contract, "transaction_data": &p.Transactions} {
		if !q.Has(name) {
			continue
		}
		if err := encoding.UnmarshalJSON([]byte(q.Get(name)), MaxRequest, into); err != nil {
			return nil, hufu.Refuse(RuleRequest, "%s is no JSON of its form", name)
		}
	}
	if q.Has("transaction_data") && p.Transactions == nil {
		p.Transactions = []string{}
	}
	for name, into := range map[string]*int64{"iat": &p.IssuedAt, "exp": &p.ExpiresAt} {
		if !q.Has(name) {
			continue
		}
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		if err != nil {
			return nil, hufu.Refuse(RuleRequest, "%s is no time in seconds", name)
		}
		*into = n
	}
	for name, into := range map[string]*json.RawMessage{"redirect_uri": &p.RedirectURI, "scope": &p.Scope} {
		if q.Has(name) {
			*into = json.RawMessage(`""`)
		}
	}
	return p.request(parameters)
}
