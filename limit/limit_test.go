package limit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hufu-id/hufu/limit"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	l := limit.New(limit.Rate{PerSecond: 2, Burst: 3}, func() time.Time { return now })
	take := func(n int) (got int) {
		for range n {
			if _, ok := l.Allow("a"); ok {
				got++
			}
		}
		return got
	}
	if got := take(5); got != 3 {
		t.Errorf("a burst of %d", got)
	}
	if wait, ok := l.Allow("a"); ok || wait != 500*time.Millisecond {
		t.Errorf("wait %s, %t", wait, ok)
	}
	now = now.Add(time.Second)
	if got := take(5); got != 2 {
		t.Errorf("%d in a second", got)
	}
	now = now.Add(time.Hour)
	if got := take(9); got != 3 {
		t.Errorf("%d after an hour", got)
	}
	now = now.Add(-time.Hour) // a clock set back gives nothing and takes nothing
	if got := take(2); got != 0 {
		t.Errorf("%d from a clock set back", got)
	}
	// Callers without number use bounded memory, and one of them being remembered is no matter of luck.
	if _, ok := l.Allow("b"); !ok {
		t.Error("another caller waits for the first")
	}
	for i := range 200_000 {
		l.Allow(fmt.Sprint(i))
	}
	if got := take(3); got != 3 {
		t.Errorf("the first caller, forgotten, gets %d", got)
	}
}
