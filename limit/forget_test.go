package limit

import (
	"strconv"
	"testing"
	"time"
)

// Memory follows who asked lately, and whoever has to wait is not forgotten for having company.
func TestForget(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	l := New(Rate{PerSecond: 1, Burst: 10}, func() time.Time { return now })
	for i := range 10_000 {
		l.Allow(strconv.Itoa(i))
		now = now.Add(100 * time.Millisecond)
	}
	// A bucket that one was taken from is full after a second.
	if n := l.recent.Len(); n > 20 || n != len(l.callers) {
		t.Errorf("%d callers are remembered, %d by name", n, len(l.callers))
	}
	for range 10 {
		l.Allow("busy")
	}
	for i := range 50 {
		l.Allow("other " + strconv.Itoa(i))
		now = now.Add(10 * time.Millisecond)
	}
	if wait, ok := l.Allow("busy"); ok || wait <= 0 {
		t.Error("an empty bucket was forgotten")
	}
	for i := range 2 * maxCallers {
		l.Allow("flood " + strconv.Itoa(i))
	}
	if n := l.recent.Len(); n > maxCallers || n != len(l.callers) {
		t.Errorf("%d callers are remembered, %d by name", n, len(l.callers))
	}
}
