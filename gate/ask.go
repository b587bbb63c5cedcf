package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// OpenSession begins to ask. What is asked is the contract's to say; see [SessionInput] for what is not.
// It refuses with [RuleSession] what there is no way to ask, and as [Gate.Request] does.
func (g *Gate) OpenSession(ctx context.Context, in SessionInput) (*SessionOutput, error) {
	settings, err := g.settings(&in)
	if err != nil {
		return nil, err
	}
	id := hufu.ContractID{Owner: g.DID, Name: in.Contract}
	q, err := g.current(ctx, id, settings.Format)
	if err != nil {
		return nil, err
	}
	s, err := g.newSession(id, q.version)
	if err != nil {
		return nil, err
	}
	s.Settings = settings
	out := &SessionOutput{State: s.State, ExpiresAt: s.Expires}
	if out.ID, s.Ticket, err = newSecret(g.Rand); err != nil {
		return nil, err
	}
	if in.Claims {
		key, err := claimsKey(out.ID)
		if err != nil {
			return nil, fmt.Errorf("gate: %w", err)
		}
		raw, err := json.Marshal(key.Public().JWK())
		if err != nil {
			return nil, err
		}
		s.Settings.ClaimsKey = string(raw)
	}
	var key jwe.PublicKey
	if oid4vp.Encrypted(settings.Mode) {
		if key, s.Secret, err = g.vault.newKey(s.State); err != nil {
			return nil, err
		}
	}
	if in.CrossDevice {
		var page string
		if page, s.Page, err = newSecret(g.Rand); err != nil {
			return nil, err
		}
		out.Page = g.url("vp/page/" + page)
	}
	r := g.request(&s, q)
	r.Key = key
	if err := g.invite(ctx, &s, r, q, out); err != nil {
		return nil, err
	}
	if err := g.Store.Open(ctx, s); err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	g.Opened()
	return out, nil
}

// settings checks how the service wants to ask.
func (g *Gate) settings(in *SessionInput) (Settings, error) {
	refuse := func(format string, args ...any) (Settings, error) {
		return Settings{}, hufu.Refuse(RuleSession, format, args...)
	}
	s := Settings{Mode: in.ResponseMode, Format: in.Format, Method: in.RequestURIMethod, Cross: in.CrossDevice, Return: in.ReturnURI, Origins: in.Origins}
	if s.Mode == "" {
		s.Mode = oid4vp.ModePostJWT
	}
	dc := oid4vp.OverDC(s.Mode)
	switch {
	case !slices.Contains([]string{oid4vp.ModePost, oid4vp.ModePostJWT, oid4vp.ModeDC, oid4vp.ModeDCJWT}, s.Mode):
		return refuse("response_mode is none of direct_post, direct_post.jwt, dc_api and dc_api.jwt")
	case s.Method != "" && s.Method != oid4vp.MethodGet && s.Method != oid4vp.MethodPost:
		return refuse("request_uri_method is neither get nor post")
	case dc && (s.Method != "" || s.Cross || s.Return != ""):
		return refuse("request_uri_method, cross_device and return_uri are not for the Digital Credentials API")
	case dc && len(s.Origins) == 0:
		return refuse("the Digital Credentials API needs expected_origins")
	case !dc && len(s.Origins) > 0:
		return refuse("expected_origins are for the Digital Credentials API")
	case len(in.TransactionData) > 0 && in.Format == oid4vp.FormatMdoc:
		return refuse("transactions are consented to with credentials in %s only", oid4vp.Format)
	}
	for _, o := range s.Origins {
		if err := oid4vp.CheckOrigin(o); err != nil {
			return refuse("expected_origins: not an origin: https://host, without a path")
		}
	}
	if s.Return != "" {
		if err := checkReturn(s.Return); err != nil {
			return refuse("return_uri %v", err)
		}
	}
	for i, object := range in.TransactionData {
		t, err := oid4vp.NewTransaction(object)
		if err != nil {
			return refuse("transaction_data %d: %v", i+1, err)
		}
		s.Transactions = append(s.Transactions, t.Raw)
	}
	return s, g.name(&s, in.ClientIDPrefix, dc)
}

// name settles how the gate names itself.
func (g *Gate) name(s *Settings, prefix string, dc bool) (err error) {
	switch prefix {
	case "", oid4vp.PrefixDID:
	case oid4vp.PrefixDNS, oid4vp.PrefixHash:
		if g.Certificate == nil {
			return hufu.Refuse(RuleSession, "the gate has no certificate")
		}
		leaf, err := g.Certificate.leaf()
		if err != nil {
			return err
		}
		if s.ClientID, err = oid4vp.ClientIDOf(prefix, leaf); err != nil {
			return hufu.Refuse(RuleSession, "the gate's certificate has no DNS name")
		}
		if prefix == oid4vp.PrefixDNS && !dc { // of several names, the one that answers are posted to
			u, err := url.Parse(g.ResponseURI)
			if err != nil || !slices.Contains(leaf.DNS, strings.ToLower(u.Hostname())) {
				return hufu.Refuse(RuleSession, "the gate's certificate is not for the host that answers are posted to")
			}
			s.ClientID = oid4vp.PrefixDNS + ":" + strings.ToLower(u.Hostname())
		}
	case oid4vp.PrefixRedirect:
		if dc || s.Method != "" {
			return hufu.Refuse(RuleSession, "client_id_prefix redirect_uri is for links that hold the request themselves")
		}
		s.ClientID, s.Unsigned = oid4vp.RedirectClientID(g.ResponseURI), true
	case PrefixNone:
		if !dc {
			return hufu.Refuse(RuleSession, "client_id_prefix none is for the Digital Credentials API")
		}
		s.Unsigned = true
	default:
		return hufu.Refuse(RuleSession, "client_id_prefix is none of those there are")
	}
	return nil
}

// request is the request object of a session. Key and wallet nonce are left to the caller.
func (g *Gate) request(s *Session, q *asking) *oid4vp.Request {
	r := &oid4vp.Request{
		Verifier: g.DID, ClientID: s.Settings.ClientID, Mode: s.Settings.Mode, Nonce: s.Nonce, State: s.State,
		Query: q.query, Formats: oid4vp.SupportedFormats(q.format), Contract: s.Contract, Version: s.Version,
		IssuedAt: s.Opened, ExpiresAt: s.Expires, Encs: jwe.Encs(),
	}
	for _, raw := range s.Settings.Transactions {
		if t, err := oid4vp.ParseTransaction(raw); err == nil { // it was made by this package
			r.Transactions = append(r.Transactions, t)
		}
	}
	if oid4vp.OverDC(s.Settings.Mode) {
		r.Origins, r.State = s.Settings.Origins, ""
		return r
	}
	r.ResponseURI = g.ResponseURI
	return r
}

// invite fills in how a wallet gets the request, and sees to it that it is one that wallets can read.
func (g *Gate) invite(ctx context.Context, s *Session, r *oid4vp.Request, q *asking, out *SessionOutput) error {
	set := &s.Settings
	switch {
	case oid4vp.OverDC(set.Mode) && set.Unsigned:
		d, err := r.UnsignedDC()
		out.DC = &d
		return badRequest(err)
	case oid4vp.OverDC(set.Mode):
		token, err := g.sign(ctx, r, q)
		if err != nil {
			return badRequest(err)
		}
		d, err := oid4vp.SignedDC(token)
		out.DC = &d
		return err
	case set.Unsigned:
		uri, err := oid4vp.Link{Unsigned: r}.URI("")
		out.URI = uri
		return badRequest(err)
	}
	if err := r.Check(); err != nil {
		return badRequest(err)
	}
	out.Request = g.requestURI(s)
	uri, err := g.link(s).URI("")
	out.URI = uri
	return err
}

// badRequest says that it was the service's wish that makes no request.
func badRequest(err error) error {
	var r *hufu.Refusal
	if errors.As(err, &r) {
		return hufu.Refuse(RuleSession, "%s", r.Detail)
	}
	return err
}

func (g *Gate) requestURI(s *Session) string { return g.url("vp/request/" + s.State) }

// link is what invokes a wallet with a session's request by reference.
func (g *Gate) link(s *Session) oid4vp.Link {
	l := oid4vp.Link{ClientID: s.Settings.ClientID, RequestURI: g.requestURI(s), Method: s.Settings.Method}
	if l.ClientID == "" {
		l.ClientID = oid4vp.ClientID(g.DID)
	}
	return l
}

// url is an address of the gate's own; ResponseURI ends with "/response".
func (g *Gate) url(path string) string {
	return strings.TrimSuffix(g.ResponseURI, "response") + path
}

// sign signs a request object with the key that its client identifier names, and staples to it what the ledger says.
func (g *Gate) sign(ctx context.Context, r *oid4vp.Request, q *asking) (string, error) {
	r.Staple = g.staple(ctx, q)
	if r.ClientID == "" {
		return r.Sign(g.Rand, g.Signer, g.DID.URL(g.Fragment))
	}
	if g.Certificate == nil {
		return "", errors.New("gate: the session was opened by a gate with a certificate")
	}
	return r.SignX5C(g.Rand, g.Certificate.Signer, g.Certificate.Chain...)
}

// FetchRequest is the signed request object of an open session, as a wallet gets it from the request URI.
// walletNonce and walletMetadata are what it posted, or "" (OpenID4VP 1.0 §5.10). It may be fetched until it is
// answered.
func (g *Gate) FetchRequest(ctx context.Context, state, walletNonce, walletMetadata string) (string, error) {
	p, err := g.Store.ByState(ctx, state)
	switch {
	case errors.Is(err, ErrUnknownSession):
		return "", hufu.Refuse(RuleUnknownRequest, "nothing was asked under this address")
	case err != nil:
		return "", fmt.Errorf("gate: %w", err)
	case p.Settings.Unsigned || oid4vp.OverDC(p.Settings.Mode):
		return "", hufu.Refuse(RuleUnknownRequest, "the request is not to be fetched")
	case p.Taken:
		return "", hufu.Refuse(RuleReplayed, "the request was answered")
	case !g.now().Before(p.Expires):
		return "", hufu.Refuse(RuleExpiredRequest, "the request has expired")
	}
	r, q, err := g.again(ctx, &p.Session)
	if err != nil {
		return "", err
	}
	r.WalletNonce = walletNonce
	if walletMetadata == "" {
		return g.sign(ctx, r, q)
	}
	m, err := oid4vp.ParseWalletMetadata(walletMetadata)
	if err != nil {
		return "", err
	}
	if err := m.Accepts(r, g.signingAlg(r)); err != nil {
		return "", err
	}
	to, enc, err := m.RequestKey()
	if err != nil {
		return "", err
	}
	token, err := g.sign(ctx, r, q)
	if err != nil || to.IsZero() {
		return token, err
	}
	return oid4vp.Encrypt(g.Rand, to, enc, token)
}

func (g *Gate) signingAlg(r *oid4vp.Request) string {
	if r.ClientID != "" && g.Certificate != nil {
		return g.Certificate.Signer.Public().Suite().JOSEAlg()
	}
	return g.Signer.Public().Suite().JOSEAlg()
}

// again makes the request of a stored session anew, as long as its contract stands.
func (g *Gate) again(ctx context.Context, s *Session) (*oid4vp.Request, *asking, error) {
	var q *asking
	err := g.Ledger.Read(ctx, func(v client.View) error {
		if err := g.cache.standing(v, s.Contract, s.Version); err != nil {
			return err
		}
		c, err := g.cache.version(v, s.Contract, s.Version)
		if err == nil {
			q, err = g.cache.ask(v, c, s.Settings.Format)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	r := g.request(s, q)
	if s.Secret != nil {
		key, err := g.vault.key(s.State, s.Secret)
		if err != nil {
			return nil, nil, err
		}
		r.Key = key.Public()
	}
	return r, q, nil
}

// checkReturn takes the addresses of pages that a browser can be sent back to.
func checkReturn(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > 2048 || u.Host == "" || u.User != nil || u.Opaque != "" || strings.Contains(text, "#"):
		return errors.New("is no address of a page")
	case u.Query().Has("response_code"):
		return errors.New("has a response_code already")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname()):
		return nil
	}
	return errors.New("is neither https nor http on loopback")
}

// withCode adds the response code to the address that the browser is sent back to.
func withCode(address, code string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "" // not reached: checkReturn read it
	}
	q := u.Query()
	q.Set("response_code", code)
	u.RawQuery = q.Encode()
	return u.String()
}
