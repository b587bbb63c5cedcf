package main

import (
	"errors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/store"
)

// hintFor says what to do next about an error, or "".
func hintFor(err error) string {
	var h hinted
	if errors.As(err, &h) {
		return h.hint
	}
	for _, a := range []struct {
		is   error
		hint string
	}{
		{home.ErrNoHome, "make one with: hufu up --home DIR, or name another with --home"},
		{home.ErrExists, "use it as it is, or name another directory with --home"},
		{home.ErrNotRunning, "start it with: hufu up --home DIR, or name a node with --node URL"},
		{home.ErrNoIdentity, "make it with: hufu did create NAME"},
		{keystore.ErrWrongPassphrase, "nothing was changed; try again with the passphrase the home was made with"},
		{keystore.ErrWrongKeyFile, "nothing was changed; give the key file the home was made with"},
		{keystore.ErrPermissions, "close it to others with: chmod 600 FILE"},
		{store.ErrLocked, "another process serves this home; stop it first, or use that one"},
		{client.ErrUnreachable, "is the node running? start it with: hufu up --home DIR"},
		{server.ErrNotLoopback, "listen on 127.0.0.1 and put a TLS server in front"},
	} {
		if errors.Is(err, a.is) {
			return a.hint
		}
	}
	return ruleHints()[hufu.RuleOf(err)]
}
