package wallet_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

// Read makes the scene a wallet's ledger.
func (s *scene) Read(_ context.Context, f func(client.View) error) error { return f(s.view()) }

func (s *scene) empty() *wallet.Wallet {
	s.t.Helper()
	return must[*wallet.Wallet](s.t)(wallet.Open(wallet.Config{Store: wallet.NewMemory(), Now: s.Now, Rand: s.Rand}))
}

func (s *scene) invited(w *wallet.Wallet, link string) *wallet.Invitation {
	s.t.Helper()
	return must[*wallet.Invitation](s.t)(w.Invited(context.Background(), s, link))
}

// A nonce for DPoP proofs that came with the offer is used from the first proof on; without one the issuer
// has to refuse once.
func TestFirstNonce(t *testing.T) {
	for _, byReference := range []bool{true, false} {
		s := newScene(t)
		o, w := s.office(), s.empty()
		o.dpopNonce = true
		link, refused := o.link(), 1
		if byReference {
			link, refused = oid4vci.ReferenceLink(oid4vci.OfferScheme, o.URL+"/offer"), 0
		}
		must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, link), wallet.Acceptance{Copies: 1}))
		if o.unproven != refused || o.copies != 3 {
			t.Errorf("by reference %v: %d proofs refused, %d copies", byReference, o.unproven, o.copies)
		}
	}
}

// Every way of an issuer to do the same.
func TestReceive(t *testing.T) {
	for name, set := range map[string]func(*office, *wallet.Acceptance){
		"plain":            func(*office, *wallet.Acceptance) {},
		"transaction code": func(o *office, a *wallet.Acceptance) { o.txCode, a.TxCode = "1234", "1234" },
		"DPoP nonce":       func(o *office, _ *wallet.Acceptance) { o.dpopNonce = true },
		"Bearer":           func(o *office, _ *wallet.Acceptance) { o.bearer = true },
		"encrypted":        func(o *office, _ *wallet.Acceptance) { o.encrypts = true },
		"stale nonce":      func(o *office, _ *wallet.Acceptance) { o.stale = true },
		"identifiers":      func(o *office, _ *wallet.Acceptance) { o.details = true },
		"signed metadata":  func(o *office, _ *wallet.Acceptance) { o.signedBy = o.s.agency.Actor },
		"no refresh":       func(o *office, _ *wallet.Acceptance) { o.noRefresh = true },
		"all of it, deferred": func(o *office, _ *wallet.Acceptance) {
			o.dpopNonce, o.encrypts, o.details, o.defer1 = true, true, true, true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			o, w := s.office(), s.empty()
			a := wallet.Acceptance{Copies: 3}
			set(o, &a)
			inv := s.invited(w, o.link())
			if inv.Issuer != o.URL || inv.Name != "Agency" || len(inv.Credentials) != 3 || inv.SignIn || (inv.TxCode != nil) != (o.txCode != "") {
				t.Errorf("invited to %+v", inv)
			}
			if o.signedBy != nil && inv.DID != s.agency.DID || o.signedBy == nil && inv.DID != "" {
				t.Errorf("metadata signed by %q", inv.DID)
			}
			got := must[*wallet.Received](t)(w.Receive(context.Background(), s, inv, a))
			want := 9
			if got.Deferred == 1 {
				want = 6
			}
			if got.Copies != want || o.copies != want {
				t.Errorf("got %+v, %d were made", got, o.copies)
			}
			if got.Deferred == 1 {
				s.collect(w, o)
			}
			list := w.List()
			if len(list) != 3 {
				t.Fatalf("holds %+v", list)
			}
			for _, st := range list {
				if st.Issuer != s.agency.DID || st.Left != 3 || st.Foreign || st.Refills == o.noRefresh {
					t.Errorf("stock %+v", st)
				}
			}
			slices.Sort(o.notified)
			if !slices.Equal(o.notified, []string{"guardianship credential_accepted", "resident credential_accepted", "resident.mdoc credential_accepted"}) {
				t.Errorf("notified %v", o.notified)
			}
			if log := w.Log(); log[0].Issuer != o.URL || log[0].Refused != "" || log[0].Got != want {
				t.Errorf("log %+v", log[0])
			}
		})
	}
}

// collect waits for what was deferred, twice.
func (s *scene) collect(w *wallet.Wallet, o *office) {
	s.t.Helper()
	if early := must[*wallet.Received](s.t)(w.Collect(context.Background(), s)); early.Deferred != 1 || early.Copies != 0 {
		s.t.Errorf("asked before the time: %+v", early)
	}
	check(s.t, s.Pass(2*time.Minute))
	o.defer1 = true
	if again := must[*wallet.Received](s.t)(w.Collect(context.Background(), s)); again.Deferred != 1 || again.Copies != 0 {
		s.t.Errorf("deferred again: %+v", again)
	}
	check(s.t, s.Pass(2*time.Minute))
	if late := must[*wallet.Received](s.t)(w.Collect(context.Background(), s)); late.Deferred != 0 || late.Copies != 3 {
		s.t.Errorf("collected %+v", late)
	}
	if none := must[*wallet.Received](s.t)(w.Collect(context.Background(), s)); none.Deferred != 0 || none.Copies != 0 {
		s.t.Errorf("and then %+v", none)
	}
}

func TestOfferByReference(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	inv := s.invited(w, oid4vci.ReferenceLink(oid4vci.OfferScheme, o.URL+"/offer"))
	if len(inv.Credentials) != 3 {
		t.Errorf("invited to %+v", inv)
	}
}

// A person signs in; the code comes back with state and issuer, and is redeemed with the verifier.
func TestReceiveBySigningIn(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	offer := o.offer()
	offer.PreAuthorized, offer.Code = nil, &oid4vci.CodeGrant{IssuerState: "about you"}
	inv := s.invited(w, must[string](t)(offer.Link(oid4vci.OfferScheme)))
	if !inv.SignIn {
		t.Fatal("no sign-in")
	}
	_, err := w.Receive(context.Background(), s, inv, wallet.Acceptance{})
	wantRule(t, err, wallet.RuleSignIn)
	a := wallet.Acceptance{Copies: 2, RedirectURI: "http://127.0.0.1:1/back", SignIn: func(_ context.Context, address string) (string, error) { return o.signIn(address), nil }}
	got := must[*wallet.Received](t)(w.Receive(context.Background(), s, inv, a))
	if got.Copies != 6 || o.pushed.IssuerState != "about you" || o.pushed.DPoPKey != o.thumbprint {
		t.Errorf("got %+v after %+v", got, o.pushed)
	}
	for name, back := range map[string]string{
		"another state": "?code=code&state=x&iss=" + o.URL,
		"another iss":   "?code=code&iss=https://evil.example&state=",
		"an error":      "?error=access_denied&iss=" + o.URL + "&state=",
	} {
		t.Run(name, func(t *testing.T) {
			a.SignIn = func(context.Context, string) (string, error) {
				if name != "another state" {
					back += o.pushed.State
				}
				return a.RedirectURI + back, nil
			}
			_, err := w.Receive(context.Background(), s, inv, a)
			if rule := hufu.RuleOf(err); rule != oauth.RuleResponse && rule != oauth.RuleDenied {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestReceiveRefused(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*office, *wallet.Acceptance)
		rule hufu.Rule
	}{
		"no transaction code":     {func(o *office, _ *wallet.Acceptance) { o.txCode = "1234" }, wallet.RuleTxCode},
		"short transaction code":  {func(o *office, a *wallet.Acceptance) { o.txCode, a.TxCode = "1234", "123" }, wallet.RuleTxCode},
		"letters":                 {func(o *office, a *wallet.Acceptance) { o.txCode, a.TxCode = "1234", "12a4" }, wallet.RuleTxCode},
		"needless code":           {func(_ *office, a *wallet.Acceptance) { a.TxCode = "1" }, wallet.RuleTxCode},
		"wrong transaction code":  {func(o *office, a *wallet.Acceptance) { o.txCode, a.TxCode = "1234", "4321" }, oauth.RuleGrant},
		"a stranger":              {func(o *office, _ *wallet.Acceptance) { o.foreign = o.s.stranger() }, wallet.RuleStranger},
		"another type than asked": {func(o *office, _ *wallet.Acceptance) { o.wrongType = true }, wallet.RuleNotOffered},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			o, w := s.office(), s.empty()
			a := wallet.Acceptance{Copies: 2}
			c.set(o, &a)
			offer := o.offer()
			offer.ConfigurationIDs = []string{configSD}
			_, err := w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link(oid4vci.OfferScheme))), a)
			wantRule(t, err, c.rule)
			if len(w.List()) != 0 {
				t.Error("kept something")
			}
			log := w.Log()
			if len(log) != 1 || log[0].Refused != c.rule || log[0].Issuer != o.URL {
				t.Errorf("log %+v", log)
			}
			if len(o.notified) == 1 && o.notified[0] != configSD+" credential_failure" {
				t.Errorf("notified %v", o.notified)
			}
		})
	}
}

func (s *scene) stranger() keys.Signer { return must[keys.Signer](s.t)(keys.P256.Generate(s.Rand)) }

// A person may take what a stranger gives.
func TestReceiveFromAStranger(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	o.foreign = s.stranger()
	got := must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{Copies: 2, Foreign: true}))
	if got.Copies != 6 {
		t.Errorf("got %+v", got)
	}
	for _, st := range w.List() {
		if !st.Foreign {
			t.Errorf("stock %+v", st)
		}
	}
}

func TestInvitedRefused(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	link := func(change func(*oid4vci.Offer)) string {
		offer := o.offer()
		change(offer)
		return must[string](t)(offer.Link(oid4vci.OfferScheme))
	}
	for name, c := range map[string]struct {
		link string
		rule hufu.Rule
	}{
		"no link":               {"hello", oid4vci.RuleOffer},
		"unknown configuration": {link(func(f *oid4vci.Offer) { f.ConfigurationIDs = []string{"x"} }), oid4vci.RuleOffer},
		"nothing to hold":       {link(func(f *oid4vci.Offer) { f.ConfigurationIDs = []string{"paper"} }), wallet.RuleNoFormat},
		"another's server":      {link(func(f *oid4vci.Offer) { f.PreAuthorized.AuthorizationServer = "https://other.example" }), oid4vci.RuleOffer},
		"no such reference":     {oid4vci.ReferenceLink(oid4vci.OfferScheme, o.URL+"/none"), wallet.RuleRemote},
		"metadata elsewhere":    {link(func(f *oid4vci.Offer) { f.CredentialIssuer = o.URL + "/path" }), wallet.RuleRemote},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Invited(context.Background(), s, c.link)
			wantRule(t, err, c.rule)
		})
	}
}

// Copies that run low are fetched anew, with the refresh token that came last, once.
func TestRefill(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	offer := o.offer()
	offer.ConfigurationIDs = []string{configSD}
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link(oid4vci.OfferScheme))), wallet.Acceptance{Copies: 5}))
	if got := must[[]wallet.Stock](t)(w.Refill(context.Background(), s)); len(got) != 0 || o.refreshes != 0 {
		t.Errorf("refilled %+v when there was no need", got)
	}
	for range 3 {
		check(t, s.Pass(time.Minute))
		must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	}
	got := must[[]wallet.Stock](t)(w.Refill(context.Background(), s))
	if len(got) != 1 || got[0].Left != 5 || o.refreshes != 1 {
		t.Errorf("refilled %+v, %d refreshes", got, o.refreshes)
	}
	if again := must[[]wallet.Stock](t)(w.Refill(context.Background(), s)); len(again) != 0 || o.refreshes != 1 {
		t.Errorf("refilled again %+v", again)
	}
	o.refresh = "taken away"
	for range 6 {
		check(t, s.Pass(time.Minute))
		must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	}
	_, err := w.Refill(context.Background(), s)
	wantRule(t, err, oauth.RuleGrant)
	if more := must[[]wallet.Stock](t)(w.Refill(context.Background(), s)); len(more) != 0 || o.refreshes != 2 {
		t.Errorf("tried a dead refresh token again: %d", o.refreshes)
	}
}

// Several credentials of one offer are bound to the same keys, so that a door that wants one holder opens.
func TestOneHolderAcrossCredentials(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{Copies: 2}))
	choices := map[string]bool{}
	for _, st := range w.List() {
		choices[st.Format+" "+st.Type] = true
	}
	if len(choices) != 3 || !choices[dcql.FormatMdoc+" "+world.Resident] {
		t.Fatalf("holds %v", choices)
	}
	a := must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("clinic", func(*oid4vp.Request) {})))
	if len(a.Response.VPToken) != 1 {
		t.Errorf("shows %d credentials", len(a.Response.VPToken))
	}
}
