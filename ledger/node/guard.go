package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
)

// restoredFile is in a home that was restored from a backup, until its validator may sign again.
const restoredFile = "restored"

// freshAfter is how much later than the node's start the time of a block must be that was made after it: what
// clocks may be apart.
const freshAfter = 10 * time.Second

// errHeld is what a validator that is held back answers the engine, which then takes part without a vote.
var errHeld = errors.New("node: the validator does not sign yet")

// guard keeps a validator from signing twice that does not know what it signed: the engine's file of what was
// signed last goes back in time with the disk it is on. Of a home that was restored from a backup that is
// known; of a disk put back as it was, a block shows it that bears a vote of this validator at a height above
// the last that its file knows of. Such a validator waits for a block made after this start. It was made
// without it, so everything that it may have signed before is below, and it goes on from the next.
type guard struct {
	types.PrivValidator
	home   string
	since  time.Time
	log    *slog.Logger
	signed func(address []byte) (height int64, ours bool)

	mu   sync.Mutex
	held bool
}

func newGuard(v *voter, home string, now time.Time, log *slog.Logger) (*guard, error) {
	g := &guard{PrivValidator: v, home: home, since: now, log: log, signed: v.lastSigned}
	switch _, err := os.Stat(filepath.Join(home, restoredFile)); {
	case err == nil:
		g.hold("this home was restored from a backup", 0)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, diskError(err)
	}
	return g, nil
}

// MarkRestored says of a home that what its validator signed last is not known there.
func MarkRestored(home string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return diskError(err)
	}
	return writeFile(filepath.Join(home, restoredFile), nil)
}

func (g *guard) hold(why string, height int64) {
	g.held = true
	g.log.Warn("the validator does not sign until a block is made after this start, so as not to sign twice", "because", why, "height", height)
}

// SignVote signs unless the validator is held back.
func (g *guard) SignVote(chainID string, vote *cmtproto.Vote) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		return errHeld
	}
	return g.PrivValidator.SignVote(chainID, vote)
}

// SignProposal signs unless the validator is held back.
func (g *guard) SignProposal(chainID string, proposal *cmtproto.Proposal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		return errHeld
	}
	return g.PrivValidator.SignProposal(chainID, proposal)
}

// saw is told of every block that is executed: its height and time, and the votes for the one before it.
func (g *guard) saw(height int64, at time.Time, votes []abci.VoteInfo) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range votes {
		if votes[i].BlockIdFlag == cmtproto.BlockIDFlagAbsent || g.held {
			continue
		}
		if last, ours := g.signed(votes[i].Validator.Address); ours && last < height-1 {
			g.hold("a vote of this validator is in a block, and what it signed last, as far as this home knows, is older: was an old disk put back?", height-1)
		}
	}
	if !g.held || !at.After(g.since.Add(freshAfter)) {
		return nil
	}
	g.held = false
	g.log.Warn("the validator signs again", "height", height+1)
	if err := os.Remove(filepath.Join(g.home, restoredFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("node: the mark of a restored home: %w", diskError(err))
	}
	return nil
}

// lastSigned is the height that the key with the address signed last, as far as its file here knows.
func (v *voter) lastSigned(address []byte) (height int64, ours bool) {
	for _, pv := range v.keys {
		// A remote signer remembers for itself.
		if file, here := pv.(*privval.FilePV); here && bytes.Equal(pv.GetAddress(), address) {
			return file.LastSignState.Height, true
		}
	}
	return 0, false
}

// Held reports whether the node's validator waits until it is safe to sign.
func (n *Node) Held() bool {
	if n.guard == nil {
		return false
	}
	n.guard.mu.Lock()
	defer n.guard.mu.Unlock()
	return n.guard.held
}
