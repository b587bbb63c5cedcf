package node

import "time"

const (
	// paceSpan is how far back a pace looks, paceMarks how many marks it looks at however old they are: blocks may
	// be further apart.
	paceSpan  = 2 * time.Second
	paceMarks = 4
	// paceStep is how close marks may be: what comes sooner is added to the one before.
	paceStep = 10 * time.Millisecond
	// paceLeast is the shortest time that a pace is measured over: a block that came right after another says
	// little.
	paceLeast = 250 * time.Millisecond
)

// pace is how fast work was done lately. What waits for it waits as long as its amount divided by that: a queue
// that is bounded by a number alone is a short wait on one machine, and a long one on another. The times given
// never decrease; they are this node's own affair, and no part of consensus.
type pace struct {
	marks []paceMark // oldest first
	sum   float64    // of all marks but the oldest
}

// paceMark is an amount that was done until a time, since the mark before.
type paceMark struct {
	at     time.Time
	amount float64
}

// done notes that an amount was done.
func (p *pace) done(amount float64, at time.Time) {
	if n := len(p.marks); n > 1 && at.Sub(p.marks[n-1].at) < paceStep {
		p.marks[n-1].amount += amount
		p.sum += amount
		return
	}
	if len(p.marks) > 0 {
		p.sum += amount
	}
	p.marks = append(p.marks, paceMark{at, amount})
	for len(p.marks) > paceMarks+1 && at.Sub(p.marks[1].at) >= paceSpan {
		p.marks = p.marks[1:]
		p.sum -= p.marks[0].amount
	}
}

// within is how much would be done in d from now on, and at least in three times what lies between two marks: work
// that is done by the block waits for the one that is being made, and for its own.
func (p *pace) within(d time.Duration, now time.Time) float64 {
	if len(p.marks) < 2 {
		return 0
	}
	took := max(now.Sub(p.marks[0].at), paceLeast)
	apart := took / time.Duration(len(p.marks)-1)
	return p.sum / took.Seconds() * max(d, 3*apart).Seconds()
}
