package node

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"
)

// What the engine says when it gives up is told apart by what an operator has to do.
func TestConsensusError(t *testing.T) {
	for text, want := range map[string]error{
		"+2/3 committed an invalid block: block time 2026-11-29 09:12:02 +0000 UTC is too far in the future (wall clock 2026-11-29 09:02:03 +0000 UTC + tolerance 1m0s)": ErrClock,
		"failed to write {17} msg to consensus WAL due to write wal: no space left on device; check your file system and restart the node":                               ErrDiskFull,
		"+2/3 committed an invalid block: wrong Block.Header.AppHash":                                                                                                    ErrConsensus,
	} {
		if err := consensusError(text); !errors.Is(err, want) {
			t.Errorf("%v is not %v", err, want)
		}
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2026, 11, 29, 11, 0, 0, 0, time.UTC)
	for behind, is := range map[time.Duration]error{-time.Hour: nil, 0: nil, time.Minute: nil, time.Minute + time.Second: ErrClock, 10 * time.Minute: ErrClock} {
		if err := checkClock(now, now.Add(behind)); !errors.Is(err, is) {
			t.Errorf("%s behind: %v", behind, err)
		}
	}
}

// A failure is told once, whatever port it came from, until all is well again; and not all of any number.
func TestSaid(t *testing.T) {
	var s said
	reset := func(port int) error {
		return fmt.Errorf("a signer: %w", &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: port}, Err: errors.New("reset")})
	}
	other := errors.New("other")
	for range 2 {
		if !s.first(reset(1)) || s.first(reset(1)) || s.first(reset(2)) || !s.first(other) || s.first(other) || s.first(reset(3)) {
			t.Error("not once")
		}
		s.forget()
	}
	told := 0
	for i := range 10 * maxSaid {
		if s.first(fmt.Errorf("number %d", i)) {
			told++
		}
	}
	if told != maxSaid {
		t.Errorf("%d are told", told)
	}
}
