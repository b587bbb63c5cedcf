package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"

	"github.com/cometbft/cometbft/libs/log"
)

// engineLog passes the engine's log on to slog. The engine is talkative at its info level, so that
// becomes debug. A consensus failure, which the engine only logs, is also reported.
type engineLog struct {
	to     *slog.Logger
	failed func(error)
	ended  <-chan struct{} // closed when why the node cannot go on is told already
}

func (l engineLog) Debug(string, ...any) {}

func (l engineLog) Info(msg string, keyvals ...any) { l.write(slog.LevelDebug, msg, keyvals) }
func (l engineLog) Warn(msg string, keyvals ...any) { l.write(slog.LevelInfo, msg, keyvals) }

func (l engineLog) Error(msg string, keyvals ...any) {
	level := slog.LevelError
	switch {
	case strings.HasPrefix(msg, "CONSENSUS FAILURE") && !l.over():
		l.failed(consensusError(valueOf("err", keyvals)))
	case strings.HasPrefix(msg, "State sync failed") && !l.over():
		l.failed(fmt.Errorf("%w: %v", ErrSync, valueOf("err", keyvals)))
	case l.over():
		level = slog.LevelDebug
	case strings.HasPrefix(msg, "Stopped accept routine"):
		level = slog.LevelDebug // part of every stop
	}
	l.write(level, msg, keyvals)
}

// consensusError names what the engine says of a failure of consensus, of which it gives the text alone.
func consensusError(cause any) error {
	text, is := fmt.Sprint(cause), ErrConsensus
	switch {
	case strings.Contains(text, "is too far in the future (wall clock"):
		is = ErrClock
	case strings.Contains(text, syscall.ENOSPC.Error()), strings.Contains(text, syscall.EDQUOT.Error()):
		is = ErrDiskFull
	}
	return fmt.Errorf("%w: %s", is, text)
}

func (l engineLog) With(keyvals ...any) log.Logger {
	return engineLog{to: l.to.With(keyvals...), failed: l.failed, ended: l.ended}
}

func (l engineLog) over() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

func (l engineLog) write(level slog.Level, msg string, keyvals []any) {
	if l.to.Enabled(context.Background(), level) {
		l.to.Log(context.Background(), level, msg, keyvals...)
	}
}

func valueOf(name string, keyvals []any) any {
	for i := 0; i+1 < len(keyvals); i += 2 {
		if keyvals[i] == name {
			return keyvals[i+1]
		}
	}
	return nil
}

// said keeps a failure that happens again and again from being logged each time.
type said struct {
	mu       sync.Mutex
	failures map[string]bool
}

// maxSaid is how many different failures are told before the rest is kept quiet about: whoever knocks may bring
// any number.
const maxSaid = 16

// first reports whether the failure is not one that was told since forget. Ports do not make it another.
func (s *said) first(failure error) bool {
	text := failure.Error()
	var op *net.OpError
	if errors.As(failure, &op) {
		text = op.Op + ": " + op.Err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures[text] || len(s.failures) == maxSaid {
		return false
	}
	if s.failures == nil {
		s.failures = map[string]bool{}
	}
	s.failures[text] = true
	return true
}

// forget is that all is well again.
func (s *said) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = nil
}
