package wallet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/wallet"
)

// reached is the scene's ledger behind a node that is there or not, and how often it is asked.
type reached struct {
	*scene
	*client.Client // opens staples, as it trusts the scene's genesis
	away           bool
	asked          int
}

// nowhere is a client's way to no node.
type nowhere struct{ client.Transport }

func (s *scene) reached() *reached {
	s.t.Helper()
	c := must[*client.Client](s.t)(client.New(s.Trust(), nowhere{}, client.Options{Now: s.Now}))
	s.t.Cleanup(func() { _ = c.Close() }) // always nil
	return &reached{scene: s, Client: c}
}

func (r *reached) Read(ctx context.Context, f func(client.View) error) error {
	if r.asked++; r.away {
		return fmt.Errorf("%w: unplugged", client.ErrUnreachable)
	}
	return r.scene.Read(ctx, f)
}

// reads is what a wallet needs to judge a door's request.
func (d *door) reads(name string) func(client.View) error {
	return func(v client.View) error {
		_, err := did.Get(v, d.ID)
		_, problem := contracts.Get(v, d.ID, name, 0)
		return errors.Join(err, problem)
	}
}

// shows is a staple of what f reads now.
func (s *scene) shows(f func(client.View) error) []byte {
	s.t.Helper()
	return must[*client.Staple](s.t)(s.Staple(context.Background(), f)).Bytes
}

// A visit of which nobody but the gate learns: what is stapled is all that is needed, for the receipt too.
func TestStapleKeepsNodesOut(t *testing.T) {
	s := newScene(t)
	for _, prefix := range []string{oid4vp.PrefixDID, oid4vp.PrefixDNS, oid4vp.PrefixHash} {
		for _, format := range []string{dcql.FormatSDJWT, dcql.FormatMdoc} {
			t.Run(prefix+" "+format, func(t *testing.T) {
				w, l := s.holder(), s.reached()
				staple := s.shows(s.owner.reads("room"))
				d := s.desk(func(d *desk) {
					d.s.t, d.prefix, d.format = t, prefix, format
					d.change = func(r *oid4vp.Request) { r.Staple = staple }
				})
				link := d.link(false)
				d.receipt = func(token oid4vp.VPToken) string {
					a := &wallet.Answer{Contract: d.request.Contract, Version: d.request.Version}
					return s.owner.decides(a, d.request.Nonce, token["person"])
				}
				q := must[*wallet.Inquiry](t)(w.Consider(t.Context(), l, link))
				check(t, s.Pass(wallet.StapleFresh+time.Second)) // the person takes the time
				out := must[*wallet.Outcome](t)(w.Agree(t.Context(), l, q))
				if l.asked > 0 || out.Receipt == nil || out.ReceiptError != nil || !q.Known() {
					t.Errorf("asked %d times, receipt %+v, %v", l.asked, out.Receipt, out.ReceiptError)
				}
			})
		}
	}
}

// How old what is stapled may be, with a node and without.
func TestStapleAges(t *testing.T) {
	s := newScene(t)
	strict := world.ContractText(s.owner.DID, "strict", 1, 10*time.Second, world.ReadingRoom)
	check(t, s.Do(s.owner.Actor, &tx.ContractPublish{Name: "strict", Version: 1, Text: strict}))
	const bound = 5 * time.Minute // of the contracts that the world publishes
	for name, c := range map[string]struct {
		contract string
		age      time.Duration
		away     bool
		asked    int
		rule     hufu.Rule
	}{
		"now":                                 {"room", 0, false, 0, ""},
		"just fresh":                          {"room", wallet.StapleFresh, false, 0, ""},
		"not fresh":                           {"room", wallet.StapleFresh + time.Second, false, 1, ""},
		"fresh, in an outage":                 {"room", wallet.StapleFresh, true, 0, ""},
		"as old as may be":                    {"room", bound, true, 1, ""},
		"too old":                             {"room", bound + time.Second, true, 1, wallet.RuleStale},
		"too old, but there is a node":        {"room", bound + time.Second, false, 1, ""},
		"fresh, and strict":                   {"strict", 10 * time.Second, false, 0, ""},
		"too old for the strict":              {"strict", 11 * time.Second, false, 1, ""},
		"too old for the strict, and no node": {"strict", 11 * time.Second, true, 1, wallet.RuleStale},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := s.wallet(2, true, false), s.reached()
			staple := s.shows(s.owner.reads(c.contract))
			if c.age > 0 {
				check(t, s.Pass(c.age))
			}
			l.away = c.away
			request := s.owner.asks("room", func(r *oid4vp.Request) {
				r.Contract.Name, r.Staple = c.contract, staple
			})
			a, err := w.Present(t.Context(), l, request)
			wantOutcome(t, err, c.rule)
			if l.asked != c.asked || (a != nil) != (c.rule == "") {
				t.Errorf("asked %d times, answer %+v", l.asked, a)
			}
			log := w.Log()
			if last := log[len(log)-1]; last.Refused != c.rule || (len(last.Shown) > 0) != (c.rule == "") {
				t.Errorf("log %+v", last)
			}
		})
	}
}

// wantOutcome is wantRule, or that there is no error.
func wantOutcome(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if rule == "" {
		check(t, err)
		return
	}
	wantRule(t, err, rule)
}

// What is stapled says no; or does not hold, or is not enough, and then it is as good as nothing.
func TestStapleRefused(t *testing.T) {
	s := newScene(t)
	other := s.door()
	good := s.shows(s.owner.reads("room"))
	forged := append([]byte{}, good...)
	forged[len(forged)-40] ^= 1
	for name, staple := range map[string][]byte{
		"none": nil, "no staple": []byte("x"), "forged": forged, "cut off": good[:len(good)-1], "of another contract": s.shows(s.owner.reads("clinic")),
		"of another gate": s.shows(other.reads("room")), "without the gate": s.shows(func(v client.View) error { _, err := contracts.Get(v, s.owner.ID, "room", 0); return err }),
		"of nothing": s.shows(func(client.View) error { return nil }),
	} {
		t.Run(name, func(t *testing.T) {
			w, l := s.wallet(3, true, false), s.reached()
			ask := func() string { return s.owner.asks("room", func(r *oid4vp.Request) { r.Staple = staple }) }
			l.away = true
			_, err := w.Present(t.Context(), l, ask())
			if !errors.Is(err, client.ErrUnreachable) || len(w.Log()) != 0 {
				t.Errorf("without a node: %v, log %+v", err, w.Log())
			}
			bad := name == "no staple" || name == "forged" || name == "cut off"
			if bad != strings.Contains(err.Error(), "does not hold") || (name == "none") != strings.Contains(err.Error(), "shows nothing") {
				t.Errorf("it says %v", err)
			}
			l.away = false
			must[*wallet.Answer](t)(w.Present(t.Context(), l, ask()))
			if l.asked != 2 {
				t.Errorf("asked %d times", l.asked)
			}
		})
	}

	w, l := s.wallet(3, true, false), s.reached()
	over := func(r *oid4vp.Request) { r.Staple, r.Query = good, s.owner.request("clinic").Query }
	_, err := w.Present(t.Context(), l, s.owner.asks("room", over))
	wantRule(t, err, wallet.RuleOverAsking)
	thief := *s.owner
	thief.Actor = &world.Actor{ID: s.owner.ID, DID: s.owner.DID, Signer: must[keys.Signer](t)(keys.P256.Generate(s.Rand))}
	_, err = w.Present(t.Context(), l, thief.asks("room", func(r *oid4vp.Request) { r.Staple = good }))
	wantRule(t, err, oid4vp.RuleSignature)
	check(t, s.Do(s.owner.Actor, &tx.ContractRetire{Name: "room"}))
	retired := s.shows(s.owner.reads("room"))
	_, err = w.Present(t.Context(), l, s.owner.asks("room", func(r *oid4vp.Request) { r.Staple = retired }))
	wantRule(t, err, wallet.RuleNotCurrent)
	if l.asked != 0 {
		t.Errorf("asked %d times", l.asked)
	}

	// When there are two histories, nothing is shown, whatever a node says.
	_, err = w.Present(t.Context(), torn{l}, s.owner.asks("clinic", func(r *oid4vp.Request) { r.Staple = good }))
	wantRule(t, err, client.RuleConflict)
	if l.asked != 0 {
		t.Errorf("asked %d times", l.asked)
	}
}

// torn is a ledger of which there are two histories.
type torn struct{ *reached }

func (torn) OpenStaple([]byte) (*client.Stapled, error) {
	return nil, hufu.Refuse(client.RuleConflict, "two")
}

// A receipt that what was stapled does not vouch for is checked on the ledger.
func TestReceiptAfterStaple(t *testing.T) {
	s := newScene(t)
	w, l := s.holder(), s.reached()
	staple := s.shows(s.owner.reads("room"))
	d := s.desk(func(d *desk) { d.change = func(r *oid4vp.Request) { r.Staple = staple } })
	q := must[*wallet.Inquiry](t)(w.Consider(t.Context(), l, d.link(false)))
	check(t, s.Rotate(s.owner.Actor, false))
	d.receipt = func(token oid4vp.VPToken) string {
		a := &wallet.Answer{Contract: d.request.Contract, Version: d.request.Version}
		return s.owner.decides(a, d.request.Nonce, token["person"], func(r *receipt.Receipt) { r.Time = s.Now() })
	}
	out := must[*wallet.Outcome](t)(w.Agree(t.Context(), l, q))
	if out.Receipt == nil || out.ReceiptError != nil || l.asked != 1 {
		t.Errorf("asked %d times, receipt %+v, %v", l.asked, out.Receipt, out.ReceiptError)
	}
}
