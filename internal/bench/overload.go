package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
)

// OverloadFigures say what becomes of a network that is offered twice what it carries, by callers who do not
// wait for one another.
type OverloadFigures struct {
	Seconds         float64 `json:"seconds"`
	OfferedPerS     float64 `json:"offered_per_s"`
	Offered         int     `json:"offered"`
	Refused         int     `json:"refused_busy"`  // with "busy", at once: the caller may come again
	Accepted        int     `json:"accepted"`      // and committed, every one
	TxPerS          float64 `json:"tx_per_s"`      // committed while the load lasted
	Blocks          int     `json:"blocks"`        // meanwhile
	CommitP50Millis float64 `json:"commit_p50_ms"` // of those accepted, from when they were due to be offered
	CommitP99Millis float64 `json:"commit_p99_ms"`
	AnswerP99Millis float64 `json:"answer_p99_ms"` // until a caller knew whether it was accepted
}

// OverloadP99Bar is the most that CommitP99Millis may be.
const OverloadP99Bar = 3000

// offerStep is how often transactions that are due are offered.
const offerStep = time.Millisecond

// overload offers twice the rate that was carried for a while. Nothing that was accepted may be lost.
func (l *ledgerBench) overload(ctx context.Context, carried float64) (*OverloadFigures, error) {
	f := &OverloadFigures{OfferedPerS: 2 * carried, Seconds: l.Overload.Seconds()}
	f.Offered = max(1, int(f.OfferedPerS*f.Seconds))
	txs, err := l.make(len(l.txs)+l.Latency, f.Offered)
	if err != nil {
		return nil, err
	}
	err = l.with(ctx, node.Start, func(v *validators) error {
		first := v.nodes[0].Height()
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		watch, ended := context.WithCancel(ctx)
		var seen []progressAt
		var watcher sync.WaitGroup
		watcher.Go(func() { seen = watchCommits(watch, v.nodes[0]) })
		start := time.Now()
		calls := make([]call, len(txs))
		var group sync.WaitGroup
		for next := 0; next < len(txs) && ctx.Err() == nil; time.Sleep(offerStep) {
			for due := min(len(txs), 1+int(time.Since(start).Seconds()*f.OfferedPerS)); next < due; next++ {
				i := next
				group.Go(func() {
					c := &calls[i]
					c.due = start.Add(time.Duration(float64(i) / f.OfferedPerS * float64(time.Second)))
					err := v.of(i).Broadcast(ctx, txs[i])
					c.answered = time.Now()
					switch {
					case err == nil:
						c.accepted = true
					case hufu.RuleOf(err) != proof.RuleBusy:
						stop(err)
					}
				})
			}
		}
		f.Blocks = int(v.nodes[0].Height() - first)
		f.TxPerS = perSecond(int(v.nodes[0].Transactions()), time.Since(start))
		group.Wait()
		for i := range calls {
			if calls[i].accepted {
				f.Accepted++
			}
		}
		f.Refused = f.Offered - f.Accepted
		err := v.committed(ctx, f.Accepted)
		ended()
		watcher.Wait()
		return errors.Join(err, f.latencies(v.nodes[0], txs, calls, seen))
	})
	return f, err
}

// call is what became of one transaction.
type call struct {
	due, answered time.Time
	accepted      bool
}

// progressAt is how many transactions were committed at a time.
type progressAt struct {
	at  time.Time
	txs uint64
}

// watchCommits notes when n commits transactions, until the context ends.
func watchCommits(ctx context.Context, n *node.Node) []progressAt {
	var seen []progressAt
	last := n.Transactions()
	look := func() {
		if now := n.Transactions(); now != last {
			seen, last = append(seen, progressAt{time.Now(), now}), now
		}
	}
	for {
		look()
		select {
		case <-ctx.Done():
			look()
			return seen
		case <-time.After(offerStep):
		}
	}
}

// latencies reads the blocks to see which commit each transaction was in.
func (f *OverloadFigures) latencies(n *node.Node, txs [][]byte, calls []call, seen []progressAt) error {
	due := make(map[string]*call, len(txs))
	var answers []float64
	for i := range calls {
		due[string(txs[i])] = &calls[i]
		answers = append(answers, millis(calls[i].answered.Sub(calls[i].due)))
	}
	var commits []float64
	var position uint64
	for h := hufu.Height(1); h <= n.Height(); h++ {
		block, err := n.Block(h)
		if err != nil {
			return err
		}
		for _, raw := range block.Txs {
			for len(seen) > 0 && seen[0].txs <= position {
				seen = seen[1:]
			}
			position++
			c := due[string(raw)]
			if c == nil || len(seen) == 0 {
				return errors.New("bench: a block has a transaction that nobody offered")
			}
			commits = append(commits, millis(seen[0].at.Sub(c.due)))
		}
	}
	if len(commits) < f.Accepted {
		return errors.New("bench: what was accepted is not in the blocks")
	}
	f.CommitP50Millis, f.CommitP99Millis = quantile(commits, 0.5), quantile(commits, 0.99)
	f.AnswerP99Millis = quantile(answers, 0.99)
	return nil
}
