package oid4vp

import (
	"encoding/json"
	"io"
	"net/url"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/jwe"
)

// Limits of a response. A presentation of the largest credential type published so far has 6 KiB; an
// mdoc with a portrait may have the 192 KiB that package mdoc reads, in base64url.
const (
	MaxVPToken       = 512 << 10 // bytes of the vp_token parameter
	MaxPresentation  = 264 << 10 // bytes of one presentation
	MaxPresentations = 16        // in one response

	// MaxEncrypted bounds an encrypted response: base64url of a vp_token, its header and what is around it.
	MaxEncrypted = MaxVPToken*4/3 + 16<<10

	maxErrorText = 1024 // bytes of each text of an error response
)

// VPToken maps the id of each credential query to the presentations that answer it (§8.1). The arrays
// hold one presentation, as no contract asks for multiple.
type VPToken map[string][]string

// Response is an authorization response of response type vp_token (§8.1).
type Response struct {
	VPToken VPToken
	State   string
}

// ParseVPToken reads the vp_token parameter strictly: an object whose members are arrays of strings,
// each array with one entry or more, no member twice, everything within the limits of this package.
// Errors are refusals by [RuleResponse].
func ParseVPToken(data []byte) (VPToken, error) {
	var token VPToken
	if err := encoding.UnmarshalJSON(data, MaxVPToken, &token); err != nil {
		// The decoder's words may quote what the holder sent.
		return nil, hufu.Refuse(RuleResponse, "vp_token is not a JSON object of arrays of strings")
	}
	if len(token) == 0 {
		return nil, hufu.Refuse(RuleResponse, "vp_token is empty")
	}
	n := 0
	for id, list := range token {
		if n += len(list); n > MaxPresentations {
			return nil, hufu.Refuse(RuleResponse, "more than %d presentations", MaxPresentations)
		}
		if id == "" || len(list) == 0 {
			return nil, hufu.Refuse(RuleResponse, "vp_token has an entry without a presentation")
		}
		for _, p := range list {
			if p == "" || len(p) > MaxPresentation {
				return nil, hufu.Refuse(RuleResponse, "a presentation is empty or longer than %d bytes", MaxPresentation)
			}
		}
	}
	return token, nil
}

// Encode writes the vp_token parameter.
func (t VPToken) Encode() ([]byte, error) { return jws.MarshalJSON(t) }

// InOrder lists the presentations in the order of the credential queries' ids, which is the order a
// receipt commits to. An id that the token does not have is left out.
func (t VPToken) InOrder(ids []string) []string {
	out := make([]string, 0, len(t))
	for _, id := range ids {
		out = append(out, t[id]...)
	}
	return out
}

// IDs lists the credential query ids of the token, sorted.
func (t VPToken) IDs() []string {
	out := make([]string, 0, len(t))
	for id := range t {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// WalletError is the answer of a wallet that shows nothing (§8.5).
type WalletError struct {
	Code        string // one of the standard's, or another
	Description string // for developers; may hold anything the wallet wrote
}

// Answer is what a wallet sent: a response, an error, or one of both encrypted.
type Answer struct {
	Response  // VPToken is nil unless this is a response in the clear
	Error     *WalletError
	Encrypted *jwe.Message // to be opened with [Open]; nothing else is known then
}

// answerJSON is a response as one JSON object: the content of an encrypted one (§8.3) and the data of one
// over the Digital Credentials API (§A.4).
type answerJSON struct {
	VPToken     json.RawMessage `json:"vp_token,omitempty"`
	State       string          `json:"state,omitempty"`
	Response    string          `json:"response,omitempty"`
	Error       string          `json:"error,omitempty"`
	Description string          `json:"error_description,omitempty"`
}

// ParseForm reads the parameters that a wallet posts for direct_post and direct_post.jwt. Unknown ones
// are ignored (§8.1). Errors are refusals by [RuleResponse], with the state, if there is one, in the Answer.
func ParseForm(form url.Values) (*Answer, error) {
	a := answerJSON{}
	for name, into := range map[string]*string{"state": &a.State, "response": &a.Response, "error": &a.Error, "error_description": &a.Description} {
		if len(form[name]) > 1 {
			return &Answer{}, hufu.Refuse(RuleResponse, "%s is there twice", name)
		}
		*into = form.Get(name)
	}
	if len(form["vp_token"]) > 1 {
		return &Answer{Response: Response{State: a.State}}, hufu.Refuse(RuleResponse, "vp_token is there twice")
	}
	if form.Has("vp_token") {
		a.VPToken = json.RawMessage(form.Get("vp_token"))
	}
	return a.answer(true)
}

// ParseDC reads the data of a response over the Digital Credentials API. Errors are refusals by
// [RuleResponse].
func ParseDC(data []byte) (*Answer, error) {
	var a answerJSON
	if err := encoding.UnmarshalJSON(data, MaxEncrypted+1024, &a); err != nil {
		return &Answer{}, hufu.Refuse(RuleResponse, "the response is no JSON object of its form")
	}
	a.State = "" // which the API has not
	return a.answer(true)
}

func (a *answerJSON) answer(mayBeEncrypted bool) (*Answer, error) {
	out := &Answer{Response: Response{State: a.State}}
	kinds := 0
	for _, there := range []bool{a.VPToken != nil, a.Response != "", a.Error != ""} {
		if there {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return out, hufu.Refuse(RuleResponse, "one of vp_token, response and error is wanted")
	case a.Error != "":
		if len(a.Error) > maxErrorText || len(a.Description) > maxErrorText {
			return out, hufu.Refuse(RuleResponse, "an error's text is longer than %d bytes", maxErrorText)
		}
		out.Error = &WalletError{Code: a.Error, Description: a.Description}
		return out, nil
	case a.Response != "":
		if !mayBeEncrypted {
			return out, hufu.Refuse(RuleResponse, "an encrypted response inside another")
		}
		m, err := jwe.Parse(a.Response, MaxEncrypted)
		if err != nil {
			return out, err
		}
		out.Encrypted = m
		return out, nil
	}
	token, err := ParseVPToken(a.VPToken)
	out.VPToken = token
	return out, err
}

// Form writes a response for direct_post.
func (r Response) Form() (url.Values, error) {
	token, err := r.VPToken.Encode()
	if err != nil {
		return nil, err
	}
	form := url.Values{"vp_token": {string(token)}}
	if r.State != "" {
		form.Set("state", r.State)
	}
	return form, nil
}

// Form writes an error for direct_post and, as §8.3.1 allows, direct_post.jwt.
func (e WalletError) Form(state string) url.Values {
	form := url.Values{"error": {e.Code}}
	if e.Description != "" {
		form.Set("error_description", e.Description)
	}
	if state != "" {
		form.Set("state", state)
	}
	return form
}

// DC writes a response for dc_api.
func (r Response) DC() ([]byte, error) {
	token, err := r.VPToken.Encode()
	if err != nil {
		return nil, err
	}
	return jws.MarshalJSON(answerJSON{VPToken: token})
}

// Encrypt writes the response parameter for direct_post.jwt and dc_api.jwt: a JWE to the request's key
// with the first content encryption that both know (§8.3).
func (r Response) Encrypt(rand io.Reader, to *Request) (string, error) {
	token, err := r.VPToken.Encode()
	if err != nil {
		return "", err
	}
	a := answerJSON{VPToken: token}
	if !OverDC(to.Mode) {
		a.State = r.State
	}
	content, err := jws.MarshalJSON(a)
	if err != nil {
		return "", err
	}
	for _, enc := range to.Encs {
		if slices.Contains(jwe.Encs(), enc) {
			return jwe.Encrypt(rand, to.Key, jwe.Header{Enc: enc}, content)
		}
	}
	return "", hufu.Refuse(RuleUnsupported, "no content encryption that both know")
}

// Open decrypts an answer. It refuses as [jwe.Message.Decrypt] does, with [jwe.RuleEnc] a content
// encryption that is not one of encs, and with [RuleResponse] a content that is no answer.
func (a *Answer) Open(key *jwe.PrivateKey, encs []string) (*Answer, error) {
	if !slices.Contains(encs, a.Encrypted.Enc) {
		return nil, hufu.Refuse(jwe.RuleEnc, "enc is none of those asked for")
	}
	content, err := a.Encrypted.Decrypt(key)
	if err != nil {
		return nil, err
	}
	var inner answerJSON
	if err := encoding.UnmarshalJSON(content, MaxEncrypted, &inner); err != nil {
		return nil, hufu.Refuse(RuleResponse, "the content of the response is no JSON object of its form")
	}
	return inner.answer(false)
}
