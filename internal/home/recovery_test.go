package home_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// live is a new identity of h on the ledger, which the world's member pays for.
func live(t *testing.T, w *world.World, h *home.Home, name string) *home.Actor {
	t.Helper()
	if _, _, err := h.NewIdentity(rand.Reader, name, keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	a, err := h.Actor(name, world.Live{World: w})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Create(t.Context(), nil, &w.Member.ID); err != nil {
		t.Fatal(err)
	}
	return a
}

// An owner loses a home with all its keys, and gets the identifier back into another.
func TestRecoverIntoAnotherHome(t *testing.T) {
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	lost, _ := create(t)
	friends, _ := create(t)
	alice, bob, carol := live(t, w, lost, "alice"), live(t, w, friends, "bob"), live(t, w, friends, "carol")
	again, dir := create(t)
	planned := func(name string, d hufu.DID) (home.RecoveryPlan, error) {
		return again.PlanRecovery(ctx, world.Live{World: w}, name, d, keys.P256, true)
	}
	_, err = planned("alice", alice.DID())
	wantRule(t, err, did.RuleNoGuardians)

	g := home.Guardians{DIDs: []hufu.DID{bob.DID(), carol.DID()}, Threshold: 2, DelayBlocks: tx.MinRecoveryBlocks, DelaySeconds: tx.DefaultRecoverySeconds}
	guard, openings, err := alice.NewGuard(rand.Reader, g)
	if err != nil {
		t.Fatal(err)
	}
	if err := alice.CheckGuardians(ctx, g.DIDs); err != nil {
		t.Error(err)
	}
	if err := alice.CheckGuardians(ctx, []hufu.DID{hufu.ID{1}.DID(network)}); !errors.Is(err, home.ErrUnknownGuardian) {
		t.Errorf("a guardian that does not exist: %v", err)
	}
	if _, err := alice.Guard(ctx, guard); err != nil {
		t.Fatal(err)
	}

	plan, err := planned("alice", alice.DID())
	if err != nil {
		t.Fatal(err)
	}
	if same, err := planned("alice", alice.DID()); err != nil || same.Digest != plan.Digest {
		t.Errorf("the plan changed: %+v, %v", same, err)
	}
	live(t, w, again, "taken")
	if _, err := planned("taken", alice.DID()); err == nil || !strings.Contains(err.Error(), "take another") {
		t.Errorf("a name for two identifiers: %v", err)
	}
	_, err = planned("x", hufu.ID{1}.DID(network))
	wantRule(t, err, did.RuleUnknown)
	if _, err := lost.PlanRecovery(ctx, world.Live{World: w}, "alice", alice.DID(), keys.P256, true); !errors.Is(err, home.ErrNotLost) {
		t.Errorf("planned what is not lost: %v", err)
	}

	// Everything that a guardian could be shown wrongly.
	other, forged := plan, plan
	other.Identifier = bob.DID()
	forged.Plan.Fall = false
	for name, c := range map[string]struct {
		plan    home.RecoveryPlan
		opening home.Opening
	}{
		"another identifier": {other, openings[0]},
		"another guardian's": {plan, openings[1]},
		"another plan":       {forged, openings[0]},
		"no identifier":      {home.RecoveryPlan{}, openings[0]},
	} {
		if _, err := bob.ApproveRecovery(ctx, c.plan, c.opening, nil); err == nil {
			t.Errorf("approved with %s", name)
		}
	}
	for i, a := range []*home.Actor{bob, carol} {
		if _, err := a.ApproveRecovery(ctx, plan, openings[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	back, err := open(t, dir).Actor("alice", world.Live{World: w}) // a process later
	if err != nil {
		t.Fatal(err)
	}
	_, err = back.FinishRecovery(ctx, nil)
	wantRule(t, err, did.RuleRecoveryEarly)
	for range tx.MinRecoveryBlocks {
		if err := w.Pass(tx.DefaultRecoverySeconds / tx.MinRecoveryBlocks * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := alice.FinishRecovery(ctx, nil); err == nil || !strings.Contains(err.Error(), "not those of the pending recovery") {
		t.Errorf("finished with other keys: %v", err)
	}
	if _, err := back.FinishRecovery(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if back.DID() != alice.DID() {
		t.Error("another identifier")
	}
	if _, err := back.Rotate(ctx, false); err != nil {
		t.Errorf("rotating the recovered: %v", err)
	}
	if _, err := alice.Submit(ctx, &tx.DIDDeactivate{}, nil); err == nil {
		t.Error("the lost keys still speak")
	}
	if err := back.Create(ctx, nil, &w.Member.ID); err != nil {
		t.Errorf("it is on the ledger: %v", err)
	}
}

func TestNewGuardRefuses(t *testing.T) {
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	h, _ := create(t)
	a, b := live(t, w, h, "a"), live(t, w, h, "b")
	good := func() home.Guardians {
		return home.Guardians{DIDs: []hufu.DID{b.DID()}, Threshold: 1, DelayBlocks: tx.MinRecoveryBlocks, DelaySeconds: tx.DefaultRecoverySeconds}
	}
	for name, change := range map[string]func(*home.Guardians){
		"itself":          func(g *home.Guardians) { g.DIDs[0] = a.DID() },
		"one twice":       func(g *home.Guardians) { g.DIDs = append(g.DIDs, b.DID()) },
		"another network": func(g *home.Guardians) { g.DIDs[0] = b.ID().DID("elsewhere") },
		"no DID":          func(g *home.Guardians) { g.DIDs[0] = "did:web:example.org" },
		"nobody":          func(g *home.Guardians) { g.DIDs = nil },
		"more than all":   func(g *home.Guardians) { g.Threshold = 2 },
		"no delay":        func(g *home.Guardians) { g.DelaySeconds = 0 },
	} {
		g := good()
		change(&g)
		if _, _, err := a.NewGuard(rand.Reader, g); err == nil {
			t.Errorf("guarded by %s", name)
		}
	}
	if _, openings, err := a.NewGuard(rand.Reader, good()); err != nil || len(openings) != 1 || len(openings[0].Salt) != tx.SaltLen {
		t.Errorf("%+v, %v", openings, err)
	}
	if _, _, err := a.NewGuard(strings.NewReader("short"), good()); err == nil {
		t.Error("a salt without randomness")
	}
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}
