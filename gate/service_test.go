package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// A gate asks for what its contract on the ledger asks for, and has no way to ask for anything else.
func TestRequestIsTheContract(t *testing.T) {
	s := newScene(t)
	r := s.ask(s.room)
	check(t, r.Verify(s.owner.Signer.Public(), s.clock(), 0))
	c := must[*contract.Contract](t)(contract.Parse([]byte(world.ContractTextOf(s.owner, "reading-room", 1, world.ReadingRoom))))
	var asked, published any
	check(t, json.Unmarshal(r.Query, &asked))
	check(t, json.Unmarshal(c.QueryJSON, &published))
	a, _ := json.Marshal(asked)
	b, _ := json.Marshal(published)
	if string(a) != string(b) {
		t.Errorf("asked %s, published %s", a, b)
	}
	if r.Contract != s.room || r.Version != 1 || r.Verifier != s.owner.DID || r.ExpiresAt.Sub(r.IssuedAt) != gate.DefaultLifetime {
		t.Errorf("request %+v", r.Request)
	}
	if again := s.ask(s.room); again.Nonce == r.Nonce || again.State == r.State {
		t.Error("nonce or state used twice")
	}
}

func TestRequestRefusals(t *testing.T) {
	s := newScene(t)
	other := must[*world.Actor](t)(s.Actor(keys.P256))
	foreign := must[hufu.ContractID](t)(s.Publish(other, "door", 1, world.ReadingRoom))
	ask := func(id hufu.ContractID) error {
		_, err := s.gate.Request(t.Context(), id)
		return err
	}
	wantRule(t, ask(foreign), gate.RuleNotOwner)
	wantRule(t, ask(hufu.ContractID{Owner: s.owner.DID, Name: "none"}), gate.RuleNotPublished)
	check(t, s.Do(s.owner, &tx.ContractRetire{Name: "reading-room"}))
	wantRule(t, ask(s.room), gate.RuleRetired)
}

func TestContractChangesUnderARequest(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	r := s.ask(s.room)
	must[hufu.ContractID](t)(s.Publish(s.owner, "reading-room", 2, world.ReadingRoom))
	o := s.respond(alice.Presents(r), r.State)
	wantRefused(t, o, gate.RuleSuperseded)
	if o.Receipt.Version != 1 || o.Receipt.Contract != s.room {
		t.Errorf("receipt %+v", o.Receipt)
	}
	o = alice.Enters(s.room)
	wantAllowed(t, o)
	if o.Receipt.Version != 2 {
		t.Errorf("decided by version %d", o.Receipt.Version)
	}
	r = s.ask(s.room)
	check(t, s.Do(s.owner, &tx.ContractRetire{Name: "reading-room"}))
	wantRefused(t, s.respond(alice.Presents(r), r.State), gate.RuleRetired)
}

// Every outcome has a receipt that the gate's key on the ledger signed and that commits to what was shown.
func TestReceipts(t *testing.T) {
	s := newScene(t)
	alice, child := s.resident("north", true), s.resident("north", false)
	v := must[*world.View](t)(s.View())
	for name, o := range map[string]*gate.Outcome{
		"allowed":         alice.Enters(s.clinic),
		"denied":          child.Enters(s.clinic),
		"refused":         alice.Enters(s.room, func(p *presentation) { p.audience = "somebody" }),
		"unknown request": s.respond(alice.Presents(s.ask(s.room)), "made-up"),
	} {
		t.Run(name, func(t *testing.T) {
			signed := must[*receipt.Signed](t)(receipt.Parse(o.Token))
			check(t, gate.VerifyReceipt(v, signed))
			if signed.Decision != o.Decision || signed.Rule != o.Receipt.Rule || signed.Commitment != o.Receipt.Commitment {
				t.Errorf("signed %+v, returned %+v", signed.Receipt, o.Receipt)
			}
		})
	}
	r := s.ask(s.clinic)
	token := alice.Presents(r)
	signed := must[*receipt.Signed](t)(receipt.Parse(s.respond(token, r.State).Token))
	check(t, signed.Answers(r.Nonce, token["person"]))
	wantRule(t, signed.Answers(r.Nonce, []string{token["person"][0] + "x"}), receipt.RuleCommitment)
}

func TestVerifyReceiptRefusals(t *testing.T) {
	s := newScene(t)
	o := s.resident("north", true).Enters(s.room)
	v := must[*world.View](t)(s.View())
	resign := func(change func(*receipt.Receipt), key keys.Signer, kid string) *receipt.Signed {
		r := o.Receipt
		change(&r)
		return must[*receipt.Signed](t)(receipt.Parse(must[string](t)(receipt.Make(s.Rand, key, kid, &r))))
	}
	same := func(*receipt.Receipt) {}
	check(t, gate.VerifyReceipt(v, resign(same, s.owner.Signer, s.owner.KeyID())))
	wantRule(t, gate.VerifyReceipt(v, resign(same, s.key(4), s.owner.KeyID())), receipt.RuleSignature)
	wantRule(t, gate.VerifyReceipt(v, resign(same, s.owner.Signer, s.owner.DID.URL("key-9"))), did.RuleUnknownKey)
	nobody := hufu.ID{7}.DID(world.Network)
	wantRule(t, gate.VerifyReceipt(v, resign(func(r *receipt.Receipt) { r.Gate = nobody }, s.owner.Signer, nobody.URL("key-0"))), receipt.RuleSignature)
	abroad := s.owner.ID.DID("elsewhere")
	wantRule(t, gate.VerifyReceipt(v, resign(func(r *receipt.Receipt) { r.Gate = abroad }, s.owner.Signer, abroad.URL("key-0"))), receipt.RuleSignature)
	early := func(r *receipt.Receipt) { r.Time = r.Time.Add(-time.Hour) }
	wantRule(t, gate.VerifyReceipt(v, resign(early, s.owner.Signer, s.owner.KeyID())), did.RuleKeyNotValidThen)
}

func TestReplay(t *testing.T) {
	s := newScene(t)
	s.late = 3 * time.Second
	guarded := s.resident("south", false)
	guarded.withGuardian(guarded.key.Public())
	for name, c := range map[string]struct {
		who    *person
		change func(*presentation)
	}{
		"allowed": {who: guarded},
		"denied":  {who: s.resident("north", false)},
		"refused": {who: guarded, change: func(p *presentation) { p.audience = "somebody" }},
		"expired": {who: s.resident("north", true, func(p *sdjwt.IssueParams) {
			p.ExpiresAt = p.IssuedAt.Add(time.Second)
			p.IssuedAt = p.IssuedAt.Add(-time.Hour)
		}), change: func(*presentation) { s.late = time.Minute }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change == nil {
				c.change = func(*presentation) {}
			}
			r := s.ask(s.clinic)
			token := c.who.Presents(r, c.change)
			o := s.respond(token, r.State)
			v := must[*world.View](t)(s.View())
			again := must[*gate.Replayed](t)(gate.Replay(v, o.Token, token))
			if !again.Same || again.Again.Decision != o.Decision {
				t.Errorf("decided %s by %q, again %s by %q", o.Decision, o.Receipt.Rule, again.Again.Decision, again.Again.Rule)
			}
		})
	}
}

func TestReplayRefusals(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	r := s.ask(s.room)
	token := alice.Presents(r)
	o := s.respond(token, r.State)
	v := must[*world.View](t)(s.View())
	fail := func(v client.View, receiptToken string, answer oid4vp.VPToken) error {
		_, err := gate.Replay(v, receiptToken, answer)
		return err
	}
	wantRule(t, fail(v, "junk", token), receipt.RuleMalformed)
	wantRule(t, fail(v, o.Token, alice.Presents(r)), receipt.RuleCommitment)
	wantRule(t, fail(v, s.respond(token, r.State).Token, token), gate.RuleNotReplayable)
	forged := must[string](t)(receipt.Make(s.Rand, s.key(5), s.owner.KeyID(), &o.Receipt))
	wantRule(t, fail(v, forged, token), receipt.RuleSignature)
	check(t, s.Pass(time.Minute))
	wantRule(t, fail(must[*world.View](t)(s.View()), o.Token, token), gate.RuleReplayState)

	// A gate that lies in its receipt is found out.
	lie := o.Receipt
	lie.Decision, lie.Rule, lie.Policies, lie.Until = hufu.Deny, contract.RuleNoPermit, nil, time.Time{}
	again := must[*gate.Replayed](t)(gate.Replay(v, must[string](t)(receipt.Make(s.Rand, s.owner.Signer, s.owner.KeyID(), &lie)), token))
	if again.Same || again.Again.Decision != hufu.Allow {
		t.Errorf("a lie replayed as %+v", again)
	}
	other := o.Receipt
	other.Hash[0] ^= 1
	wantRule(t, fail(v, must[string](t)(receipt.Make(s.Rand, s.owner.Signer, s.owner.KeyID(), &other)), token), gate.RuleReplayState)
}

// The gate keeps no claim: not in receipts and not in its database.
func TestGateKeepsNoClaims(t *testing.T) {
	s := newScene(t)
	dir := t.TempDir()
	store := must[gate.Store](t)(gate.OpenStore(t.Context(), filepath.Join(dir, "gate.db")))
	s.gate = s.newGate(store)
	secret := "Region-That-Nobody-Else-Has"
	person := s.resident(secret, true)
	o := person.Enters(s.clinic)
	wantRefused(t, o, contract.RuleNoPermit)
	token := o.Token
	check(t, store.Close())
	files := must[[]string](t)(filepath.Glob(filepath.Join(dir, "*")))
	for _, f := range files {
		token += string(must[[]byte](t)(readFile(f)))
	}
	parts := strings.Split(token, ".")
	for _, p := range parts {
		if raw, err := decodeLoose(p); err == nil {
			token += string(raw)
		}
	}
	for _, bad := range []string{secret, "1990-01-02", "Somebody", person.copies["person"][:80]} {
		if strings.Contains(token, bad) {
			t.Errorf("the gate keeps %q", bad)
		}
	}
}

func TestOutagesAreNoDecisions(t *testing.T) {
	s := newScene(t)
	r := s.ask(s.room)
	alice := s.resident("north", true)
	token := alice.Presents(r)
	broken := errors.New("unplugged")
	g := must[*gate.Gate](t)(gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Store: s.gate.Store, ResponseURI: "https://gate.example/",
		Ledger: failing{broken}, Now: s.clock,
	}))
	if _, err := g.Request(t.Context(), s.room); !errors.Is(err, broken) {
		t.Errorf("asked: %v", err)
	}
	if _, err := g.Respond(t.Context(), oid4vp.Response{VPToken: token, State: r.State}); !errors.Is(err, broken) {
		t.Errorf("answered: %v", err)
	}
	lying := must[*gate.Gate](t)(gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Store: s.gate.Store, ResponseURI: "https://gate.example/",
		Ledger: gate.Offline(lyingView{must[*world.View](t)(s.View())}), Now: s.clock,
	}))
	r = s.ask(s.room)
	if _, err := lying.Respond(t.Context(), oid4vp.Response{VPToken: alice.Presents(r), State: r.State}); hufu.RuleOf(err) != "client.bad-proof" {
		t.Errorf("a node that lies made a decision: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read(context.Context, func(client.View) error) error { return f.err }

// lyingView is what a read sees when the node's proofs do not hold.
type lyingView struct{ *world.View }

func (lyingView) Get([]byte) ([]byte, error) { return nil, hufu.Refuse("client.bad-proof", "no proof") }

func TestOffline(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	v := must[*world.View](t)(s.View())
	s.gate = must[*gate.Gate](t)(gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Store: s.gate.Store, ResponseURI: "https://gate.example/",
		Ledger: gate.Offline(v), Now: s.clock,
	}))
	s.late = 4 * time.Minute
	o := alice.Enters(s.room)
	wantAllowed(t, o)
	if o.Receipt.AsOf != v.AsOf() || o.Receipt.Staleness != 4*time.Minute {
		t.Errorf("as of %+v, %s old", o.Receipt.AsOf, o.Receipt.Staleness)
	}
}

func TestNewRefusesHalfAGate(t *testing.T) {
	s := newScene(t)
	good := s.gate.Config
	for name, change := range map[string]func(*gate.Config){
		"no DID":          func(c *gate.Config) { c.DID = "x" },
		"no key":          func(c *gate.Config) { c.Signer = nil },
		"no fragment":     func(c *gate.Config) { c.Fragment = "" },
		"no ledger":       func(c *gate.Config) { c.Ledger = nil },
		"no store":        func(c *gate.Config) { c.Store = nil },
		"lives too long":  func(c *gate.Config) { c.Lifetime = 2 * oid4vp.MaxLifetime },
		"lives too short": func(c *gate.Config) { c.Lifetime = time.Millisecond },
	} {
		c := good
		change(&c)
		if _, err := gate.New(c); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

// Many people at many doors while the ledger goes on; run with -race.
func TestConcurrentVisitors(t *testing.T) {
	s := newScene(t)
	type visit struct {
		request *oid4vp.SignedRequest
		token   oid4vp.VPToken
		want    hufu.Decision
	}
	var visits []visit
	for i := range 24 {
		p := s.resident("north", i%3 != 0)
		r := s.ask(s.room)
		visits = append(visits, visit{r, p.Presents(r), i%3 != 0})
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 10 {
			if err := s.Pass(world.BlockTime); err != nil {
				t.Error(err)
			}
		}
	})
	for _, v := range visits {
		for range 2 { // the second is a replay
			wg.Go(func() {
				o, err := s.gate.Respond(context.Background(), oid4vp.Response{VPToken: v.token, State: v.request.State})
				if err != nil {
					t.Error(err)
				} else if o.Decision != v.want && o.Receipt.Rule != gate.RuleReplayed {
					t.Errorf("%s by %q", o.Decision, o.Receipt.Rule)
				}
			})
		}
	}
	wg.Wait()
	allowed := 0
	for _, e := range must[[]gate.Entry](t)(s.gate.Store.Receipts(t.Context(), 0, 100)) {
		if e.Decision == hufu.Allow {
			allowed++
		}
	}
	if allowed != 16 {
		t.Errorf("%d entries, want 16", allowed)
	}
}

func TestHTTP(t *testing.T) {
	s := newScene(t)
	server := httptest.NewServer(s.gate.Handler())
	defer server.Close()
	post := func(path, media, body string) (int, http.Header, string) {
		res := must[*http.Response](t)(http.Post(server.URL+path, media, strings.NewReader(body)))
		defer res.Body.Close()
		return res.StatusCode, res.Header, string(must[[]byte](t)(io.ReadAll(res.Body)))
	}
	const form = "application/x-www-form-urlencoded"
	answer := func(token, state string) (int, map[string]any) {
		code, header, body := post("/gate/response", form, url.Values{"vp_token": {token}, "state": {state}}.Encode())
		if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", header)
		}
		var out map[string]any
		check(t, json.Unmarshal([]byte(body), &out))
		return code, out
	}
	code, header, token := post("/gate/reading-room/request", form, "")
	if code != http.StatusOK || header.Get("Content-Type") != "application/oauth-authz-req+jwt" {
		t.Fatalf("request: %d %v", code, header)
	}
	r := must[*oid4vp.SignedRequest](t)(oid4vp.ParseRequest(token))
	alice := s.resident("north", true)
	vp := must[[]byte](t)(alice.Presents(r).Encode())
	code, out := answer(string(vp), r.State)
	if code != http.StatusOK || out["decision"] != "allow" || out["receipt"] == nil || out["grant"] == nil {
		t.Errorf("answer: %d %v", code, out)
	}
	code, out = answer(string(vp), r.State)
	if code != http.StatusBadRequest || out["error"] != "invalid_request" || out["decision"] != "deny" || out["rule"] != string(gate.RuleReplayed) || out["receipt"] == nil || out["grant"] != nil {
		t.Errorf("replay: %d %v", code, out)
	}
	for name, c := range map[string]struct {
		path, media, body string
		want              int
	}{
		"no such contract": {"/gate/none/request", form, "", 404},
		"other media type": {"/gate/response", "application/json", "{}", 415},
		"no state":         {"/gate/response", form, "vp_token={}", 400},
		"state twice":      {"/gate/response", form, "vp_token={}&state=a&state=b", 400},
		"vp_token no JSON": {"/gate/response", form, "vp_token=x&state=a", 400},
		"unknown state":    {"/gate/response", form, "vp_token={\"a\":[\"x\"]}&state=a", 400},
		"form broken":      {"/gate/response", form, "vp_token=%zz", 400},
		"too large":        {"/gate/response", form, "vp_token=" + strings.Repeat("a", 4<<20), 413},
		"no such path":     {"/gate/else", form, "", 404},
	} {
		if code, _, body := post(c.path, c.media, c.body); code != c.want {
			t.Errorf("%s: %d %s, want %d", name, code, body, c.want)
		}
	}
	check(t, s.Do(s.owner, &tx.ContractRetire{Name: "reading-room"}))
	if code, _, _ := post("/gate/reading-room/request", form, ""); code != http.StatusGone {
		t.Errorf("retired: %d", code)
	}
	if res := must[*http.Response](t)(http.Get(server.URL + "/gate/response")); res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", res.StatusCode)
	}
}

func TestUnreadableAnswerUsesTheRequestUp(t *testing.T) {
	s := newScene(t)
	alice, r := s.resident("north", true), s.ask(s.room)
	o := must[*gate.Outcome](t)(s.gate.RespondForm(t.Context(), `{"person":"no list"}`, r.State))
	wantRefused(t, o, oid4vp.RuleResponse)
	wantRule(t, func() error {
		_, err := gate.Replay(must[*world.View](t)(s.View()), o.Token, nil)
		return err
	}(), gate.RuleNotReplayable)
	wantRefused(t, s.respond(alice.Presents(r), r.State), gate.RuleReplayed)
}

// A claim that the issuer left in the clear cannot be withheld and is not the visitor's over-sharing.
func TestClaimsInTheClear(t *testing.T) {
	s := newScene(t)
	open := s.resident("north", true, func(p *sdjwt.IssueParams) { p.Disclosable = sdjwt.Except(sdjwt.Path{"name"}) })
	wantAllowed(t, open.Enters(s.room))
	wantRefused(t, open.Enters(s.room, func(p *presentation) { p.disclose = append(p.disclose, sdjwt.Path{"region"}) }), gate.RuleExtraClaims)
}
