package world_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
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

// outside is a wallet's ledger without any node, and the gate's, which counts what is stapled.
type outside struct {
	*client.Client
	world *world.World

	mu     sync.Mutex
	made   int
	broken bool
}

type nowhere struct{ client.Transport }

func (o *outside) Read(context.Context, func(client.View) error) error {
	return client.ErrUnreachable
}

func (o *outside) Staple(ctx context.Context, read func(client.View) error) (*client.Staple, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.made++
	if o.broken {
		return nil, errors.New("unplugged")
	}
	return o.world.Staple(ctx, read)
}

// What a gate staples is what a wallet looks up, whatever is asked and however; and it is made once for a state.
func TestGatesStapleWhatWalletsRead(t *testing.T) {
	w := must[*world.World](t)(world.New())
	if err := w.PublishTypes(); err != nil {
		t.Fatal(err)
	}
	agency := must[*world.Agency](t)(w.Agency(keys.P256))
	owner := must[*world.Actor](t)(w.Actor(keys.P256))
	for name, body := range map[string]string{"room": world.ReadingRoom, "clinic": world.Clinic} {
		must[hufu.ContractID](t)(w.Publish(owner, name, 1, body))
	}
	o := &outside{Client: must[*client.Client](t)(client.New(w.Trust(), nowhere{}, client.Options{Now: w.Now})), world: w}
	defer o.Close() //nolint:errcheck // always nil
	store := must[gate.Store](t)(gate.OpenStore(t.Context(), database.Memory))
	defer store.Close() //nolint:errcheck // in memory
	clock := w.Now()
	server := httptest.NewUnstartedServer(nil)
	server.Start()
	defer server.Close()
	g := must[*gate.Gate](t)(gate.New(gate.Config{
		DID: owner.DID, Fragment: owner.Fragment(), Signer: owner.Signer, Ledger: world.Live{World: w}, Stapler: o, Store: store,
		ResponseURI: server.URL + "/gate/response", Now: func() time.Time { return clock },
		Certificate: must[*gate.Certificate](t)(gate.Certify(w.Rand, owner.DID, owner.Signer, "Door", []string{"localhost"}, w.Now())),
	}))
	server.Config.Handler = g.Handler()
	holder := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: wallet.NewMemory(), Now: w.Now, Rand: w.Rand}))
	fill(t, w, agency, holder, 12)

	visit := func(in gate.SessionInput) error {
		out := must[*gate.SessionOutput](t)(g.OpenSession(t.Context(), in))
		q, err := holder.Consider(t.Context(), o, out.URI)
		if err != nil {
			return err
		}
		came := must[*wallet.Outcome](t)(holder.Agree(t.Context(), o, q))
		if came.ReceiptError != nil || came.Receipt == nil || came.Receipt.Decision != hufu.Allow {
			t.Errorf("%+v: receipt %+v, %v", in, came.Receipt, came.ReceiptError)
		}
		return nil
	}
	for range 2 {
		for _, contract := range []string{"room", "clinic"} {
			for _, prefix := range []string{oid4vp.PrefixDID, oid4vp.PrefixHash} {
				if err := visit(gate.SessionInput{Contract: contract, ClientIDPrefix: prefix}); err != nil {
					t.Errorf("%s, %s: %v", contract, prefix, err)
				}
			}
		}
	}
	if o.made != 2 {
		t.Errorf("%d staples for two contracts in one state", o.made)
	}
	if err := w.Pass(time.Minute); err != nil {
		t.Fatal(err)
	}
	clock = w.Now()
	if err := visit(gate.SessionInput{Contract: "room"}); err != nil || o.made != 3 {
		t.Errorf("after a block: %v, %d staples", err, o.made)
	}

	// When none can be made, the last one serves, and it is not tried for each request.
	o.broken = true
	if err := w.Pass(time.Second); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := visit(gate.SessionInput{Contract: "room"}); err != nil || o.made != 4 {
			t.Errorf("in an outage: %v, %d staples", err, o.made)
		}
	}
	clock = clock.Add(time.Second)
	o.broken = false
	if err := visit(gate.SessionInput{Contract: "room"}); err != nil || o.made != 5 {
		t.Errorf("after the outage: %v, %d staples", err, o.made)
	}

	bare := g.Config
	bare.Stapler = nil
	g = must[*gate.Gate](t)(gate.New(bare))
	server.Config.Handler = g.Handler()
	if err := visit(gate.SessionInput{Contract: "room"}); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("without staples: %v", err)
	}
}

// fill issues copies of both credentials of an adult.
func fill(t *testing.T, w *world.World, agency *world.Agency, holder *wallet.Wallet, copies int) {
	t.Helper()
	made := must[[]keys.PublicKey](t)(holder.Keygen(copies))
	view := must[*world.View](t)(w.View())
	for _, proof := range must[[]string](t)(holder.Prove(made, "agency", "fresh")) {
		key, _, err := oid4vci.VerifyProof(proof, oid4vci.ProofParams{Audience: "agency", Nonce: func(string) bool { return true }, Now: w.Now()})
		if err != nil {
			t.Fatal(err)
		}
		batch := []string{
			must[string](t)(w.Issue(agency, world.Resident, world.Person("Alice", "north", "2000-01-01", true), key)),
			must[string](t)(w.Issue(agency, world.Guardianship, map[string]any{"relation": "parent", "guardian_name": "Bob"}, key)),
		}
		if err := holder.Accept(view, batch); err != nil {
			t.Fatal(err)
		}
	}
}
