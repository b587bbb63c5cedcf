package wallet_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/wallet"
)

func TestPresentsTheLeast(t *testing.T) {
	s := newScene(t)
	alice := s.wallet(3, true, true)
	r := s.owner.request("room")
	a := must[*wallet.Answer](t)(alice.Present(t.Context(), s, s.owner.asks("room", func(q *oid4vp.Request) { *q = *r })))
	if len(a.Response.VPToken) != 1 || a.Response.State != r.State || a.ResponseURI != r.ResponseURI {
		t.Fatalf("answer %+v", a)
	}
	got := s.reads(a.Response.VPToken["person"][0], oid4vp.ClientID(s.owner.DID), r.Nonce)
	for _, name := range []string{"name", "region", "birth_date"} {
		if got.Claims[name] != nil {
			t.Errorf("discloses %s", name)
		}
	}
	if age, _ := got.Claims["age"].(map[string]any); len(age) != 1 || age["18"] != true {
		t.Errorf("discloses age %v", got.Claims["age"])
	}
}

// An adult does not show a guardianship to a clinic that opens without; a minor does, bound to the same key.
func TestShowsOptionalCredentialsOnlyWhenTheyOpenTheDoor(t *testing.T) {
	s := newScene(t)
	for name, c := range map[string]struct {
		adult, guardian bool
		want            int
	}{"adult": {true, true, 1}, "minor with guardian": {false, true, 2}, "minor without": {false, false, 1}} {
		t.Run(name, func(t *testing.T) {
			r := s.owner.request("clinic")
			w := s.wallet(3, c.adult, c.guardian)
			a := must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("clinic", func(q *oid4vp.Request) { *q = *r })))
			if len(a.Response.VPToken) != c.want {
				t.Fatalf("shows %d credentials, want %d", len(a.Response.VPToken), c.want)
			}
			var holder keys.PublicKey
			for _, list := range a.Response.VPToken {
				got := s.reads(list[0], oid4vp.ClientID(s.owner.DID), r.Nonce)
				if !holder.IsZero() && !holder.Equal(got.HolderKey) {
					t.Error("bound to two keys")
				}
				holder = got.HolderKey
			}
		})
	}
}

func TestRefusesWhatIsNotThePublishedContract(t *testing.T) {
	s := newScene(t)
	other := s.door()
	more := strings.Replace(string(s.owner.request("room").Query), `"claims": [`, `"claims": [{"path": ["name"]}, `, 1)
	for name, c := range map[string]struct {
		change func(*oid4vp.Request)
		want   hufu.Rule
	}{
		"a claim more":             {func(r *oid4vp.Request) { r.Query = json.RawMessage(more) }, wallet.RuleOverAsking},
		"another contract's query": {func(r *oid4vp.Request) { r.Query = s.owner.request("clinic").Query }, wallet.RuleOverAsking},
		"a member the standard does not have": {func(r *oid4vp.Request) {
			r.Query = json.RawMessage(`{"x":1,` + strings.TrimPrefix(strings.TrimSpace(string(r.Query)), "{"))
		}, wallet.RuleOverAsking},
		"another gate's contract":    {func(r *oid4vp.Request) { r.Contract.Owner = other.DID }, wallet.RuleOverAsking},
		"a contract never published": {func(r *oid4vp.Request) { r.Contract.Name = "cellar" }, wallet.RuleOverAsking},
		"a version never published":  {func(r *oid4vp.Request) { r.Version = 2 }, wallet.RuleNotCurrent},
		"expired": {func(r *oid4vp.Request) {
			r.IssuedAt = r.IssuedAt.Add(-time.Second)
			r.ExpiresAt = r.IssuedAt.Add(time.Second)
			check(t, s.Pass(time.Minute))
		}, oid4vp.RuleExpired},
		"dated ahead": {func(r *oid4vp.Request) {
			r.IssuedAt = r.IssuedAt.Add(time.Hour)
			r.ExpiresAt = r.IssuedAt.Add(time.Minute)
		}, oid4vp.RuleExpired},
		"another gate's name":      {func(r *oid4vp.Request) { r.Verifier, r.Contract.Owner = other.DID, other.DID }, oid4vp.RuleSignature},
		"a gate of no ledger":      {func(r *oid4vp.Request) { r.Verifier = hufu.ID{5}.DID(world.Network) }, wallet.RuleUnknownGate},
		"a gate of another ledger": {func(r *oid4vp.Request) { r.Verifier = s.owner.ID.DID("elsewhere") }, wallet.RuleUnknownGate},
	} {
		t.Run(name, func(t *testing.T) {
			alice := s.wallet(1, true, false)
			before := alice.List()
			_, err := alice.Present(t.Context(), s, s.owner.asks("room", c.change))
			wantRule(t, err, c.want)
			if log := alice.Log(); len(log) != 1 || log[0].Refused != c.want || len(log[0].Shown) != 0 {
				t.Errorf("log %+v", log)
			}
			if after := alice.List(); after[0] != before[0] {
				t.Errorf("used up %+v", after)
			}
			must[*wallet.Answer](t)(alice.Present(t.Context(), s, s.owner.asks("room")))
		})
	}
	alice := s.wallet(1, true, false)
	_, err := alice.Present(t.Context(), s, "junk")
	wantRule(t, err, oid4vp.RuleRequest)
	check(t, s.Do(s.owner.Actor, &tx.ContractRetire{Name: "room"}))
	_, err = alice.Present(t.Context(), s, s.owner.asks("room"))
	wantRule(t, err, wallet.RuleNotCurrent)
	if n := len(alice.Log()); n != 2 {
		t.Errorf("%d requests in the log, want 2", n)
	}
}

func TestRefusesAKeyRotatedAway(t *testing.T) {
	s := newScene(t)
	alice := s.wallet(1, true, false)
	old := *s.owner.Actor
	check(t, s.Rotate(s.owner.Actor, false))
	stolen := &door{Actor: &old, s: s}
	_, err := alice.Present(t.Context(), s, stolen.asks("room"))
	wantRule(t, err, did.RuleKeyNotValidThen)
	must[*wallet.Answer](t)(alice.Present(t.Context(), s, s.owner.asks("room")))
}

func TestAnswersARequestOnce(t *testing.T) {
	s := newScene(t)
	alice := s.wallet(3, true, false)
	request := s.owner.asks("room")
	must[*wallet.Answer](t)(alice.Present(t.Context(), s, request))
	_, err := alice.Present(t.Context(), s, request)
	wantRule(t, err, wallet.RuleAskedBefore)
}

func TestCopiesRunOut(t *testing.T) {
	s := newScene(t)
	alice := s.wallet(4, true, false)
	var low []int
	for range 4 {
		a := must[*wallet.Answer](t)(alice.Present(t.Context(), s, s.owner.asks("room")))
		for _, l := range a.Low {
			low = append(low, l.Left)
		}
	}
	if len(low) != 3 || low[0] != 2 || low[2] != 0 {
		t.Errorf("said to be low at %v, want at 2, 1 and 0", low)
	}
	_, err := alice.Present(t.Context(), s, s.owner.asks("room"))
	wantRule(t, err, dcql.RuleUnavailable)
	if l := alice.List(); len(l) != 1 || l[0].Copies != 4 || l[0].Left != 0 || !l[0].Low() || l[0].Type != world.Resident {
		t.Errorf("list %+v", l)
	}
}

func TestExpiredCopiesAreNotShown(t *testing.T) {
	s := newScene(t)
	alice := s.wallet(1, true, false)
	check(t, s.Pass(366*24*time.Hour))
	_, err := alice.Present(t.Context(), s, s.owner.asks("room"))
	wantRule(t, err, dcql.RuleUnavailable)
}

// However requests come, no copy is shown twice and no key to two gates.
func TestUnlinkable(t *testing.T) {
	s := newScene(t)
	gates := []*door{s.owner, s.door(), s.door()}
	rapid.Check(t, func(rt *rapid.T) {
		w := s.wallet(rapid.IntRange(1, 4).Draw(rt, "copies"), rapid.Bool().Draw(rt, "adult"), rapid.Bool().Draw(rt, "guardian"))
		seen := map[string]hufu.DID{}
		shown := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(rt, "visits") {
			d := gates[rapid.IntRange(0, 2).Draw(rt, "gate")]
			r := d.request(rapid.SampledFrom([]string{"room", "clinic"}).Draw(rt, "door"))
			a, err := w.Present(t.Context(), s, d.asks(r.Contract.Name, func(q *oid4vp.Request) { *q = *r }))
			if hufu.RuleOf(err) == dcql.RuleUnavailable {
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			for _, list := range a.Response.VPToken {
				jwt, _, _ := strings.Cut(list[0], "~")
				if shown[jwt] {
					rt.Fatal("a copy is shown twice")
				}
				shown[jwt] = true
				holder := s.reads(list[0], oid4vp.ClientID(d.DID), r.Nonce).HolderKey.Multibase()
				if by, ok := seen[holder]; ok && by != d.DID {
					rt.Fatal("a key is shown to two gates")
				}
				seen[holder] = d.DID
			}
		}
	})
}

// Single credentials come from keys whose pairs are used up first, so that pairs last.
func TestPairsAreSpared(t *testing.T) {
	s := newScene(t)
	child := s.wallet(2, false, true)
	s.fill(child, 2, false, false) // two resident copies without a pair
	other := s.door()
	for range 2 {
		must[*wallet.Answer](t)(child.Present(t.Context(), s, other.asks("room")))
	}
	for range 2 {
		if a := must[*wallet.Answer](t)(child.Present(t.Context(), s, s.owner.asks("clinic"))); len(a.Response.VPToken) != 2 {
			t.Fatal("a pair was torn apart")
		}
	}
}

func TestAcceptRefusals(t *testing.T) {
	s := newScene(t)
	stranger := must[keys.Signer](t)(keys.P256.Generate(s.Rand))
	person := world.Person("Alice", "north", "2000-01-01", true)
	for name, c := range map[string]struct {
		change func(*sdjwt.IssueParams)
		alter  func(string) string
		want   hufu.Rule
	}{
		"bound to another key":    {change: func(p *sdjwt.IssueParams) { p.HolderKey = stranger.Public() }, want: wallet.RuleForeignKey},
		"bound to no key":         {change: func(p *sdjwt.IssueParams) { p.HolderKey = keys.PublicKey{} }, want: wallet.RuleForeignKey},
		"signed by somebody else": {change: func(p *sdjwt.IssueParams) { p.Signer = stranger }, want: sdjwt.RuleSignature},
		"issuer's key never was":  {change: func(p *sdjwt.IssueParams) { p.KeyID = p.Issuer + "#key-7" }, want: did.RuleUnknownKey},
		"key of another issuer":   {change: func(p *sdjwt.IssueParams) { p.KeyID = s.owner.KeyID() }, want: wallet.RuleUnknownIssuer},
		"issuer of no ledger": {change: func(p *sdjwt.IssueParams) {
			d := hufu.ID{3}.DID(world.Network)
			p.Issuer, p.KeyID = string(d), d.URL("key-0")
		}, want: wallet.RuleUnknownIssuer},
		"issuer of another ledger": {change: func(p *sdjwt.IssueParams) {
			d := s.agency.ID.DID("else")
			p.Issuer, p.KeyID = string(d), d.URL("key-0")
		}, want: wallet.RuleUnknownIssuer},
		"expired": {change: func(p *sdjwt.IssueParams) {
			p.IssuedAt = p.IssuedAt.Add(-2 * time.Hour)
			p.ExpiresAt = p.IssuedAt.Add(time.Hour)
		}, want: sdjwt.RuleExpired},
		"with a key binding": {alter: func(c string) string { return bound(t, c) }, want: sdjwt.RuleKeyBindingUnexpected},
		"junk":               {alter: func(string) string { return "junk" }, want: sdjwt.RuleMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			w := s.wallet(1, true, false)
			key := must[[]keys.PublicKey](t)(w.Keygen(2))
			change := c.change
			if change == nil {
				change = func(*sdjwt.IssueParams) {}
			}
			good := must[string](t)(s.Issue(s.agency, world.Resident, person, key[0]))
			bad := must[string](t)(s.Issue(s.agency, world.Resident, person, key[1], change))
			if c.alter != nil {
				bad = c.alter(bad)
			}
			wantRule(t, w.Accept(s.view(), []string{good, bad}), c.want)
			if l := w.List(); l[0].Copies != 1 || len(l) != 1 {
				t.Errorf("half a batch was taken: %+v", l)
			}
			wantRule(t, w.Accept(s.view(), []string{good, good}), wallet.RuleDuplicate)
			check(t, w.Accept(s.view(), []string{good}))
		})
	}
}

// bound appends a key binding to a credential, which makes it a presentation.
func bound(t *testing.T, credential string) string {
	t.Helper()
	key := must[keys.Signer](t)(keys.Ed25519.Load(make([]byte, 32)))
	return credential + must[string](t)(jws.Sign(nil, jws.Header{"typ": "kb+jwt"}, []byte(`{"iat":1}`), key))
}

func TestKeys(t *testing.T) {
	s := newScene(t)
	w := s.wallet(1, true, false)
	for _, k := range []int{0, -1, wallet.MaxKeys + 1} {
		if _, err := w.Keygen(k); err == nil {
			t.Errorf("%d keys made", k)
		}
	}
	stranger := must[keys.Signer](t)(keys.P256.Generate(s.Rand))
	_, err := w.Prove([]keys.PublicKey{stranger.Public()}, "https://agency.example", "fresh")
	wantRule(t, err, wallet.RuleForeignKey)
	for _, suite := range keys.Suites() {
		w := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: wallet.NewMemory(), Suite: suite, Now: s.Now, Rand: s.Rand}))
		if made := s.fill(w, 1, true, false); made[0].Suite() != suite {
			t.Errorf("a key of %s", made[0].Suite())
		}
		must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	}
}

func TestReceipts(t *testing.T) {
	s := newScene(t)
	other := s.door()
	alice := s.wallet(4, true, false)
	r := s.owner.request("room")
	a := must[*wallet.Answer](t)(alice.Present(t.Context(), s, s.owner.asks("room", func(q *oid4vp.Request) { *q = *r })))
	shown := a.Response.VPToken["person"]
	keep := func(token string) error {
		_, err := alice.Keep(s.view(), r.State, token)
		return err
	}
	wantRule(t, keep("junk"), receipt.RuleMalformed)
	wantRule(t, keep(s.owner.decides(a, "another-nonce", shown)), receipt.RuleNonce)
	wantRule(t, keep(s.owner.decides(a, r.Nonce, []string{"something else"})), receipt.RuleCommitment)
	wantRule(t, keep(other.decides(a, r.Nonce, shown)), receipt.RuleSignature)
	forged := *s.owner.Actor
	forged.Signer = other.Signer
	wantRule(t, keep((&door{Actor: &forged, s: s}).decides(a, r.Nonce, shown)), receipt.RuleSignature)
	wantRule(t, keep(s.owner.decides(a, r.Nonce, shown, func(x *receipt.Receipt) { x.Version = 9 })), wallet.RuleUnasked)
	if _, err := alice.Keep(s.view(), "another state", s.owner.decides(a, r.Nonce, shown)); hufu.RuleOf(err) != wallet.RuleUnasked {
		t.Errorf("kept for another request: %v", err)
	}
	if alice.Log()[0].Receipt != "" {
		t.Fatal("a bad receipt was kept")
	}
	good := s.owner.decides(a, r.Nonce, shown)
	check(t, keep(good))
	log := alice.Log()[0]
	if log.Receipt != good || log.Gate != s.owner.DID || log.Contract != r.Contract.String() || log.Version != 1 || log.Refused != "" ||
		len(log.Shown) != 1 || log.Shown[0].Presentation != shown[0] || log.Shown[0].Claims[0] != "age.18" || log.Shown[0].Type != world.Resident {
		t.Errorf("log %+v", log)
	}
}

// broken fails to save once it is told to.
type broken struct {
	wallet.Store
	now bool
}

var errDisk = errors.New("disk full")

func (b *broken) Save(c []byte) error {
	if b.now {
		return errDisk
	}
	return b.Store.Save(c)
}

// What could not be saved did not happen: nothing is shown, nothing is held.
func TestNothingHappensUnsaved(t *testing.T) {
	s := newScene(t)
	store := &broken{Store: wallet.NewMemory()}
	w := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: store, Now: s.Now, Rand: s.Rand}))
	s.fill(w, 2, true, false)
	key := must[[]keys.PublicKey](t)(w.Keygen(1))[0]
	before := w.List()
	store.now = true
	if _, err := w.Present(t.Context(), s, s.owner.asks("room")); !errors.Is(err, errDisk) {
		t.Errorf("answered: %v", err)
	}
	if _, err := w.Present(t.Context(), s, "junk"); !errors.Is(err, errDisk) || hufu.RuleOf(err) != oid4vp.RuleRequest {
		t.Errorf("refused unlogged: %v", err)
	}
	if _, err := w.Keygen(1); !errors.Is(err, errDisk) {
		t.Errorf("made keys: %v", err)
	}
	more := must[string](t)(s.Issue(s.agency, world.Resident, world.Person("Alice", "north", "2000-01-01", true), key))
	if err := w.Accept(s.view(), []string{more}); !errors.Is(err, errDisk) {
		t.Errorf("accepted: %v", err)
	}
	if after := w.List(); len(w.Log()) != 0 || len(after) != 1 || after[0] != before[0] {
		t.Errorf("changed: %v %v", w.Log(), after)
	}
}

func TestFile(t *testing.T) {
	s := newScene(t)
	path := filepath.Join(t.TempDir(), "wallet")
	key := [32]byte{1, 2, 3}
	open := func() *wallet.Wallet {
		return must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: must[wallet.Store](t)(wallet.OpenFile(path, key)), Now: s.Now, Rand: s.Rand}))
	}
	w := open()
	s.fill(w, 2, true, false)
	r := s.owner.asks("room")
	must[*wallet.Answer](t)(w.Present(t.Context(), s, r))
	if _, err := wallet.OpenFile(path, key); !errors.Is(err, wallet.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	check(t, w.Close())
	raw := must[[]byte](t)(os.ReadFile(path))
	for _, plain := range []string{"Alice", "resident", "eyJ", "~"} {
		if plain != "~" && strings.Contains(string(raw), plain) {
			t.Errorf("%q is in the file in plain text", plain)
		}
	}
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	w = open()
	if l := w.List(); len(l) != 1 || l[0].Copies != 2 || l[0].Left != 1 || len(w.Log()) != 1 {
		t.Errorf("came back with %+v and %d visits", l, len(w.Log()))
	}
	_, err := w.Present(t.Context(), s, r)
	wantRule(t, err, wallet.RuleAskedBefore)
	must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	check(t, w.Close())
	if left := must[[]string](t)(filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFileRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wallet")
	key := [32]byte{1}
	load := func(k [32]byte) error {
		f := must[wallet.Store](t)(wallet.OpenFile(path, k))
		defer f.Close()
		_, err := f.Load()
		return err
	}
	check(t, load(key)) // nothing there yet
	f := must[wallet.Store](t)(wallet.OpenFile(path, key))
	check(t, f.Save([]byte("contents")))
	check(t, f.Close())
	check(t, load(key))
	if err := load([32]byte{2}); !errors.Is(err, wallet.ErrSealed) {
		t.Errorf("opened with another key: %v", err)
	}
	raw := must[[]byte](t)(os.ReadFile(path))
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		check(t, os.WriteFile(path, bad, 0o600))
		if err := load(key); !errors.Is(err, wallet.ErrSealed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		check(t, os.WriteFile(path, raw[:i], 0o600))
		if err := load(key); !errors.Is(err, wallet.ErrSealed) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	check(t, os.WriteFile(path, raw, 0o600))
	check(t, os.Chmod(path, 0o640))
	if err := load(key); !errors.Is(err, wallet.ErrPermissions) {
		t.Errorf("readable by others: %v", err)
	}
	if _, err := wallet.OpenFile(filepath.Join(filepath.Dir(path), "absent", "wallet"), key); err == nil {
		t.Error("opened in a directory that is not there")
	}
}

func TestOpenRefusesDamagedContents(t *testing.T) {
	if _, err := wallet.Open(wallet.Config{}); err == nil {
		t.Error("opened without a store")
	}
	for _, raw := range []string{"junk", "\xa1\x01\x02"} {
		m := wallet.NewMemory()
		check(t, m.Save([]byte(raw)))
		if _, err := wallet.Open(wallet.Config{Store: m}); err == nil {
			t.Errorf("opened %q", raw)
		}
	}
}
