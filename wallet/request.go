package wallet

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

const mediaRequest = "application/oauth-authz-req+jwt"

// Consider looks into a link of a verifier (OpenID4VP 1.0 §5): by value or by reference, signed or not.
// Refusals are in the log. Nothing is answered.
func (w *Wallet) Consider(ctx context.Context, l Ledger, link string) (*Inquiry, error) {
	r, err := w.resolve(ctx, link)
	if err != nil {
		return nil, w.logRefusal(err, logged{Time: w.Now().Unix()})
	}
	return w.look(ctx, l, r)
}

// ConsiderObject looks into a signed request object that came by itself.
func (w *Wallet) ConsiderObject(ctx context.Context, l Ledger, token string) (*Inquiry, error) {
	s, err := oid4vp.ParseRequest(token)
	if err == nil && oid4vp.OverDC(s.Mode) {
		err = hufu.Refuse(oid4vp.RuleRequest, "response_mode %s outside the Digital Credentials API", s.Mode)
	}
	if err != nil {
		return nil, w.logRefusal(err, logged{Time: w.Now().Unix()})
	}
	return w.look(ctx, l, request{signed: s})
}

// ConsiderDC looks into a request that a page of an origin made over the Digital Credentials API (§A). The
// origin is the browser's word, not the page's.
func (w *Wallet) ConsiderDC(ctx context.Context, l Ledger, origin string, d oid4vp.DCRequest) (*Inquiry, error) {
	err := oid4vp.CheckOrigin(origin)
	r := request{origin: origin}
	if err == nil {
		r.signed, r.unsigned, err = d.Parse()
	}
	if err != nil {
		return nil, w.logRefusal(err, logged{Time: w.Now().Unix(), Client: origin})
	}
	return w.look(ctx, l, r)
}

// resolve gets the request that a link stands for.
func (w *Wallet) resolve(ctx context.Context, text string) (request, error) {
	link, err := oid4vp.ParseLink(text)
	if err != nil {
		return request{}, err
	}
	if link.Unsigned != nil {
		return request{unsigned: link.Unsigned}, nil
	}
	token, nonce := link.Request, ""
	if link.RequestURI != "" {
		if token, nonce, err = w.fetchRequest(ctx, link); err != nil {
			return request{}, err
		}
	}
	s, err := oid4vp.ParseRequest(token)
	if err != nil {
		return request{}, err
	}
	if err := stays(link.RequestURI, s.ResponseURI); err != nil {
		return request{}, err
	}
	return request{signed: s}, link.Match(&s.Request, nonce)
}

// fetchRequest gets a request object by reference; by post, with a nonce of the wallet's and what it
// understands (§5.10).
func (w *Wallet) fetchRequest(ctx context.Context, link *oid4vp.Link) (token, nonce string, err error) {
	c := call{method: http.MethodGet, url: link.RequestURI, accept: mediaRequest}
	if link.Method == oid4vp.MethodPost {
		if nonce, err = oauth.NewID(w.Rand); err != nil {
			return "", "", err
		}
		metadata, err := jws.MarshalJSON(oid4vp.WalletMetadata{
			Formats: oid4vp.SupportedFormats(), Prefixes: oid4vp.Prefixes(), SigningAlgs: oauth.SigningAlgs(),
			ReplyAlgs: []string{jwe.Alg}, ReplyEncs: jwe.Encs(),
		})
		if err != nil {
			return "", "", err
		}
		c.method, c.kind = http.MethodPost, mediaForm
		c.body = url.Values{"wallet_nonce": {nonce}, "wallet_metadata": {string(metadata)}}.Encode()
	}
	a, err := w.exchange(ctx, c, 2*oid4vp.MaxRequest)
	switch {
	case err != nil:
		return "", "", err
	case !a.ok():
		return "", "", hufu.Refuse(RuleRemote, "the verifier gives no request: status %d", a.status)
	case !a.is(mediaRequest):
		return "", "", hufu.Refuse(RuleRemote, "the verifier's request is not of type %s", mediaRequest)
	}
	return string(a.body), nonce, nil
}
