package wallet_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/wallet"
)

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule || err == nil {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

// scene is a world with an agency and a gate that has published two contracts.
type scene struct {
	*world.World
	t      testing.TB
	agency *world.Agency
	owner  *door
}

// door is a gate, honest unless a test makes it otherwise.
type door struct {
	*world.Actor
	s     *scene
	asked int
}

func newScene(t testing.TB) *scene {
	t.Helper()
	w := must[*world.World](t)(world.New())
	s := &scene{World: w, t: t}
	check(t, w.PublishTypes())
	s.agency = must[*world.Agency](t)(w.Agency(keys.P256))
	s.owner = s.door()
	return s
}

// door makes a gate with the contracts "room" and "clinic".
func (s *scene) door() *door { return s.doorOf(keys.P256) }

func (s *scene) doorOf(suite *keys.Suite) *door {
	s.t.Helper()
	d := &door{Actor: must[*world.Actor](s.t)(s.Actor(suite)), s: s}
	must[hufu.ContractID](s.t)(s.Publish(d.Actor, "room", 1, world.ReadingRoom))
	must[hufu.ContractID](s.t)(s.Publish(d.Actor, "clinic", 1, world.Clinic))
	return d
}

func (s *scene) view() *world.View {
	s.t.Helper()
	return must[*world.View](s.t)(s.View())
}

// request is what an honest gate asks at a door, before it is signed.
func (d *door) request(name string) *oid4vp.Request {
	d.s.t.Helper()
	body := map[string]string{"room": world.ReadingRoom, "clinic": world.Clinic}[name]
	c := must[*contract.Contract](d.s.t)(contract.Parse([]byte(world.ContractTextOf(d.Actor, name, 1, body))))
	d.asked++
	unique := string(rune('a'+d.asked%26)) + string(rune('a'+d.asked/26))
	return &oid4vp.Request{
		Verifier: d.DID, ResponseURI: "https://gate.example/response", Nonce: "nonce-nonce-nonce-" + unique, State: "state-" + unique,
		Query: json.RawMessage(c.QueryJSON), Contract: hufu.ContractID{Owner: d.DID, Name: name}, Version: 1,
		IssuedAt: d.s.Now(), ExpiresAt: d.s.Now().Add(time.Minute),
	}
}

// asks signs the request of a door after change, if any, altered it.
func (d *door) asks(name string, change ...func(*oid4vp.Request)) string {
	d.s.t.Helper()
	r := d.request(name)
	for _, f := range change {
		f(r)
	}
	return must[string](d.s.t)(r.Sign(d.s.Rand, d.Signer, r.Verifier.URL(d.Fragment())))
}

// decides makes a receipt for an answer.
func (d *door) decides(a *wallet.Answer, nonce string, shown []string, change ...func(*receipt.Receipt)) string {
	d.s.t.Helper()
	r := &receipt.Receipt{
		Gate: d.DID, Contract: a.Contract, Version: a.Version, Hash: hufu.Digest{1}, AsOf: d.s.view().AsOf(), Decision: hufu.Allow,
		Time: d.s.Now(), Nonce: nonce, Commitment: receipt.Commit(nonce, shown),
	}
	for _, f := range change {
		f(r)
	}
	return must[string](d.s.t)(receipt.Make(d.s.Rand, d.Signer, d.KeyID(), r))
}

// wallet is a new one with k copies of a resident credential and, with a guardian, k of a guardianship.
func (s *scene) wallet(k int, adult, guardian bool) *wallet.Wallet {
	s.t.Helper()
	w := must[*wallet.Wallet](s.t)(wallet.Open(wallet.Config{Store: wallet.NewMemory(), Now: s.Now, Rand: s.Rand}))
	s.fill(w, k, adult, guardian)
	return w
}

// fill issues to a wallet as an agency does: against proofs of its keys.
func (s *scene) fill(w *wallet.Wallet, k int, adult, guardian bool) []keys.PublicKey {
	s.t.Helper()
	made := must[[]keys.PublicKey](s.t)(w.Keygen(k))
	for _, proof := range must[[]string](s.t)(w.Prove(made, "https://agency.example", "fresh")) {
		key, _, err := oid4vci.VerifyProof(proof, oid4vci.ProofParams{
			Audience: "https://agency.example", Nonce: func(n string) bool { return n == "fresh" }, Now: s.Now(),
		})
		check(s.t, err)
		batch := []string{must[string](s.t)(s.Issue(s.agency, world.Resident, world.Person("Alice", "north", "2000-01-01", adult), key))}
		if guardian {
			batch = append(batch, must[string](s.t)(s.Issue(s.agency, world.Guardianship, map[string]any{"relation": "parent", "guardian_name": "Bob"}, key)))
		}
		check(s.t, w.Accept(s.view(), batch))
	}
	return made
}

// reads is what a gate learns from a presentation.
func (s *scene) reads(presentation, audience, nonce string) *sdjwt.Verified {
	s.t.Helper()
	return must[*sdjwt.Verified](s.t)(sdjwt.Verify(presentation, sdjwt.VerifyParams{
		Now: s.Now(), RequireKeyBinding: true, Audience: audience, Nonce: nonce,
		ResolveKey: func(string, string, string, int64) (keys.PublicKey, error) { return s.agency.Signer.Public(), nil },
	}))
}
