package wallet_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

// holder is a wallet with copies in both formats.
func (s *scene) holder() *wallet.Wallet {
	s.t.Helper()
	o, w := s.office(), s.empty()
	o.noRefresh = true
	must[*wallet.Received](s.t)(w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{Copies: 5}))
	return w
}

// Every way in which a verifier can ask, and get an answer.
func TestAgree(t *testing.T) {
	s := newScene(t)
	for _, prefix := range []string{oid4vp.PrefixDID, oid4vp.PrefixDNS, oid4vp.PrefixHash, oid4vp.PrefixRedirect} {
		for _, mode := range []string{oid4vp.ModePost, oid4vp.ModePostJWT} {
			for _, format := range []string{dcql.FormatSDJWT, dcql.FormatMdoc} {
				for _, how := range []string{"get", "post", "value"} {
					if prefix == oid4vp.PrefixRedirect && how != "value" {
						continue // it is not signed, so it comes by value
					}
					t.Run(strings.Join([]string{prefix, mode, format, how}, " "), func(t *testing.T) {
						d := s.desk(func(d *desk) {
							d.s.t = t
							d.prefix, d.mode, d.format, d.method = prefix, mode, format, how
							if how == "value" {
								d.method = ""
							}
							d.redirect = "https://back.example/#x"
						})
						s.agrees(d, s.holder(), how == "value")
					})
				}
			}
		}
	}
}

// agrees looks into the desk's request and agrees to it.
func (s *scene) agrees(d *desk, w *wallet.Wallet, byValue bool) {
	t := s.t
	t.Helper()
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(byValue)))
	known := d.prefix != oid4vp.PrefixRedirect && !d.foreign
	if q.Known() != known || known != (len(q.Warnings) == 0) || known && (q.Verifier != d.door.DID || q.Contract.Name != "room") {
		t.Errorf("who asks: %+v", q)
	}
	if len(q.Show) != 1 || q.Show[0].Format != d.format || q.Show[0].Type != world.Resident || q.Show[0].Issuer != string(s.agency.DID) ||
		len(q.Show[0].Claims) != 1 || q.Show[0].Claims[0].Value != true {
		t.Errorf("would show %+v", q.Show)
	}
	if d.got != nil || w.List()[0].Left != 5 {
		t.Error("shown before anybody agreed")
	}
	out := must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	if out.Redirect != d.redirect {
		t.Errorf("sent on to %q", out.Redirect)
	}
	if age, _ := d.shown()["age"].(map[string]any); len(age) != 1 || age["18"] != true {
		t.Errorf("showed %v", age)
	}
	if log := w.Log(); len(log) != 2 || log[1].Refused != "" || len(log[1].Shown) != 1 || (log[1].Gate != "") != known || (log[1].Client != "") == known {
		t.Errorf("log %+v", log)
	}
	_, err := w.Agree(context.Background(), s, q)
	wantRule(t, err, wallet.RuleChanged)
	_, err = w.Consider(context.Background(), s, d.again(byValue))
	wantRule(t, err, wallet.RuleAskedBefore)
}

// again is the link to the same request.
func (d *desk) again(byValue bool) string {
	nonce, state := d.request.Nonce, d.request.State
	before := d.change
	d.change = func(r *oid4vp.Request) {
		if before != nil {
			before(r)
		}
		r.Nonce, r.State = nonce, state
	}
	return d.link(byValue)
}

// The Digital Credentials API, signed and not.
func TestAgreeOverDC(t *testing.T) {
	s := newScene(t)
	for _, mode := range []string{oid4vp.ModeDC, oid4vp.ModeDCJWT} {
		for _, format := range []string{dcql.FormatSDJWT, dcql.FormatMdoc} {
			for _, prefix := range []string{oid4vp.PrefixDID, oid4vp.PrefixHash, "none"} {
				t.Run(strings.Join([]string{mode, format, prefix}, " "), func(t *testing.T) {
					d := s.desk(func(d *desk) { d.s.t, d.mode, d.format, d.prefix = t, mode, format, prefix })
					w := s.holder()
					r := d.asks()
					var asked oid4vp.DCRequest
					if prefix == "none" {
						asked = must[oid4vp.DCRequest](t)(r.UnsignedDC())
					} else {
						asked = must[oid4vp.DCRequest](t)(oid4vp.SignedDC(d.sign(r)))
						_, err := w.ConsiderDC(context.Background(), s, "https://evil.example", asked)
						wantRule(t, err, oid4vp.RuleRequest)
					}
					q := must[*wallet.Inquiry](t)(w.ConsiderDC(context.Background(), s, "https://page.example", asked))
					if q.Known() != (prefix != "none") || q.ReplyTo != "" {
						t.Errorf("who asks: %+v", q)
					}
					out := must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
					d.take(must[*oid4vp.Answer](t)(oid4vp.ParseDC(out.DC)))
					if age, _ := d.shown()["age"].(map[string]any); age["18"] != true {
						t.Errorf("showed %v", age)
					}
				})
			}
		}
	}
}

// A stranger is told apart, and answered when the person agrees.
func TestStrangers(t *testing.T) {
	s := newScene(t)
	for _, prefix := range []string{oid4vp.PrefixDNS, oid4vp.PrefixHash, oid4vp.PrefixRedirect} {
		t.Run(prefix, func(t *testing.T) {
			d := s.desk(func(d *desk) { d.s.t, d.prefix, d.foreign = t, prefix, true })
			w := s.holder()
			_, err := w.Present(t.Context(), s, "x")
			wantRule(t, err, oid4vp.RuleRequest)
			q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
			if q.Known() || q.Verifier != "" || q.Contract != nil || len(q.Warnings) < 2 || q.ReplyTo == "" {
				t.Errorf("who asks: %+v", q)
			}
			must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
			if age, _ := d.shown()["age"].(map[string]any); age["18"] != true {
				t.Errorf("showed %v", age)
			}
		})
	}
	// Nobody is asked here, so strangers get nothing.
	d := s.desk(func(d *desk) { d.s.t, d.prefix, d.foreign = t, oid4vp.PrefixHash, true })
	_, err := s.holder().Present(t.Context(), s, d.sign(d.asks()))
	wantRule(t, err, oid4vp.RuleUnsupported)
}

// Whoever the ledger knows may only ask what it published, whichever way it asks.
func TestConsiderRefused(t *testing.T) {
	s := newScene(t)
	clinic := s.owner.request("clinic").Query
	for name, c := range map[string]struct {
		set  func(*desk)
		rule hufu.Rule
	}{
		"another query": {func(d *desk) { d.change = func(r *oid4vp.Request) { r.Query = clinic } }, wallet.RuleOverAsking},
		"another query, with a certificate": {func(d *desk) {
			d.prefix, d.change = oid4vp.PrefixHash, func(r *oid4vp.Request) { r.Query = clinic }
		}, wallet.RuleOverAsking},
		"another query, unsigned": {func(d *desk) {
			d.prefix, d.change = oid4vp.PrefixRedirect, func(r *oid4vp.Request) { r.Query = clinic }
		}, wallet.RuleOverAsking},
		"no contract": {func(d *desk) { d.change = func(r *oid4vp.Request) { r.Contract, r.Version = hufu.ContractID{}, 0 } }, wallet.RuleOverAsking},
		"no contract, with a certificate": {func(d *desk) {
			d.prefix, d.change = oid4vp.PrefixDNS, func(r *oid4vp.Request) { r.Contract, r.Version = hufu.ContractID{}, 0 }
		}, wallet.RuleOverAsking},
		"another's contract": {func(d *desk) {
			d.change = func(r *oid4vp.Request) { r.Contract.Owner = s.Member.DID }
		}, wallet.RuleOverAsking},
		"a transaction that cannot be shown": {func(d *desk) {
			d.consent = []oid4vp.Transaction{must[oid4vp.Transaction](t)(oid4vp.NewTransaction([]byte(`{"type":"pay","credential_ids":["person"]}`)))}
		}, oid4vp.RuleTransaction},
		"nothing to show": {func(d *desk) {
			d.foreign, d.prefix = true, oid4vp.PrefixHash
			d.change = func(r *oid4vp.Request) {
				r.Query = []byte(`{"credentials":[{"id":"x","format":"dc+sd-jwt","meta":{"vct_values":["urn:none"]}}]}`)
			}
		}, dcql.RuleUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			d := s.desk(func(d *desk) { d.s.t = t; c.set(d) })
			w := s.holder()
			_, err := w.Consider(context.Background(), s, d.link(false))
			wantRule(t, err, c.rule)
			log := w.Log()
			if len(log) != 2 || log[1].Refused != c.rule || log[1].Nonce != d.request.Nonce || len(log[1].Shown) != 0 {
				t.Errorf("log %+v", log)
			}
			if d.got != nil {
				t.Error("an answer was sent")
			}
		})
	}
	w := s.holder()
	_, err := w.Consider(context.Background(), s, "hello")
	wantRule(t, err, oid4vp.RuleRequest)
	d := s.desk(func(d *desk) { d.s.t, d.prefix = t, oid4vp.PrefixHash })
	link := d.link(true)
	check(t, s.Rotate(s.owner.Actor, true)) // the authority's signatures fell
	_, err = w.Consider(context.Background(), s, link)
	wantRule(t, err, "x5c.anchor")
}

// Another client than the link announced, another nonce than the wallet's, another type, no answer.
func TestConsiderRemote(t *testing.T) {
	s := newScene(t)
	w := s.holder()
	d := s.desk(func(d *desk) { d.s.t, d.method = t, "post" })
	other := s.door()
	link := d.link(false)
	_, err := w.Consider(context.Background(), s, strings.Replace(link, "client_id=", "client_id=decentralized_identifier%3A"+strings.ReplaceAll(string(other.DID), ":", "%3A")+"&x=", 1))
	wantRule(t, err, oid4vp.RuleRequest)
	_, err = w.Consider(context.Background(), s, strings.Replace(link, "%2Frequest", "%2Fnone", 1))
	wantRule(t, err, wallet.RuleRemote)
	_, err = w.Consider(context.Background(), s, strings.Replace(link, "request_uri_method=post", "request_uri_method=put", 1))
	wantRule(t, err, oid4vp.RuleMethod)
	if n := len(w.Log()); n != 4 {
		t.Errorf("%d entries in the log", n)
	}
}

func TestConsent(t *testing.T) {
	s := newScene(t)
	statement := must[oid4vp.Transaction](t)(oid4vp.NewStatement("I lend a book.", "person"))
	d := s.desk(func(d *desk) { d.s.t, d.consent = t, []oid4vp.Transaction{statement} })
	w := s.holder()
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	if !slices.Equal(q.Consent, []string{"I lend a book."}) {
		t.Errorf("consent to %q", q.Consent)
	}
	must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	d.shown()
}

// Nothing is used up for a request that expired while the person was thinking.
func TestAgreedTooLate(t *testing.T) {
	s := newScene(t)
	d := s.desk(func(d *desk) { d.s.t = t })
	w := s.holder()
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	check(t, s.Pass(2*time.Minute))
	_, err := w.Agree(context.Background(), s, q)
	wantRule(t, err, oid4vp.RuleExpired)
	if w.List()[0].Left != 5 || d.got != nil || w.Log()[1].Refused != oid4vp.RuleExpired {
		t.Errorf("%+v, log %+v", w.List(), w.Log())
	}
}

func TestDecline(t *testing.T) {
	s := newScene(t)
	d := s.desk(func(d *desk) { d.s.t, d.mode = t, oid4vp.ModePostJWT })
	w := s.holder()
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	check(t, w.Decline(context.Background(), q))
	if d.got == nil || d.got.Error == nil || d.got.Error.Code != "access_denied" || d.got.State != d.request.State {
		t.Errorf("the verifier got %+v", d.got)
	}
	if log := w.Log(); log[1].Refused != wallet.RuleDeclined || w.List()[0].Left != 5 {
		t.Errorf("log %+v", log)
	}
}

// A receipt is kept; one that is wrong is not, and the answer stands.
func TestReceiptComesWithTheReply(t *testing.T) {
	s := newScene(t)
	d := s.desk(func(d *desk) { d.s.t = t })
	d.receipt = d.decides
	w := s.holder()
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	out := must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	if out.ReceiptError != nil || out.Receipt == nil || out.Receipt.Decision != hufu.Allow || w.Log()[1].Receipt == "" {
		t.Errorf("outcome %+v", out)
	}
	d.receipt = func(oid4vp.VPToken) string { return d.decides(oid4vp.VPToken{"person": {"something else"}}) }
	q = must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	out = must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	if hufu.RuleOf(out.ReceiptError) != "receipt.commitment" || w.Log()[2].Receipt != "" {
		t.Errorf("outcome %+v", out)
	}
}

// What was sent is used up, whatever the verifier says to it.
func TestVerifierFails(t *testing.T) {
	s := newScene(t)
	d := s.desk(func(d *desk) { d.s.t, d.status = t, http.StatusBadRequest })
	w := s.holder()
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	_, err := w.Agree(context.Background(), s, q)
	wantRule(t, err, wallet.RuleRemote)
	if w.List()[0].Left != 4 || len(w.Log()[1].Shown) != 1 {
		t.Errorf("%+v, log %+v", w.List(), w.Log())
	}
	for _, address := range []string{"://", "back", "javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://back.example/", "https://back.example/\u202ex", "https://back.example/#a\nb"} {
		d := s.desk(func(d *desk) { d.s.t, d.redirect = t, address })
		w := s.holder()
		q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
		if _, err := w.Agree(context.Background(), s, q); hufu.RuleOf(err) != wallet.RuleRemote {
			t.Errorf("sent on to %q: %v", address, err)
		}
	}
	d = s.desk(func(d *desk) { d.s.t = t })
	link := d.link(true)
	q = must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, link))
	d.Close()
	_, err = w.Agree(context.Background(), s, q)
	if err == nil || strings.Contains(err.Error(), d.request.State) {
		t.Errorf("%v", err)
	}
}

// A wallet with nothing left fetches before it answers.
func TestConsiderRefills(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	offer := o.offer()
	offer.ConfigurationIDs = []string{configSD}
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link("x://"))), wallet.Acceptance{Copies: 1}))
	must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	_, err := w.Present(t.Context(), s, s.owner.asks("room")) // this has no way to an issuer
	wantRule(t, err, dcql.RuleUnavailable)
	d := s.desk(func(d *desk) { d.s.t = t })
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	d.shown()
}

// A wallet that runs low refills by itself when it answers.
func TestAgreeRefills(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	offer := o.offer()
	offer.ConfigurationIDs = []string{configSD}
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link("x://"))), wallet.Acceptance{Copies: 3}))
	d := s.desk(func(d *desk) { d.s.t = t })
	q := must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
	out := must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	if out.Refill != nil || len(out.Refilled) != 1 || len(out.Low) != 0 || o.refreshes != 1 {
		t.Errorf("outcome %+v", out)
	}
	o.Close() // the issuer is gone: the answer stands
	for range 3 {
		q = must[*wallet.Inquiry](t)(w.Consider(context.Background(), s, d.link(false)))
		out = must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	}
	if out.Refill == nil || len(out.Low) != 1 {
		t.Errorf("outcome %+v", out)
	}
}
