package home_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
)

// genesis is of a network whose validators nobody needs here.
const genesis = `{"chain_id":"harbour","genesis_time":"2026-01-01T00:00:00Z","validators":[
 {"pub_key":{"type":"tendermint/PubKeyEd25519","value":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="},"power":"10"}]}`

func newHome(t *testing.T) *home.Home {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := keystore.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	h, err := home.Create(filepath.Join(dir, "home"), keystore.KeyFile(key), "harbour")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestTrust(t *testing.T) {
	h := newHome(t)
	if _, err := h.Trust(); err == nil {
		t.Fatal("trust without a genesis")
	}
	if err := h.SetGenesis([]byte(genesis)); err != nil {
		t.Fatal(err)
	}
	trust, err := h.Trust()
	if err != nil || trust.Network != "harbour" || trust.Checkpoint != nil {
		t.Fatal(trust, err)
	}
	start := trust.GenesisTime
	old := func(after time.Duration) bool {
		is, err := h.TrustIsOld(start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	// It is renewed long before it lapses.
	if old(0) || old(59*24*time.Hour) || !old(61*24*time.Hour) || client.DefaultPeriod < 2*61*24*time.Hour {
		t.Fatal("a genesis is renewed after 60 days")
	}
	point := home.Checkpoint{Checkpoint: client.Checkpoint{Height: 7, Hash: hufu.Digest{1}}, Time: start.Add(61 * 24 * time.Hour)}
	if err := h.SetCheckpoint(point); err != nil {
		t.Fatal(err)
	}
	if trust, err = h.Trust(); err != nil || trust.Checkpoint == nil || *trust.Checkpoint != point.Checkpoint {
		t.Fatal(trust, err)
	}
	if old(61*24*time.Hour) || !old(122*24*time.Hour) {
		t.Fatal("a checkpoint is renewed after 60 days")
	}
	for _, bad := range []home.Checkpoint{{}, {Checkpoint: point.Checkpoint}, {Time: point.Time}} {
		if err := h.SetCheckpoint(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if trust, err = h.Trust(); err != nil || *trust.Checkpoint != point.Checkpoint {
		t.Fatal("a refused checkpoint changed something", trust, err)
	}
	// A damaged file is no reason to fall back to the genesis silently.
	if err := os.WriteFile(h.Path("checkpoint.json"), []byte(`{"height":0}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Trust(); err == nil {
		t.Fatal("a damaged checkpoint was passed over")
	}
}
