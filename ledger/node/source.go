package node

import (
	"strings"
	"sync"
	"time"

	"github.com/cometbft/cometbft/p2p"
)

// source is where a transaction was handed in: the address of a client of the RPC, or a peer. Local
// is never held back for bad ones.
type source string

const (
	peerMark = "peer "         // is in no address
	local    = source("local") // this process, in the place of a client
)

func peerSource(id p2p.ID) source { return source(peerMark + id) }

// client reports whether it is a client of the RPC, or of this process in its place.
func (s source) client() bool { return !strings.HasPrefix(string(s), peerMark) }

// What comes with a signature that does not hold, or cannot be read, is nobody's transaction: no quota pays for
// looking at it. So its source does: after maxBad of them it is not listened to until they are forgotten, one in
// badForgotten. An honest client sends none; an honest peer passes on what it has checked.
//
// What the state refuses, as what has no quota, is held against nobody, whether its signatures hold or not: they are not
// looked at. At the end of a quota or behind by a block, an honest peer passes on thousands of it. Whoever wants to have
// it refused here for nothing need not forge: a key of their own signs it as well. It costs less than one signature,
// and a source has no more of it on its way than its share of the intake.
const (
	maxBad       = 32
	badForgotten = time.Second
	// maxSources bounds the sources that are remembered. Those who sent nothing bad are not.
	maxSources = 4096
)

// standings remembers who sent bad transactions.
type standings struct {
	now func() time.Time

	mu sync.Mutex
	of map[source]*standing
}

// standing is how many bad ones count, as of a time.
type standing struct {
	bad float64
	at  time.Time
}

func newStandings() *standings {
	return &standings{now: time.Now, of: map[source]*standing{}}
}

// bad counts a bad transaction, and reports whether the source is not listened to from now on.
func (s *standings) bad(from source) bool {
	if from == local {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.get(from)
	if x == nil {
		if len(s.of) >= maxSources {
			s.forget()
		}
		x = &standing{at: s.now()}
		s.of[from] = x
	}
	x.bad++
	return x.bad > maxBad
}

// barred reports whether the source is not listened to.
func (s *standings) barred(from source) bool {
	if from == local {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.get(from)
	return x != nil && x.bad > maxBad
}

// get is the source's standing now, nil when it is a good one.
func (s *standings) get(from source) *standing {
	x := s.of[from]
	if x == nil {
		return nil
	}
	now := s.now()
	x.bad -= float64(now.Sub(x.at)) / float64(badForgotten)
	x.at = now
	if x.bad <= 0 {
		delete(s.of, from)
		return nil
	}
	return x
}

// forget makes room: by time, and where that is not enough at random, as one who has so many addresses is held
// back by none of them.
func (s *standings) forget() {
	for from := range s.of {
		s.get(from)
	}
	for from := range s.of {
		if len(s.of) < maxSources {
			return
		}
		delete(s.of, from)
	}
}
