package home_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
)

// What a restore changes of the roles' tables.
var (
	issuerTables = fstest.MapFS{"sqlite/0001_first.sql": {Data: []byte(`-- +goose Up
CREATE TABLE lists (number INTEGER PRIMARY KEY, size INTEGER NOT NULL, given INTEGER NOT NULL, opened INTEGER NOT NULL);
INSERT INTO lists VALUES (0, 100, 100, 1), (1, 100, 7, 1), (2, 100, 0, 0);
`)}}
	gateTables = fstest.MapFS{"sqlite/0001_first.sql": {Data: []byte(`-- +goose Up
CREATE TABLE requests (state TEXT PRIMARY KEY, expires INTEGER NOT NULL, answered INTEGER NOT NULL);
INSERT INTO requests VALUES ('open', 900, 0), ('answered', 900, 5);
`)}}
)

// inUse is a home with an identity and both databases, which stay open.
func inUse(t *testing.T, dir string) *home.Home {
	t.Helper()
	h, err := home.CreateWith(dir, unlock("right"), network, func(h *home.Home) error { return h.SetGenesis([]byte("{}")) })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.NewIdentity(rand.Reader, "agency", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	for file, s := range map[string]database.Schema{home.IssuerFile: {Name: "issuer", Migrations: issuerTables}, home.GateFile: {Name: "gate", Migrations: gateTables}} {
		db, err := database.Open(t.Context(), h.Path(file), s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
	}
	return h
}

func backUp(t *testing.T) (h *home.Home, copied string) {
	t.Helper()
	dir := t.TempDir()
	h = inUse(t, filepath.Join(dir, "home"))
	copied = filepath.Join(dir, "backup")
	if _, err := home.Backup(t.Context(), h.Path(""), copied, time.Now()); err != nil {
		t.Fatal(err)
	}
	return h, copied
}

func restore(t *testing.T, from, to, passphrase string) error {
	t.Helper()
	_, err := home.Restore(t.Context(), from, to, unlock(passphrase), network, "")
	return err
}

// nothingIn checks that nothing but the names given is in a directory, hidden or not.
func nothingIn(t *testing.T, dir string, but ...string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if len(names) != len(but) {
		t.Errorf("in the directory are %v, and not only %v", names, but)
	}
}

// A restored home is as it was, but that nothing is given or answered twice and that its validator waits.
func TestRestored(t *testing.T) {
	h, copied := backUp(t)
	to := filepath.Join(t.TempDir(), "again", "home")
	if err := restore(t, copied, to, "right"); err != nil {
		t.Fatal(err)
	}
	again := open(t, to)
	want, _ := h.Identity("agency")
	if got, err := again.Identity("agency"); err != nil || got != want {
		t.Errorf("agency is %s, not %s: %v", got, want, err)
	}
	if len(again.Keys().List()) != len(h.Keys().List()) {
		t.Error("keys are missing")
	}
	for file, q := range map[string]map[string]int{
		home.IssuerFile: {"SELECT count(*) FROM lists": 2, "SELECT count(*) FROM lists WHERE given = size AND opened = 1": 2},
		home.GateFile:   {"SELECT count(*) FROM requests": 2, "SELECT count(*) FROM requests WHERE expires = 0 AND answered = 0": 1, "SELECT count(*) FROM requests WHERE expires = 900 AND answered = 5": 1},
	} {
		db, err := sql.Open("sqlite", again.Path(file))
		if err != nil {
			t.Fatal(err)
		}
		for query, want := range q {
			var n int
			if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != want {
				t.Errorf("%s: %d, not %d: %v", query, n, want, err)
			}
		}
		db.Close()
	}
	if _, err := os.Stat(filepath.Join(to, home.NodeDir, "restored")); err != nil {
		t.Error("its validator does not know that it was restored:", err)
	}
	for path, what := range files(t, to) {
		if strings.HasPrefix(what, "-") && !strings.HasPrefix(what, "-rw-------") {
			t.Errorf("%s is open to others: %.10s", path, what)
		}
	}
}

// A backup that is refused leaves nothing, and what is there alone.
func TestBackupRefused(t *testing.T) {
	dir := t.TempDir()
	h := inUse(t, filepath.Join(dir, "home"))
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(filepath.Join(other, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	back := func(from, to string) error {
		_, err := home.Backup(t.Context(), from, to, time.Now())
		return err
	}
	unchanged(t, other)
	for name, to := range map[string]string{"a directory in use": other, "the home itself": h.Path("")} {
		if err := back(h.Path(""), to); !errors.Is(err, home.ErrExists) {
			t.Errorf("to %s: %v", name, err)
		}
	}
	if err := back(h.Path(""), h.Path("settings.json")); err == nil {
		t.Error("written over a file")
	}
	if err := back(filepath.Join(dir, "none"), filepath.Join(dir, "copy")); !errors.Is(err, home.ErrNoHome) {
		t.Error("of no home:", err)
	}
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := home.Backup(cut, h.Path(""), filepath.Join(dir, "copy"), time.Now()); err == nil {
		t.Error("one that was called off is there")
	}
	if err := os.Rename(h.Path("keys.age"), filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	if err := back(h.Path(""), filepath.Join(dir, "copy")); !errors.Is(err, os.ErrNotExist) {
		t.Error("without the keys:", err)
	}
	nothingIn(t, dir, "home", "other", "keys")
}

// What a killed backup or restore leaves is no backup and no home, and hinders nobody.
func TestBackupCutOff(t *testing.T) {
	h, copied := backUp(t)
	dir := filepath.Dir(copied)
	// As it is just before it gets its name: all but the manifest, which is written last.
	left := filepath.Join(dir, ".hufu-1")
	if err := os.CopyFS(left, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(left, home.ManifestFile)); err != nil {
		t.Fatal(err)
	}
	if err := restore(t, left, filepath.Join(dir, "again"), "right"); !errors.Is(err, home.ErrBackup) {
		t.Error("half a backup was restored:", err)
	}
	if _, err := home.Backup(t.Context(), h.Path(""), filepath.Join(dir, "second"), time.Now()); err != nil {
		t.Error(err)
	}
	if err := restore(t, copied, filepath.Join(dir, "again"), "right"); err != nil {
		t.Error(err)
	}
	nothingIn(t, dir, "home", "backup", "second", "again", ".hufu-1")
}

// A damaged backup, another's, one that does not open, and a place that is taken: no home is made.
func TestRestoreRefused(t *testing.T) {
	h, copied := backUp(t)
	dir := t.TempDir()
	to := filepath.Join(dir, "home")
	refused := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
		nothingIn(t, dir)
	}
	refused("wrong passphrase", restore(t, copied, to, "wrong"), keystore.ErrWrongPassphrase)
	refused("no backup", restore(t, h.Path(""), to, "right"), home.ErrBackup)
	if _, err := home.Restore(t.Context(), copied, to, unlock("right"), "elsewhere", ""); err == nil || !strings.Contains(err.Error(), "of network test, not of elsewhere") {
		t.Error("of another network:", err)
	}
	nothingIn(t, dir)

	// Every file, shorter, longer, altered, and away.
	manifest, err := os.ReadFile(filepath.Join(copied, home.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	var m home.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil || len(m.Files) != 6 {
		t.Fatal(len(m.Files), err)
	}
	for _, f := range m.Files {
		path := filepath.Join(copied, f.Name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(good)
		flipped[len(good)/2] ^= 1
		for what, bad := range map[string][]byte{"truncated": good[:len(good)-1], "emptied": {}, "longer": append(bytes.Clone(good), 0), "altered": flipped} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(f.Name+" "+what, restore(t, copied, to, "right"), home.ErrBackup)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		refused(f.Name+" away", restore(t, copied, to, "right"), home.ErrBackup)
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for what, change := range map[string]func(m *home.Manifest){
		"another version":  func(m *home.Manifest) { m.Version++ },
		"no network":       func(m *home.Manifest) { m.Network = "" },
		"another network":  func(m *home.Manifest) { m.Network = "other" },
		"a file elsewhere": func(m *home.Manifest) { m.Files[0].Name = "../../" + m.Files[0].Name },
		"an unknown file":  func(m *home.Manifest) { m.Files[0].Name = "node" },
		"a file twice":     func(m *home.Manifest) { m.Files = append(m.Files, m.Files[0]) },
		"no keys": func(m *home.Manifest) {
			for i := range m.Files {
				if m.Files[i].Name == "keys.age" {
					m.Files = append(m.Files[:i], m.Files[i+1:]...)
					return
				}
			}
		},
	} {
		var changed home.Manifest
		if err := json.Unmarshal(manifest, &changed); err != nil {
			t.Fatal(err)
		}
		change(&changed)
		raw, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, home.ManifestFile), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = home.Restore(t.Context(), copied, to, unlock("right"), "", "")
		refused(what, err, home.ErrBackup)
	}
	for what, raw := range map[string][]byte{"half a manifest": manifest[:len(manifest)/2], "an empty one": nil} {
		if err := os.WriteFile(filepath.Join(copied, home.ManifestFile), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(what, restore(t, copied, to, "right"), home.ErrBackup)
	}
	if err := os.WriteFile(filepath.Join(copied, home.ManifestFile), manifest, 0o600); err != nil {
		t.Fatal(err)
	}

	// A home that is in use, and one that somebody begins to make.
	unchanged(t, h.Path(""))
	refused("over a home", restore(t, copied, h.Path(""), "right"), home.ErrExists)
	if err := restore(t, copied, to, "right"); err != nil {
		t.Error("as it was:", err)
	}
}
