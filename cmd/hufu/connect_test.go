package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// What was done without a node is not undone because an old trust cannot be renewed just now.
func TestRenewTrustInAnOutage(t *testing.T) {
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := keystore.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	h, err := home.CreateWith(filepath.Join(dir, "home"), keystore.KeyFile(key), n.Name, func(h *home.Home) error { return h.SetGenesis(n.Genesis) })
	if err != nil {
		t.Fatal(err)
	}
	if old, err := h.TrustIsOld(time.Now()); !old || err != nil {
		t.Fatal(old, err)
	}
	trust, err := h.Trust()
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial("http://127.0.0.1:1", trust, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // always nil
	if err := renewTrust(t.Context(), h, c); err != nil {
		t.Error(err)
	}
}
