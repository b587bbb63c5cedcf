package keystore_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
)

func TestRelock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.age")
	file := byKeyFile(t, dir, "identity")
	s, err := keystore.Create(path, quick("old"))
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.Generate(rand.Reader, "k", keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	other, err := keystore.Open(path, quick("old"))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	for _, bad := range []keystore.Unlock{{}, quick(""), keystore.KeyFile(filepath.Join(dir, "none"))} {
		if err := s.Relock(bad); err == nil {
			t.Error("locked with nothing")
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a refused Relock changed the file")
	}
	for _, step := range []struct {
		to, from keystore.Unlock
		wrong    error
	}{
		{quick("new"), quick("old"), keystore.ErrWrongPassphrase},
		{file, quick("new"), keystore.ErrWrongPassphrase},
		{quick("last"), file, keystore.ErrWrongKeyFile},
	} {
		if err := s.Relock(step.to); err != nil {
			t.Fatal(err)
		}
		if _, err := keystore.Open(path, step.from); !errors.Is(err, step.wrong) {
			t.Error("what opened it before:", err)
		}
		again, err := keystore.Open(path, step.to)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Signer("k"); err != nil || !got.Public().Equal(k.Public()) {
			t.Fatal(err)
		}
		if _, err := s.GenerateDataKey(rand.Reader, rand.Text()); err != nil { // the same store goes on
			t.Fatal(err)
		}
	}
	if _, err := other.GenerateDataKey(rand.Reader, "x"); !errors.Is(err, keystore.ErrWrongPassphrase) {
		t.Error("a process with what opened it before wrote:", err)
	}
}

// A store that cannot be written opens as before.
func TestRelockFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.age")
	s, err := keystore.Create(path, quick("old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil { // refused before anything is written
		t.Fatal(err)
	}
	if err := s.Relock(quick("new")); !errors.Is(err, keystore.ErrPermissions) {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(rand.Reader, "k", keys.Ed25519); err != nil {
		t.Error(err)
	}
	if _, err := keystore.Open(path, quick("old")); err != nil {
		t.Error(err)
	}
}

func TestEnsureDataKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.GenerateDataKey(rand.Reader, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EnsureDataKeys(rand.Reader, "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	written, _ := os.ReadFile(path)
	if got, err := s.DataKey("a"); err != nil || got != a {
		t.Error("made anew", err)
	}
	if err := s.EnsureDataKeys(rand.Reader, "c", "b"); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(written, again) {
		t.Error("written though nothing was missing")
	}
	if err := s.EnsureDataKeys(rand.Reader, "d", "not a name"); err == nil {
		t.Error("a bad name")
	}
	if _, err := s.DataKey("d"); !errors.Is(err, keystore.ErrNotFound) {
		t.Error("half of it was kept", err)
	}
}

func TestMoveTo(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *keystore.Store {
		s, err := keystore.Create(filepath.Join(dir, name), quick(name))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	from, to := open("from"), open("to")
	names := func(s *keystore.Store) (out []string) {
		for _, e := range s.List() {
			out = append(out, e.Name)
		}
		return out
	}
	made, err := from.GenerateAll(rand.Reader, map[string]*keys.Suite{"a": keys.Ed25519, "b": keys.P256, "c": keys.SM2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := from.MoveTo(to, []string{"a", "none"}); !errors.Is(err, keystore.ErrNotFound) || len(to.List()) != 0 {
		t.Fatal(err)
	}
	if _, err := to.Generate(rand.Reader, "c", keys.SM2); err != nil {
		t.Fatal(err)
	}
	if err := from.MoveTo(to, []string{"a", "c"}); !errors.Is(err, keystore.ErrExists) || len(from.List()) != 3 || len(to.List()) != 1 {
		t.Fatal("another key of the name:", err)
	}
	if err := to.Remove("c"); err != nil {
		t.Fatal(err)
	}
	if err := from.MoveTo(to, []string{"a", "c"}); err != nil {
		t.Fatal(err)
	}
	if got := names(from); !slices.Equal(got, []string{"b"}) {
		t.Error(got)
	}
	for _, name := range []string{"a", "c"} {
		if k, err := to.Signer(name); err != nil || !k.Public().Equal(made[name].Public()) {
			t.Error(name, err)
		}
	}
	// Cut off between the two writes: the key is in both, and the next move finishes it.
	copied, err := os.ReadFile(filepath.Join(dir, "to"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "both"), copied, 0o600); err != nil {
		t.Fatal(err)
	}
	both, err := keystore.Open(filepath.Join(dir, "both"), quick("to"))
	if err != nil {
		t.Fatal(err)
	}
	if err := both.MoveTo(to, []string{"a"}); err != nil {
		t.Fatal(err)
	}
	if got := names(both); !slices.Equal(got, []string{"c"}) {
		t.Error(got)
	}
}
