package bench

import (
	"context"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Progress is told of each step of a measurement as it is done. It may be nil.
type Progress func(steps int)

func (p Progress) done(steps int) {
	if p != nil {
		p(steps)
	}
}

// CPUTime is the processor time this process has used, garbage collection and the system's part
// included: on one goroutine it is nearly one core's, and it stays the same when the machine has other
// work.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// PeakMemory is the most memory in bytes that this process has had resident at once, so far.
func PeakMemory() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	peak := int64(u.Maxrss)       //nolint:unconvert // another type on other systems
	if runtime.GOOS != "darwin" { // which counts bytes, the others KiB
		peak <<= 10
	}
	return peak
}

// spent is what some work took.
type spent struct{ cpu, wall time.Duration }

// measure runs work and says what it took.
func measure(work func() error) (spent, error) {
	cpu, wall := CPUTime(), time.Now()
	err := work()
	return spent{CPUTime() - cpu, time.Since(wall)}, err
}

func (s *spent) add(o spent) { s.cpu, s.wall = s.cpu+o.cpu, s.wall+o.wall }

// perSecond is how often n units of work would fit into a second of d.
func perSecond(n int, d time.Duration) float64 { return float64(n) / max(d.Seconds(), 1e-9) }

// micros is the time of one of n units of work in microseconds.
func micros(n int, d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(n) }

// duel does two kinds of work in turns and compares what they take.
type duel struct {
	ours, bare spent // in sum
	rounds     int
}

// round does both once. Which goes first alternates, so that neither always finds the other's caches.
func (d *duel) round(ctx context.Context, ours, bare func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	order := []struct {
		work func() error
		took *spent
	}{{ours, &d.ours}, {bare, &d.bare}}
	if d.rounds%2 == 1 {
		slices.Reverse(order)
	}
	for _, o := range order {
		took, err := measure(o.work)
		if err != nil {
			return err
		}
		o.took.add(took)
	}
	d.rounds++
	return nil
}

// ratio is the processor time of ours ÷ that of the bare work, in sum: what garbage collection takes
// falls on some rounds only.
func (d *duel) ratio() float64 { return d.ours.cpu.Seconds() / max(d.bare.cpu.Seconds(), 1e-9) }

// wallRatio is the same of elapsed time.
func (d *duel) wallRatio() float64 { return d.ours.wall.Seconds() / max(d.bare.wall.Seconds(), 1e-9) }

func median(of []float64) float64 { return quantile(of, 0.5) }

// quantile is the smallest of the values that is not less than a share q of them.
func quantile(of []float64, q float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
