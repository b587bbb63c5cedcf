package home_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/tx"
)

const network hufu.Network = "test"

// unlock is a passphrase that costs nothing to try: these keys guard nothing.
func unlock(passphrase string) keystore.Unlock { return keystore.PassphraseWorkFactor(passphrase, 1) }

func create(t *testing.T) (*home.Home, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "home")
	h, err := home.Create(dir, unlock("right"), network)
	if err != nil {
		t.Fatal(err)
	}
	return h, dir
}

func open(t *testing.T, dir string) *home.Home {
	t.Helper()
	h, err := home.Open(dir, unlock("right"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// files is a directory as it is: every name, mode and content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var raw []byte
		if !d.IsDir() {
			if raw, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		out[path] = fmt.Sprintf("%s %x", info.Mode(), raw)
		return nil
	}); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}

// unchanged checks at the end of a test that dir is as it was.
func unchanged(t *testing.T, dir string) {
	t.Helper()
	before := files(t, dir)
	t.Cleanup(func() {
		after := files(t, dir)
		for path := range after {
			if before[path] != after[path] {
				t.Errorf("%s was changed or made", path)
			}
		}
		for path := range before {
			if _, ok := after[path]; !ok {
				t.Errorf("%s is gone", path)
			}
		}
	})
}

func TestCreateAndOpen(t *testing.T) {
	h, dir := create(t)
	made, inception, err := h.NewIdentity(rand.Reader, "agency", keys.Ed25519,
		home.MethodSpec{Fragment: home.IssuingMethod, Suite: keys.P256, Purposes: tx.PurposeAssertion})
	if err != nil {
		t.Fatal(err)
	}
	for path, what := range files(t, dir) {
		if strings.HasPrefix(what, "-") && !strings.HasPrefix(what, "-rw-------") {
			t.Errorf("%s is open to others: %.10s", path, what)
		}
	}
	again := open(t, dir)
	if again.Network() != network || !slices.Equal(again.Identities(), []string{"agency"}) {
		t.Errorf("%s, %v", again.Network(), again.Identities())
	}
	for _, nameOrDID := range []string{"agency", string(made)} {
		if got, err := again.Resolve(nameOrDID); err != nil || got != made {
			t.Errorf("%s is %s, %v", nameOrDID, got, err)
		}
	}
	signer, err := again.MethodSigner("agency", home.IssuingMethod)
	if err != nil || !bytes.Equal(signer.Public().Multikey(), inception.Methods[0].Key) {
		t.Errorf("the issuing key: %v", err)
	}
	if got := again.With(home.IssuingMethod); !slices.Equal(got, []string{"agency"}) {
		t.Errorf("with an issuing key: %v", got)
	}
	if got := again.With(home.GateMethod); len(got) != 0 {
		t.Errorf("with a gate's key: %v", got)
	}
	// The same name again is the same identifier, so that a submission can be repeated.
	same, repeated, err := again.NewIdentity(rand.Reader, "agency", keys.P256)
	if err != nil || same != made || tx.InceptionID(network, repeated) != tx.InceptionID(network, inception) {
		t.Errorf("again: %s, %v", same, err)
	}
}

func TestRefused(t *testing.T) {
	_, dir := create(t)
	empty := t.TempDir()
	for name, c := range map[string]struct {
		is  error
		try func() error
	}{
		"a second creation": {home.ErrExists, func() error { _, err := home.Create(dir, unlock("other"), network); return err }},
		"wrong passphrase":  {keystore.ErrWrongPassphrase, func() error { _, err := home.Open(dir, unlock("wrong")); return err }},
		"no home":           {home.ErrNoHome, func() error { _, err := home.Open(empty, unlock("right")); return err }},
		"nothing running":   {home.ErrNotRunning, func() error { _, err := open(t, dir).GetRunning(); return err }},
		"unknown identity":  {home.ErrNoIdentity, func() error { _, err := open(t, dir).Identity("nobody"); return err }},
		"unknown actor":     {home.ErrNoIdentity, func() error { _, err := open(t, dir).Actor("nobody", nil); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			unchanged(t, dir)
			unchanged(t, empty)
			if err := c.try(); !errors.Is(err, c.is) {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, bad := range []hufu.Network{"", "Upper", "a b", hufu.Network(strings.Repeat("n", hufu.MaxNetworkLen+1))} {
		path := filepath.Join(empty, "new")
		if _, err := home.Create(path, unlock("right"), bad); err == nil || home.Exists(path) {
			t.Errorf("a home of network %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "Upper", "a/b", "..\x00", strings.Repeat("n", 65)} {
		if _, _, err := open(t, dir).NewIdentity(rand.Reader, bad, keys.Ed25519); err == nil {
			t.Errorf("an identity called %q", bad)
		}
	}
}

func TestDamaged(t *testing.T) {
	for name, c := range map[string]struct{ file, text string }{
		"settings":                {"settings.json", `{"network":`},
		"settings, no network":    {"settings.json", `{}`},
		"settings, bad network":   {"settings.json", `{"network": "A B"}`},
		"book":                    {"identities.json", `{"a":`},
		"book, an array":          {"identities.json", `[]`},
		"book without inceptions": {"identities.json", `{"a": {"did": "did:hufu:test:z1"}}`},
		"keys":                    {"keys.age", "age-encryption.org/v1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := create(t)
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			unchanged(t, dir)
			if _, err := home.Open(dir, unlock("right")); err == nil {
				t.Error("opened")
			}
		})
	}
}

// A creation that fails, at whatever point, leaves what was there.
func TestCreationThatFails(t *testing.T) {
	failure := errors.New("the last step failed")
	fill := func(h *home.Home) error {
		if _, err := h.Found(rand.Reader, home.DefaultParams(), home.Founder{Identity: "member", Name: "Member", Power: 1}); err != nil {
			return err
		}
		return errors.Join(h.SetGenesis([]byte("{}")), failure)
	}
	for name, dir := range map[string]string{"a new directory": filepath.Join(t.TempDir(), "a", "b"), "one with other files": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			if home.Exists(filepath.Dir(dir)) {
				t.Fatal("unexpected home")
			}
			if name == "one with other files" {
				for _, other := range []string{"genesis.json", "notes"} {
					if err := os.WriteFile(filepath.Join(dir, other), []byte("{}"), 0o640); err != nil {
						t.Fatal(err)
					}
				}
			}
			unchanged(t, dir)
			if _, err := home.CreateWith(dir, unlock("right"), network, fill); !errors.Is(err, failure) {
				t.Fatal(err)
			}
		})
	}
}

// A key store without a home is never touched: it may be all that is left of one.
func TestLeftover(t *testing.T) {
	dir := t.TempDir()
	if _, err := keystore.Create(filepath.Join(dir, "keys.age"), unlock("right")); err != nil {
		t.Fatal(err)
	}
	unchanged(t, dir)
	if _, err := home.Create(dir, unlock("right"), network); !errors.Is(err, home.ErrLeftover) {
		t.Error(err)
	}
}

// However many make a home at once, one does.
func TestCreatedAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	var group sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		group.Go(func() { _, errs[i] = home.Create(dir, unlock("right"), network) })
	}
	group.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, home.ErrExists) && !errors.Is(err, home.ErrLeftover):
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d made it", made)
	}
	open(t, dir)
}

// Several openings of one home, as several processes have them, name identities without losing any.
func TestNamedAtOnce(t *testing.T) {
	_, dir := create(t)
	var group sync.WaitGroup
	for i := range 6 {
		h := open(t, dir)
		group.Go(func() {
			for _, name := range []string{"shared", fmt.Sprintf("own-%d", i)} {
				if _, _, err := h.NewIdentity(rand.Reader, name, keys.Ed25519); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	h := open(t, dir)
	if got := h.Identities(); len(got) != 7 {
		t.Errorf("%v", got)
	}
	if n := len(h.Keys().List()); n != 2*7 {
		t.Errorf("%d keys for 7 identities", n)
	}
}

func TestGenesisIsNotReplaced(t *testing.T) {
	h, dir := create(t)
	if _, err := h.Genesis(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	if err := errors.Join(h.SetGenesis([]byte("one")), h.SetGenesis([]byte("one"))); err != nil {
		t.Fatal(err)
	}
	unchanged(t, dir)
	if err := h.SetGenesis([]byte("two")); err == nil {
		t.Error("replaced")
	}
}

func TestRunning(t *testing.T) {
	h, dir := create(t)
	want := home.Running{PID: 7, Listen: "http://127.0.0.1:1", Node: "http://127.0.0.1:2"}
	if err := h.SetRunning(&want); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, dir).GetRunning(); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if err := h.SetRunning(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir).GetRunning(); !errors.Is(err, home.ErrNotRunning) {
		t.Error(err)
	}
}

func TestFound(t *testing.T) {
	h, dir := create(t)
	doc, err := h.Found(rand.Reader, home.DefaultParams(),
		home.Founder{Identity: "first", Name: "First", Power: 10}, home.Founder{Identity: "second", Name: "Second", OpenQuota: 5})
	if err != nil {
		t.Fatal(err)
	}
	k, err := open(t, dir).NodeSigners()
	if err != nil {
		t.Fatal(err)
	}
	if doc.Network != network || len(doc.Members) != 2 || doc.Members[1].OpenQuota != 5 || len(doc.Members[1].ValidatorKey) != 0 ||
		!bytes.Equal(doc.Members[0].ValidatorKey, k.Validator.Public().Raw()) || k.Node.Public().Equal(k.Validator.Public()) {
		t.Errorf("%+v", doc)
	}
	for i, name := range []string{"first", "second"} {
		if d, err := h.Identity(name); err != nil || d != tx.InceptionID(network, &doc.Members[i].Inception).DID(network) {
			t.Errorf("%s is %s, %v", name, d, err)
		}
	}
	if _, err := h.Found(rand.Reader, home.DefaultParams(), home.Founder{Identity: "third", Name: "Third", Power: 1}); err == nil {
		t.Error("a second validator key was made over the first")
	}
}

func TestPeopleKey(t *testing.T) {
	h, dir := create(t)
	one, err := h.PeopleKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := open(t, dir).PeopleKey(rand.Reader); err != nil || one != two {
		t.Errorf("another key the second time, %v", err)
	}
}

// An actor that the ledger does not know, and a ledger that does not answer.
func TestActorWithoutLedger(t *testing.T) {
	h, dir := create(t)
	if _, _, err := h.NewIdentity(rand.Reader, "a", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	unchanged(t, dir)
	a, err := h.Actor("a", &ledger{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := a.Submit(ctx, &tx.DIDDeactivate{}, nil); err == nil || !strings.Contains(err.Error(), "not on the ledger") {
		t.Error(err)
	}
	if _, err := a.Rotate(ctx, false); err == nil || !strings.Contains(err.Error(), "not on the ledger") {
		t.Error(err)
	}
}
