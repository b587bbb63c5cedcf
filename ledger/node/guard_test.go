package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu/keys"
)

// signing is a validator on its own.
type signing struct {
	*guard
	t       *testing.T
	address []byte
}

var start = time.Unix(1_760_000_000, 0)

func newSigning(t *testing.T, home string) *signing {
	t.Helper()
	key, err := keys.Ed25519.Load(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(home, engineDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	v, err := newVoter(Keys{Validator: key}, nil, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGuard(v, home, start, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &signing{g, t, v.keys[0].GetAddress()}
}

func (s *signing) vote(height int64) error {
	return s.SignVote("test", &cmtproto.Vote{Type: cmtproto.PrevoteType, Height: height, ValidatorAddress: s.address})
}

func (s *signing) propose(height int64) error {
	return s.SignProposal("test", &cmtproto.Proposal{Type: cmtproto.ProposalType, Height: height, PolRound: -1})
}

// block is one whose predecessor the validator voted for, or did not.
func (s *signing) block(height int64, after time.Duration, flag cmtproto.BlockIDFlag) {
	s.t.Helper()
	err := s.saw(height, start.Add(after), []abci.VoteInfo{{Validator: abci.Validator{Address: s.address}, BlockIdFlag: flag}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// A validator whose disk was put back as it was signs again only after a block that was made after its start.
func TestOldDisk(t *testing.T) {
	home := t.TempDir()
	s := newSigning(t, home)
	for h := int64(1); h < 4; h++ {
		if err := s.vote(h); err != nil {
			t.Fatal(err)
		}
		s.block(h+1, -time.Hour, cmtproto.BlockIDFlagCommit)
	}
	yesterday, err := os.ReadFile(filepath.Join(home, engineDir, signedFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.vote(4); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(filepath.Join(home, engineDir, signedFile), yesterday, 0o600); err != nil {
		t.Fatal(err)
	}
	s = newSigning(t, home)
	// It does not know yet, and votes that it knows of say nothing.
	s.block(4, -time.Hour, cmtproto.BlockIDFlagCommit)
	s.block(5, -time.Hour, cmtproto.BlockIDFlagAbsent)
	if s.held {
		t.Fatal("held back for nothing")
	}
	s.block(5, -time.Hour, cmtproto.BlockIDFlagNil)
	for what, after := range map[string]time.Duration{"older": -time.Minute, "as old as clocks may be apart": freshAfter} {
		if err := s.vote(6); !errors.Is(err, errHeld) {
			t.Fatalf("before a block that is %s it votes: %v", what, err)
		}
		if err := s.propose(6); !errors.Is(err, errHeld) {
			t.Fatalf("before a block that is %s it proposes: %v", what, err)
		}
		s.block(6, after, cmtproto.BlockIDFlagAbsent)
	}
	s.block(7, freshAfter+time.Millisecond, cmtproto.BlockIDFlagAbsent)
	if err := errors.Join(s.propose(8), s.vote(8)); err != nil {
		t.Fatal(err)
	}
	// Others' votes are others'.
	if err := s.saw(20, start, []abci.VoteInfo{{Validator: abci.Validator{Address: make([]byte, 20)}, BlockIdFlag: cmtproto.BlockIDFlagCommit}}); err != nil || s.held {
		t.Fatal(s.held, err)
	}
}

// A home that was restored says so until it may sign, also over restarts.
func TestRestoredHome(t *testing.T) {
	home := t.TempDir()
	if err := MarkRestored(home); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := newSigning(t, home)
		if err := s.vote(1); !errors.Is(err, errHeld) {
			t.Fatal(err)
		}
	}
	s := newSigning(t, home)
	s.block(9, time.Minute, cmtproto.BlockIDFlagAbsent)
	if err := s.vote(10); err != nil {
		t.Fatal(err)
	}
	if err := newSigning(t, home).vote(11); err != nil {
		t.Fatal(err)
	}
}
