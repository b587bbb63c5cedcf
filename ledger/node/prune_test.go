package node

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
)

// chainOf has blocks from base on, at these times.
type chainOf struct {
	base  int64
	times []time.Time
}

func (c *chainOf) Base() int64 { return c.base }

func (c *chainOf) timeOf(height int64) (time.Time, bool) {
	if height < c.base || height >= c.base+int64(len(c.times)) {
		return time.Time{}, false
	}
	return c.times[height-c.base], true
}

// Nothing goes that is younger than promised, or that evidence may be about, and nothing that a joining node needs after the
// oldest snapshot; what may go goes, but for less than a step.
func TestRetain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := chainOf{base: rapid.Int64Range(1, 1000).Draw(t, "base")}
		at := time.Unix(1_760_000_000, 0)
		for range rapid.IntRange(1, 500).Draw(t, "blocks") {
			c.times = append(c.times, at)
			at = at.Add(time.Duration(rapid.Int64Range(1, int64(3*time.Hour)).Draw(t, "pause")))
		}
		// Most networks have made so many blocks that the last ones are not all.
		stay := rapid.SampledFrom([]int64{20, evidenceBlocks}).Draw(t, "stay")
		ahead := rapid.SampledFrom([]int64{0, max(0, stay-300), stay}).Draw(t, "ahead")
		last := c.base + int64(len(c.times)) - 1
		tip := last + ahead
		now := c.times[len(c.times)-1]
		retain := time.Duration(rapid.Int64Range(1, int64(1000*time.Hour)).Draw(t, "retain"))
		oldest := rapid.Int64Range(0, last).Draw(t, "oldest")
		first := int64(retention{retain, stay}.first(&c, hufu.Height(tip), now, hufu.Height(oldest)))

		allowed := c.base // the first that must stay
		for allowed <= last && c.times[allowed-c.base].Before(now.Add(-retain)) && (oldest == 0 || allowed <= oldest) && allowed+stay < tip {
			allowed++
		}
		switch {
		case first > allowed:
			t.Fatalf("from %d on are kept, and %d had to be", first, allowed)
		case first != 0 && first < allowed:
			t.Fatalf("from %d on are kept, and those from %d on suffice", first, allowed)
		case first == 0 && allowed >= c.base+pruneStep:
			t.Fatalf("nothing goes, and all before %d might", allowed)
		}
	})
}
