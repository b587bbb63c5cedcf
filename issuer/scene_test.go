package issuer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
)

const network = hufu.Network("demo")

var (
	zone     = time.FixedZone("CST", 8*3600)
	morning  = time.Date(2026, time.November, 24, 9, 30, 15, 0, zone)
	today    = roster.DateOf(morning)
	errNoNet = errors.New("the ledger is out of reach")
)

// ledger runs the ledger's own status and anchor modules on a state in memory.
type ledger struct {
	mu     sync.Mutex
	state  *state.Overlay
	height hufu.Height
	sent   []*tx.Tx
	fail   func(*tx.Tx) error // before it takes effect
	lose   func(*tx.Tx) error // after it took effect
	down   bool               // nothing can be read
}

func newLedger() *ledger { return &ledger{state: state.NewOverlay(state.Empty{}), height: 1} }

func (l *ledger) SubmitAll(_ context.Context, raws [][]byte, told func(client.Outcome)) []client.Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	return world.InTurn(raws, told, l.submit)
}

func (l *ledger) submit(raw []byte) (client.Receipt, error) {
	t, err := tx.Parse(raw, network)
	if err != nil {
		return client.Receipt{}, err
	}
	if l.fail != nil {
		if err := l.fail(t); err != nil {
			return client.Receipt{}, err
		}
	}
	l.height++
	l.state.Nested()
	if err := applyTx(state.Context{Network: network, Height: l.height, Time: morning.Unix()}, l.state, t, status.Apply); err != nil {
		l.state.Discard()
		return client.Receipt{Height: l.height}, err
	}
	l.state.Commit()
	l.sent = append(l.sent, t)
	if l.lose != nil {
		if err := l.lose(t); err != nil {
			return client.Receipt{}, err
		}
	}
	return client.Receipt{Height: l.height, TxID: t.ID()}, nil
}

func (l *ledger) Read(_ context.Context, f func(client.View) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return errNoNet
	}
	return f(view{l})
}

type view struct{ *ledger }

func (v view) Get(key []byte) ([]byte, error) { return v.state.Get(key) }
func (v view) AsOf() hufu.AsOf                { return hufu.AsOf{Height: v.height, Time: morning} }
func (v view) Network() hufu.Network          { return network }

// scene is an issuer with a ledger and a clock.
type scene struct {
	testing.TB
	*issuer.Service
	ledger *ledger
	cfg    issuer.Config
	now    time.Time
	path   string
}

func start(t testing.TB, adjust ...func(*issuer.Config)) *scene {
	t.Helper()
	s := &scene{TB: t, ledger: newLedger(), now: morning, path: filepath.Join(t.TempDir(), "issuer.db")}
	control, err := keys.Ed25519.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := hufu.ID{1, 2, 3}
	sequence := uint64(0)
	s.cfg = issuer.Config{
		DID: id.DID(network), Signer: signer, Fragment: "assert-1", MasterKey: [32]byte{9}, Store: databasetest.Chosen(t, s.path),
		Ledger: s.ledger, StatusBase: "http://127.0.0.1:8080", Zone: zone, Now: func() time.Time { return s.now }, ListSize: 4096,
		Sign: func(_ context.Context, bodies ...tx.Body) ([][]byte, error) {
			raws := make([][]byte, len(bodies))
			for i, body := range bodies {
				sequence++
				var err error
				raws[i], err = tx.Build(rand.Reader, tx.Payload{Network: network, Author: id, Sequence: sequence, Expires: 1000}, body, tx.SignerRef{ID: id, Signer: control})
				if err != nil {
					return nil, err
				}
			}
			return raws, nil
		},
	}
	for _, f := range adjust {
		f(&s.cfg)
	}
	s.open()
	return s
}

func (s *scene) open() {
	s.Helper()
	var err error
	if s.Service, err = issuer.Open(s.Context(), s.cfg); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.Service.Close() })
}

func (s *scene) restart() {
	s.Helper()
	if err := s.Close(); err != nil {
		s.Fatal(err)
	}
	s.open()
}

// people are a synthetic register in memory.
func people(n int) []roster.Person {
	var out []roster.Person
	for p := range roster.Generate(n, 11, today) {
		out = append(out, p)
	}
	return out
}

func register(t testing.TB, list []roster.Person) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	if err := roster.Write(&b, func(yield func(roster.Person) bool) {
		for _, p := range list {
			if !yield(p) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

func (s *scene) enrol(list []roster.Person) issuer.Report {
	s.Helper()
	r, err := s.Enrol(s.Context(), register(s.TB, list), nil)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// wallet is holder keys for one batch.
func (s *scene) wallet(copies int) []keys.Signer {
	s.Helper()
	out := make([]keys.Signer, copies)
	for i := range out {
		var err error
		if out[i], err = keys.P256.Generate(rand.Reader); err != nil {
			s.Fatal(err)
		}
	}
	return out
}

func (s *scene) proofs(holders []keys.Signer) []string {
	s.Helper()
	nonce, err := s.Nonce()
	if err != nil {
		s.Fatal(err)
	}
	return s.proofsUnder(holders, nonce)
}

func (s *scene) proofsUnder(holders []keys.Signer, nonce string) []string {
	s.Helper()
	out := make([]string, len(holders))
	for i, k := range holders {
		var err error
		if out[i], err = oid4vci.MakeProof(rand.Reader, k, string(s.cfg.DID), nonce, s.now); err != nil {
			s.Fatal(err)
		}
	}
	return out
}

// issue gives a person copies of all it is entitled to.
func (s *scene) issue(p roster.Person, copies int, types ...string) []issuer.Issued {
	s.Helper()
	out, err := s.Issue(s.Context(), s.Ref(p.ResidentNumber), issuer.IssueRequest{Types: types, Proofs: s.proofs(s.wallet(copies))})
	if err != nil {
		s.Fatal(err)
	}
	return out
}

// verify checks a copy as its holder would, with everything disclosed.
func (s *scene) verify(credential string) *sdjwt.Verified {
	s.Helper()
	v, err := sdjwt.Verify(credential, sdjwt.VerifyParams{
		Now: s.now, ResolveKey: func(iss, kid, _ string, _ int64) (keys.PublicKey, error) {
			if iss != string(s.cfg.DID) || kid != s.cfg.DID.URL("assert-1") {
				s.Fatalf("issuer %s, key %s", iss, kid)
			}
			return s.cfg.Signer.Public(), nil
		},
	})
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// status is what the ledger says about a copy.
func (s *scene) status(credential string) hufu.Status {
	s.Helper()
	ref := s.verify(credential).Status
	var got hufu.Status
	err := s.ledger.Read(s.Context(), func(v client.View) (err error) {
		got, err = status.LookupURI(v, s.cfg.DID, ref.URI, ref.Index)
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return got
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("refused by %q (%v), not by %s", hufu.RuleOf(err), err, rule)
	}
}

// minor and adult find somebody of the kind.
func minor(t *testing.T, list []roster.Person) roster.Person {
	t.Helper()
	for _, p := range list {
		if p.Guardian != "" {
			return p
		}
	}
	t.Fatal("no minor")
	return roster.Person{}
}

func adult(t *testing.T, list []roster.Person) roster.Person {
	t.Helper()
	for _, p := range list {
		if p.Guardian == "" && !strings.Contains(p.Name, "·") {
			return p
		}
	}
	t.Fatal("no adult")
	return roster.Person{}
}
