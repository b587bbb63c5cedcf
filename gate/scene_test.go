package gate_test

import (
	"context"
	"encoding/base64"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// scene is a world with an agency, a gate with two doors, and a clock of the gate's that can be moved
// apart from the ledger's.
type scene struct {
	*world.World
	t      testing.TB
	agency *world.Agency
	owner  *world.Actor
	gate   *gate.Gate
	late   time.Duration // how far the gate's clock is past the last block
	room   hufu.ContractID
	clinic hufu.ContractID
}

// Read gives the gate the newest state.
func (s *scene) Read(_ context.Context, f func(client.View) error) error {
	v, err := s.View()
	if err != nil {
		return err
	}
	return f(v)
}

func (s *scene) clock() time.Time { return s.Now().Add(s.late) }

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

func newScene(t testing.TB) *scene {
	t.Helper()
	w := must[*world.World](t)(world.New())
	check(t, w.PublishTypes())
	s := &scene{World: w, t: t}
	s.agency = must[*world.Agency](t)(w.Agency(keys.P256))
	s.owner = must[*world.Actor](t)(w.Actor(keys.P256))
	s.room = must[hufu.ContractID](t)(w.Publish(s.owner, "reading-room", 1, world.ReadingRoom))
	s.clinic = must[hufu.ContractID](t)(w.Publish(s.owner, "clinic", 1, world.Clinic))
	store := must[gate.Store](t)(gate.OpenStore(context.Background(), databasetest.Chosen(t, database.Memory)))
	t.Cleanup(func() { store.Close() })
	s.gate = s.newGate(store)
	return s
}

func (s *scene) newGate(store gate.Store) *gate.Gate {
	s.t.Helper()
	return must[*gate.Gate](s.t)(gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Ledger: s, Store: store,
		ResponseURI: "https://gate.example/gate/response", Now: s.clock,
	}))
}

// ask is what the gate asks for at a door.
func (s *scene) ask(door hufu.ContractID) *oid4vp.SignedRequest {
	s.t.Helper()
	token := must[string](s.t)(s.gate.Request(context.Background(), door))
	return must[*oid4vp.SignedRequest](s.t)(oid4vp.ParseRequest(token))
}

func (s *scene) respond(token oid4vp.VPToken, state string) *gate.Outcome {
	s.t.Helper()
	return must[*gate.Outcome](s.t)(s.gate.Respond(context.Background(), oid4vp.Response{VPToken: token, State: state}))
}

// person holds one copy of each credential that was issued to them, bound to one key.
type person struct {
	*scene
	key    keys.Signer
	copies map[string]string // by the id under which doors ask for it
	index  map[string]uint64 // status indexes
}

func (s *scene) key(seed int) keys.Signer {
	s.t.Helper()
	return must[keys.Signer](s.t)(keys.P256.Generate(s.Rand))
}

// resident is somebody to whom the agency issued a resident credential.
func (s *scene) resident(region string, adult bool, change ...func(*sdjwt.IssueParams)) *person {
	s.t.Helper()
	p := &person{scene: s, key: s.key(0), copies: map[string]string{}, index: map[string]uint64{}}
	birth := "1990-01-02"
	if !adult {
		birth = "2020-01-02"
	}
	p.get("person", world.Resident, world.Person("Somebody", region, birth, adult), p.key.Public(), change...)
	return p
}

func (p *person) get(id, vct string, claims map[string]any, key keys.PublicKey, change ...func(*sdjwt.IssueParams)) {
	p.t.Helper()
	p.copies[id] = must[string](p.t)(p.Issue(p.agency, vct, claims, key, change...))
	p.index[id] = p.agency.LastIndex()
}

// withGuardian gives p a guardianship credential bound to key.
func (p *person) withGuardian(key keys.PublicKey) *person {
	p.t.Helper()
	p.get("guardian", world.Guardianship, map[string]any{"relation": "parent", "guardian_name": "Somebody Else"}, key)
	return p
}

// presentation is how somebody answers; attacks change it.
type presentation struct {
	credential, audience, nonce string
	disclose                    []dcql.Path
	at                          time.Time
	signer                      keys.Signer
	consent                     []oid4vp.Transaction
}

// Presents answers a request honestly but for what change does to each credential's presentation.
func (p *person) Presents(r *oid4vp.SignedRequest, change ...func(*presentation)) oid4vp.VPToken {
	p.t.Helper()
	query := must[*dcql.Query](p.t)(dcql.Parse(r.Query))
	token := oid4vp.VPToken{}
	for _, c := range query.Credentials {
		if p.copies[c.ID] == "" {
			continue
		}
		how := presentation{credential: p.copies[c.ID], audience: oid4vp.ClientID(r.Verifier), nonce: r.Nonce, at: p.clock(), signer: p.key}
		for _, claim := range c.Claims {
			how.disclose = append(how.disclose, claim.Path)
		}
		for _, f := range change {
			f(&how)
		}
		cred := must[*sdjwt.Credential](p.t)(sdjwt.Parse(how.credential))
		kb := sdjwt.KeyBinding{Audience: how.audience, Nonce: how.nonce, IssuedAt: how.at, Signer: how.signer}
		for _, t := range how.consent {
			kb.TransactionHashes, kb.TransactionHashAlg = append(kb.TransactionHashes, t.Hash()), t.HashAlg()
		}
		token[c.ID] = []string{must[string](p.t)(cred.Present(p.Rand, how.disclose, kb))}
	}
	return token
}

// Enters asks a door and answers it.
func (p *person) Enters(door hufu.ContractID, change ...func(*presentation)) *gate.Outcome {
	p.t.Helper()
	r := p.ask(door)
	return p.respond(p.Presents(r, change...), r.State)
}

func wantAllowed(t testing.TB, o *gate.Outcome) {
	t.Helper()
	if o.Decision != hufu.Allow || o.Receipt.Rule != "" {
		t.Fatalf("%s by %q: %s", o.Decision, o.Receipt.Rule, o.Receipt.Reason)
	}
}

func wantRefused(t testing.TB, o *gate.Outcome, rule hufu.Rule) {
	t.Helper()
	if o.Decision != hufu.Deny || o.Receipt.Rule != rule || o.Grant != nil {
		t.Fatalf("%s by %q (%s), want deny by %q", o.Decision, o.Receipt.Rule, o.Receipt.Reason, rule)
	}
}

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

// tamper changes each presentation's text after it was made.
func tamper(token oid4vp.VPToken, change func(string) string) oid4vp.VPToken {
	out := oid4vp.VPToken{}
	for id, list := range token {
		out[id] = []string{change(list[0])}
	}
	return out
}

func withoutBinding(p string) string { return p[:strings.LastIndexByte(p, '~')+1] }

func readFile(path string) ([]byte, error) { return os.ReadFile(path) }

// decodeLoose reads base64url inside other bytes.
func decodeLoose(s string) ([]byte, error) {
	end := 0
	for end < len(s) && strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", s[end]) >= 0 {
		end++
	}
	return base64.RawURLEncoding.DecodeString(s[:end])
}
