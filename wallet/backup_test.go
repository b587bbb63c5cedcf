package wallet_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/hufu-id/hufu/wallet"
)

func TestBackupAndRestore(t *testing.T) {
	const quick = 2 // scrypt's work factor
	s := newScene(t)
	o, w := s.office(), s.empty()
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{Copies: 4}))
	must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	var file bytes.Buffer
	check(t, w.Backup(&file, "correct horse", quick, []byte("genesis")))
	if bytes.Contains(file.Bytes(), []byte("genesis")) || bytes.Contains(file.Bytes(), []byte("Alice")) {
		t.Error("the backup is in the clear")
	}
	for name, c := range map[string]struct {
		data []byte
		word string
	}{
		"wrong passphrase": {file.Bytes(), "wrong horse"},
		"no passphrase":    {file.Bytes(), ""},
		"cut off":          {file.Bytes()[:file.Len()-1], "correct horse"},
		"altered":          {append(bytes.Clone(file.Bytes()[:file.Len()-1]), file.Bytes()[file.Len()-1]^1), "correct horse"},
		"no backup":        {[]byte("hello"), "correct horse"},
		"nothing":          {nil, "correct horse"},
	} {
		if _, err := wallet.OpenBackup(bytes.NewReader(c.data), c.word); !errors.Is(err, wallet.ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := must[*wallet.Backup](t)(wallet.OpenBackup(&file, "correct horse"))
	if string(b.Genesis) != "genesis" || !b.Made.Equal(s.Now()) {
		t.Errorf("backup of %s, %q", b.Made, b.Genesis)
	}
	st := wallet.NewMemory()
	check(t, b.Restore(st))
	if err := b.Restore(st); !errors.Is(err, wallet.ErrNotEmpty) {
		t.Errorf("restored over a wallet: %v", err)
	}
	back := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: st, Now: s.Now, Rand: s.Rand}))
	if !reflect.DeepEqual(back.List(), w.List()) || !reflect.DeepEqual(back.Log(), w.Log()) {
		t.Errorf("came back as %+v, %+v", back.List(), back.Log())
	}
	// What came from a backup may have been shown since: new copies are fetched, and used first.
	check(t, s.Pass(time.Minute))
	if got := must[[]wallet.Stock](t)(back.Refill(context.Background(), s)); len(got) != 3 {
		t.Errorf("refilled %+v", got)
	}
	before := back.List()
	must[*wallet.Answer](t)(back.Present(t.Context(), s, s.owner.asks("room")))
	for i, now := range back.List() {
		if i < 3 && now.Left != before[i].Left {
			t.Errorf("a restored copy was shown: %+v", now)
		}
	}
}

func TestBackupRefused(t *testing.T) {
	s := newScene(t)
	w := s.empty()
	var file bytes.Buffer
	for name, c := range map[string]struct {
		word string
		work int
	}{"no passphrase": {"", 2}, "too much work": {"x", 21}, "negative work": {"x", -1}} {
		if err := w.Backup(&file, c.word, c.work, nil); err == nil || file.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, file.Len())
		}
	}
}
