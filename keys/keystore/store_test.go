package keystore_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
)

// quick is a passphrase at a work factor that only a test may use.
func quick(text string) keystore.Unlock { return keystore.PassphraseWorkFactor(text, 2) }

func byKeyFile(t *testing.T, dir, name string) keystore.Unlock {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := keystore.CreateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	return keystore.KeyFile(path)
}

func TestKeysComeBack(t *testing.T) {
	dir := t.TempDir()
	for name, u := range map[string]keystore.Unlock{"passphrase": quick("tiger tally"), "key file": byKeyFile(t, dir, "identity")} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.age")
			s, err := keystore.Create(path, u)
			if err != nil {
				t.Fatal(err)
			}
			made := map[string]keys.Signer{}
			for _, suite := range keys.Suites() {
				if made[suite.Name()], err = s.Generate(rand.Reader, suite.Name(), suite); err != nil {
					t.Fatal(err)
				}
			}
			data, err := s.GenerateDataKey(rand.Reader, "people")
			if err != nil {
				t.Fatal(err)
			}
			again, err := keystore.Open(path, u)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []*keystore.Store{s, again} {
				for name, k := range made {
					got, err := s.Signer(name)
					if err != nil || !got.Public().Equal(k.Public()) {
						t.Fatalf("%s: %v", name, err)
					}
				}
				if got, err := s.DataKey("people"); err != nil || got != data {
					t.Fatal("data key", err)
				}
				var names []string
				for _, e := range s.List() {
					names = append(names, fmt.Sprint(e.Name, " ", e.Suite != nil, " ", !e.Public.IsZero()))
				}
				if got := strings.Join(names, ", "); got != "Ed25519 true true, P-256 true true, SM2 true true, people false false" {
					t.Fatal(got)
				}
			}
			onDisk(t, path, made, data)
		})
	}
}

// onDisk checks mode, absence of litter, and that no secret lies in the directory in any usual form.
func onDisk(t *testing.T, path string, made map[string]keys.Signer, data [32]byte) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 2 { // the store and its lock
		t.Fatal(files, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{data[:]}
	for _, k := range made {
		secrets = append(secrets, k.(keys.Secret).Secret())
	}
	for _, secret := range secrets {
		for _, form := range []string{string(secret), hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)} {
			if bytes.Contains(raw, []byte(form)) {
				t.Fatal("a secret is on disk as it is")
			}
		}
	}
}

func TestWrongUnlock(t *testing.T) {
	dir := t.TempDir()
	right, wrong := byKeyFile(t, dir, "right"), byKeyFile(t, dir, "wrong")
	locked, filed := filepath.Join(dir, "passphrase.age"), filepath.Join(dir, "keyfile.age")
	for path, u := range map[string]keystore.Unlock{locked: quick("open"), filed: right} {
		s, err := keystore.Create(path, u)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Generate(rand.Reader, "k", keys.Ed25519); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, path string
		unlock     keystore.Unlock
		want       error
	}{
		{"wrong passphrase", locked, quick("Open"), keystore.ErrWrongPassphrase},
		{"passphrase for a key file's", filed, quick("open"), keystore.ErrWrongPassphrase},
		{"wrong key file", filed, wrong, keystore.ErrWrongKeyFile},
		{"key file for a passphrase's", locked, right, keystore.ErrWrongKeyFile},
		{"no such store", filepath.Join(dir, "none"), right, os.ErrNotExist},
		{"no such key file", filed, keystore.KeyFile(filepath.Join(dir, "none")), os.ErrNotExist},
	} {
		if _, err := keystore.Open(c.path, c.unlock); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		} else if strings.Contains(err.Error(), "Open") {
			t.Errorf("%s: the error holds the passphrase", c.name)
		}
	}
	for name, u := range map[string]keystore.Unlock{"nothing": {}, "empty passphrase": quick(""), "factor 0": keystore.PassphraseWorkFactor("x", 0), "factor 21": keystore.PassphraseWorkFactor("x", 21)} {
		if _, err := keystore.Create(filepath.Join(dir, "new"), u); err == nil {
			t.Errorf("%s unlocks", name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused Create left a file")
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(rand.Reader, "a", keys.P256); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if _, err := keystore.Create(path, quick("p")); !errors.Is(err, keystore.ErrExists) {
		t.Error("Create over a store:", err)
	}
	if err := keystore.CreateKeyFile(path); !errors.Is(err, keystore.ErrExists) {
		t.Error("CreateKeyFile over a store:", err)
	}
	if k, err := s.Generate(rand.Reader, "a", keys.Ed25519); !errors.Is(err, keystore.ErrExists) || k != nil {
		t.Error("a name twice:", err)
	}
	if _, err := s.GenerateDataKey(rand.Reader, "a"); !errors.Is(err, keystore.ErrExists) {
		t.Error("a data key under a signing key's name:", err)
	}
	for _, bad := range []string{"", "a b", "a\n", "名", strings.Repeat("x", keystore.MaxNameLen+1)} {
		if _, err := s.Generate(rand.Reader, bad, keys.Ed25519); err == nil {
			t.Errorf("name %q accepted", bad)
		}
	}
	all := map[string]*keys.Suite{"good": keys.P256, "a": keys.P256}
	if made, err := s.GenerateAll(rand.Reader, all, nil); !errors.Is(err, keystore.ErrExists) || made != nil {
		t.Error("two keys, one of them of a name that is taken:", err)
	}
	delete(all, "a")
	refused := errors.New("refused")
	if made, err := s.GenerateAll(rand.Reader, all, func(made map[string]keys.Signer) error {
		if made["good"] == nil {
			t.Error("nothing to check")
		}
		return refused
	}); !errors.Is(err, refused) || made != nil {
		t.Error(err)
	}
	if _, err := s.Signer("good"); !errors.Is(err, keystore.ErrNotFound) {
		t.Error("half of a refused GenerateAll was kept:", err)
	}
	if _, err := s.GenerateDataKey(io.LimitReader(rand.Reader, 8), "short"); err == nil {
		t.Error("a data key of 8 random bytes")
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a refused change altered the file")
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(rand.Reader, "a", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GenerateDataKey(rand.Reader, "b"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := s.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := s.Remove(name); !errors.Is(err, keystore.ErrNotFound) {
			t.Error(err)
		}
	}
	if _, err := s.Signer("a"); !errors.Is(err, keystore.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.DataKey("b"); !errors.Is(err, keystore.ErrNotFound) {
		t.Error(err)
	}
	if again, err := keystore.Open(path, quick("p")); err != nil || len(again.List()) != 0 {
		t.Error(err)
	}
}

func TestPermissionsTooOpen(t *testing.T) {
	dir := t.TempDir()
	u := byKeyFile(t, dir, "identity")
	path := filepath.Join(dir, "keys.age")
	s, err := keystore.Create(path, u)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{path, filepath.Join(dir, "identity")} {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o666} {
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := keystore.Open(path, u); !errors.Is(err, keystore.ErrPermissions) || !strings.Contains(err.Error(), "0600") {
				t.Errorf("%s with mode %o: %v", file, mode, err)
			}
		}
		if file == path {
			if _, err := s.Generate(rand.Reader, "k", keys.Ed25519); !errors.Is(err, keystore.ErrPermissions) {
				t.Errorf("wrote to an open file: %v", err)
			}
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.age")
	u := byKeyFile(t, dir, "identity")
	s, err := keystore.Create(path, u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(rand.Reader, "k", keys.SM2); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := keystore.Open(path, u)
		if !errors.Is(err, keystore.ErrCorrupt) && !errors.Is(err, keystore.ErrWrongKeyFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 4
		refused(fmt.Sprint("flipped byte ", i), bad)
	}
	for _, n := range []int{0, 1, len(good) / 2, len(good) - 1} {
		refused(fmt.Sprint("cut at ", n), good[:n])
	}
	refused("trailing byte", append(bytes.Clone(good), 0))
	refused("text", []byte("not a key file\n"))

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := keystore.Open(path, u); !errors.Is(err, keystore.ErrCorrupt) {
		t.Error("a directory:", err)
	}
	for _, text := range []string{"", "junk", "# comment only\n"} {
		if err := os.WriteFile(filepath.Join(dir, "junk"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keystore.Open(path, keystore.KeyFile(filepath.Join(dir, "junk"))); !errors.Is(err, keystore.ErrCorrupt) {
			t.Errorf("key file %q: %v", text, err)
		}
	}
}

// Writers of several stores on one file, as several processes are, lose nothing of each other.
func TestConcurrentWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.age")
	u := byKeyFile(t, dir, "identity")
	if _, err := keystore.Create(path, u); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		s, err := keystore.Open(path, u)
		if err != nil {
			t.Fatal(err)
		}
		for half := range 2 {
			wg.Go(func() {
				for i := range 5 {
					if _, err := s.Generate(rand.Reader, fmt.Sprintf("w%d.%d.%d", w, half, i), keys.Ed25519); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	s, err := keystore.Open(path, u)
	if err != nil || len(s.List()) != 40 {
		t.Fatalf("%d keys, %v", len(s.List()), err)
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("SKIPPED: root may write everywhere")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if _, err := keystore.Open(path, quick("p")); err != nil {
		t.Error("cannot read:", err)
	}
	if _, err := s.Generate(rand.Reader, "k", keys.Ed25519); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

// A write that cannot be finished leaves the store as it was.
func TestFailedWriteChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(rand.Reader, "a", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Generate(rand.Reader, "b", keys.Ed25519); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("wrote a store that was taken away:", err)
	}
	if _, err := s.Signer("b"); !errors.Is(err, keystore.ErrNotFound) {
		t.Error("kept in memory what is not on disk")
	}
	if _, err := s.Signer("a"); err != nil {
		t.Error(err)
	}
}
