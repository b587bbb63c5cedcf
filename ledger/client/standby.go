package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
)

// Standby reads through a client for as long as a node can be reached, and else what was verified before:
// the records of the newest state that the client proved, and then the last snapshot that was kept in a file,
// also by an earlier process. A view says by AsOf how old it is; how old it may be is for the reader
// to decide. After two conflicting headers ([RuleConflict]), and when the trust has expired, it reads nothing.
type Standby struct {
	client *Client
	file   string

	mu   sync.Mutex // one opens it
	snap atomic.Pointer[Snapshot]
}

// Limits of what is kept for an outage.
const (
	// StandbyEvery is how often a changed state is kept, at most; longer when it takes long.
	StandbyEvery = 10 * time.Second
	// standbyShare is how many times as long as the keeping the time between is: nodes have other work.
	standbyShare = 20
	// maxStandby is the largest snapshot in bytes that is kept. It is held in memory during an outage.
	maxStandby = 512 << 20
	// standbyRetry is the wait after a failure that is not the network's.
	standbyRetry = time.Hour
)

var errTooLarge = fmt.Errorf("client: the state is above %d MiB", maxStandby>>20)

// NewStandby returns the standby of a client whose snapshot is in file. It reads what is there already;
// [Standby.Keep] renews it.
func NewStandby(c *Client, file string) *Standby { return &Standby{client: c, file: file} }

// Read runs f as [Client.Read] does, on the newest state that can be had.
func (s *Standby) Read(ctx context.Context, f func(View) error) error {
	live := s.client.Read(ctx, f)
	if !IsAway(live) || ctx.Err() != nil {
		if live == nil {
			s.release()
		}
		return live
	}
	if known := s.client.known(); known != nil {
		v := &keptView{pinned: *known, network: s.client.Network()}
		if err := f(v); !v.missed.Load() {
			return err
		}
	}
	snap, err := s.open()
	if err != nil {
		return errors.Join(live, err)
	}
	return f(snap)
}

// Head is the state that a read would begin on now.
func (s *Standby) Head(ctx context.Context) (hufu.AsOf, error) {
	head, live := s.client.Head(ctx)
	if !IsAway(live) || ctx.Err() != nil {
		return head, live
	}
	if known := s.client.known(); known != nil {
		return known.asOf, nil
	}
	snap, err := s.open()
	if err != nil {
		return hufu.AsOf{}, errors.Join(live, err)
	}
	return snap.asOf, nil
}

// IsAway tells a node that cannot or will not say what is true from all other errors.
func IsAway(err error) bool {
	switch hufu.RuleOf(err) {
	case RuleBadHeader, RuleBadCommit, RuleBadValidators, RuleBadProof, RuleBadRoot:
		return true
	}
	return errors.Is(err, ErrUnreachable)
}

// known is the newest verified state with what was proven of it, or nil. It is for when no node shows a
// newer one.
func (c *Client) known() *pinned {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.head == nil || hufu.RuleOf(c.failure) == RuleConflict || hufu.RuleOf(c.failure) == RuleTrustExpired {
		return nil
	}
	return &pinned{*c.head, c.cache}
}

// keptView is a state of which only some records are known.
type keptView struct {
	pinned
	network hufu.Network
	missed  atomic.Bool
}

var errNotKept = errors.New("client: the record was not proven before")

func (v *keptView) AsOf() hufu.AsOf       { return v.asOf }
func (v *keptView) Network() hufu.Network { return v.network }

func (v *keptView) Get(key []byte) ([]byte, error) {
	value, _, err := v.Kept(key)
	return value, err
}

// Kept is state.Keeper's.
func (v *keptView) Kept(key []byte) (value []byte, decoded any, err error) {
	p, ok := v.known.get(key)
	if !ok {
		v.missed.Store(true)
		return nil, nil, errNotKept
	}
	return p.value, p.decoded, nil
}

// open is the snapshot in the file, held until a node can be reached again.
func (s *Standby) open() (*Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snap := s.snap.Load(); snap != nil {
		return snap, nil
	}
	f, err := os.Open(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("client: no snapshot was kept for an outage")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	s.client.mu.Lock()
	trust := s.client.trust
	s.client.mu.Unlock()
	snap, err := OpenSnapshot(f, trust, s.client.now(), 0)
	if err != nil {
		return nil, fmt.Errorf("client: the snapshot kept for an outage: %w", err)
	}
	s.snap.Store(snap)
	return snap, nil
}

func (s *Standby) release() {
	if s.snap.Load() != nil {
		s.snap.Store(nil)
	}
}

// Keep renews the snapshot until ctx ends: now, and from then on as the state changes, but not all the time.
func (s *Standby) Keep(ctx context.Context) {
	for ctx.Err() == nil {
		begun := time.Now()
		err := s.Renew(ctx)
		wait := max(StandbyEvery, standbyShare*time.Since(begun))
		switch {
		case err == nil || IsAway(err):
		case ctx.Err() != nil:
			return
		default:
			s.client.log.Warn("no snapshot could be kept for an outage", "err", err)
			wait = standbyRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// Renew writes the newest state to the file, in place of the one before once it is whole and verified.
func (s *Standby) Renew(ctx context.Context) error {
	err := durable.WriteFrom(s.file, func(w io.Writer) error {
		_, err := s.client.ExportSnapshot(ctx, &upTo{w, maxStandby})
		return err
	})
	if err == nil {
		s.release()
	}
	return err
}

// upTo takes so many bytes.
type upTo struct {
	to   io.Writer
	left int64
}

func (u *upTo) Write(p []byte) (int, error) {
	if u.left -= int64(len(p)); u.left < 0 {
		return 0, errTooLarge
	}
	return u.to.Write(p)
}
