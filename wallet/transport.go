package wallet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// requestTime bounds one exchange. An issuer that needs longer defers.
const requestTime = 30 * time.Second

// ErrUnreachable is wrapped by the error for an issuer or verifier that did not answer.
var ErrUnreachable = errors.New("wallet: no answer")

// hardened is a client that gives up in time and follows no redirects: an issuer or verifier is where its
// identifier says and nowhere else.
func hardened(c *http.Client) *http.Client {
	out := http.Client{Timeout: requestTime}
	if c != nil {
		out = *c
	}
	out.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &out
}

// answer is an HTTP response that was read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// is reports whether the answer is of a media type.
func (a *answer) is(mediaType string) bool {
	got, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	return err == nil && got == mediaType
}

// call is one HTTP request to be made.
type call struct {
	method, url string
	kind        string // content type of body
	accept      string
	header      http.Header
	body        string
	attested    bool // to an authorization server, which may want to know what wallet this is
}

// exchange makes a call and reads at most most bytes of the answer. Its errors name the host alone, as
// the rest of an address can be a secret.
func (w *Wallet) exchange(ctx context.Context, c call, most int) (*answer, error) {
	if err := oauth.CheckEndpoint(c.url); err != nil {
		return nil, hufu.Refuse(RuleRemote, "an address that is neither https nor on loopback")
	}
	req, err := http.NewRequestWithContext(ctx, c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		return nil, hufu.Refuse(RuleRemote, "an address that is none")
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if c.kind != "" {
		req.Header.Set("Content-Type", c.kind)
	}
	if c.accept != "" {
		req.Header.Set("Accept", c.accept)
	}
	resp, err := w.HTTP.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("%w from %s: %w", ErrUnreachable, req.URL.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w from %s: %w", ErrUnreachable, req.URL.Host, err)
	case len(body) > most:
		return nil, hufu.Refuse(RuleRemote, "an answer of more than %d bytes", most)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

const (
	mediaJSON = "application/json"
	mediaForm = "application/x-www-form-urlencoded"
	mediaJWT  = "application/jwt"
)

// stays refuses an address in plain HTTP, which is one of this machine, as the word of somebody elsewhere:
// no stranger has the wallet call what listens here. Empty addresses are of nobody.
func stays(from string, addresses ...string) error {
	if !strings.HasPrefix(from, "https:") {
		return nil
	}
	for _, a := range addresses {
		if a != "" && !strings.HasPrefix(a, "https:") {
			return hufu.Refuse(RuleRemote, "an address of this machine, named by somebody elsewhere")
		}
	}
	return nil
}

// get fetches a document.
func (w *Wallet) get(ctx context.Context, address, accept string, most int) (*answer, error) {
	a, err := w.exchange(ctx, call{method: http.MethodGet, url: address, accept: accept}, most)
	if err == nil && !a.ok() {
		err = hufu.Refuse(RuleRemote, "the answer has status %d", a.status)
	}
	return a, err
}

// fetchIssuerKeys gets the keys that a stranger publishes (SD-JWT VC, JWT VC Issuer Metadata).
func (w *Wallet) fetchIssuerKeys(ctx context.Context, issuer string) ([]keyOfIssuer, error) {
	address, err := oauth.WellKnown(issuer, "jwt-vc-issuer")
	if err != nil {
		return nil, hufu.Refuse(RuleUnknownIssuer, "the issuer is neither a DID of this ledger nor an address")
	}
	a, err := w.get(ctx, address, mediaJSON, maxIssuerKeys)
	if err != nil {
		return nil, err
	}
	var doc issuerKeysDocument
	if err := encoding.UnmarshalJSON(a.body, maxIssuerKeys, &doc); err != nil || doc.Issuer != issuer {
		return nil, hufu.Refuse(RuleRemote, "the issuer's metadata are none, or another's")
	}
	if err := stays(issuer, doc.URI); err != nil {
		return nil, err
	}
	if doc.JWKS == nil {
		if a, err = w.get(ctx, doc.URI, mediaJSON, maxIssuerKeys); err != nil {
			return nil, err
		}
		doc.JWKS = a.body
	}
	return parseIssuerKeys(doc.JWKS)
}
