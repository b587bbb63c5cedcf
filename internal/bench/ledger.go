package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
)

// LedgerConfig says what to measure. Zero fields have the defaults given.
type LedgerConfig struct {
	Dir          string        // for homes, each removed afterwards; required
	Validators   int           // of the network; 1
	Transactions int           // in a round; 10,000
	Rounds       int           // of each kind of node; 3
	Submitters   int           // goroutines that offer transactions; 2,048
	Latency      int           // transactions sent one by one; 200
	Overload     time.Duration // how long twice the carried load is offered; 0: not at all
	Progress     Progress
}

// LedgerFigures compare a network with the same one of nodes with an application that does nothing. A
// transaction creates an identifier: one Ed25519 signature. It counts as committed when all validators have it.
type LedgerFigures struct {
	Validators   int     `json:"validators"`
	Transactions int     `json:"transactions"` // in a round
	Rounds       int     `json:"rounds"`
	Cores        int     `json:"cores"`
	TxBytes      int     `json:"tx_bytes"`
	TxPerS       float64 `json:"tx_per_s"`      // committed, everything checked; median of the rounds
	BareTxPerS   float64 `json:"bare_tx_per_s"` // committed by the engine with an application that does nothing
	Ratio        float64 `json:"ratio"`         // the first ÷ the second; median of the rounds
	BlockTxs     float64 `json:"block_txs"`     // in a block, on average

	CPU   LedgerCPU   `json:"cpu_micros_per_tx"`
	State LedgerState `json:"state_per_tx"`

	ComposedTxPerS   float64 `json:"composed_tx_per_s"`  // cores ÷ the processor time of engine, verification and store, each alone
	ComposedRatio    float64 `json:"composed_ratio"`     // TxPerS ÷ that
	ComposedCPURatio float64 `json:"composed_cpu_ratio"` // engine, verification and store alone ÷ all of the real nodes' processor time
	CommitP50Millis  float64 `json:"commit_p50_ms"`      // from offering to committed where it was offered, one transaction at a time
	CommitP99Millis  float64 `json:"commit_p99_ms"`      //
	ProvenP50Millis  float64 `json:"proven_p50_ms"`      // the same through the verifying client: from offering to a receipt that is proven
	ProvenP99Millis  float64 `json:"proven_p99_ms"`      //
	ReplayTxPerS     float64 `json:"replay_tx_per_s"`    // replayed by an auditor from a node's RPC, everything checked again
	ReplayRatio      float64 `json:"replay_ratio"`       // that ÷ TxPerS

	Overload *OverloadFigures `json:"overload,omitempty"`
}

// Bars: the least that Ratio may be with one validator and that ComposedRatio is to be, the most that a
// commit may take on idle validators, in milliseconds, and the least rate with four validators on two cores.
const (
	LedgerBar         = 0.15
	ComposedGoal      = 0.9
	IdleP50Bar        = 60
	IdleP99Bar        = 250
	FourValidatorsBar = 4000
	ReplayBar         = 1 // the least that ReplayRatio may be
)

// LedgerCPU splits processor time in microseconds per transaction, of all validators together. Engine,
// Verification and Store were measured each alone, Rules too; Rest is what the real nodes take beyond them:
// admission, queues, reading each transaction, and what working at once costs.
type LedgerCPU struct {
	Total        float64 `json:"total"`        // of the real nodes
	Engine       float64 `json:"engine"`       // of the bare nodes
	Verification float64 `json:"verification"` // one signature in a batch, at each validator
	Store        float64 `json:"store"`        // staging and committing the records, with an fsync for each block, at each validator
	Rules        float64 `json:"rules"`        // parsing, admission and execution, at each validator
	Rest         float64 `json:"rest"`
}

func (c *LedgerConfig) defaults() {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Validators, 1}, {&c.Transactions, 10_000}, {&c.Rounds, 3}, {&c.Submitters, 2048}, {&c.Latency, 200}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
}

// Steps is how many steps Progress will be told of.
func (c LedgerConfig) Steps() int {
	c.defaults()
	return 2*c.Rounds*c.Transactions + c.Latency
}

// MeasureLedger runs both kinds of nodes and the parts alone in turns, then too much load, then single
// transactions.
func MeasureLedger(ctx context.Context, c LedgerConfig) (LedgerFigures, error) {
	c.defaults()
	f := LedgerFigures{Validators: c.Validators, Transactions: c.Transactions, Rounds: c.Rounds, Cores: runtime.GOMAXPROCS(0)}
	network, err := sample.New("bench", c.Validators)
	if err != nil {
		return f, err
	}
	defer node.Dedicate(c.Validators)() // both kinds of nodes
	l := &ledgerBench{LedgerConfig: c, network: network}
	if l.txs, err = l.make(0, c.Transactions); err != nil {
		return f, err
	}
	f.TxBytes = len(l.txs[0])
	if err := l.throughput(ctx, &f); err != nil {
		return f, err
	}
	for _, each := range []*float64{&f.CPU.Verification, &f.CPU.Store, &f.CPU.Rules} {
		*each *= float64(c.Validators)
	}
	cores := float64(f.Cores)
	alone := f.CPU.Engine + f.CPU.Verification + f.CPU.Store
	f.CPU.Rest = f.CPU.Total - alone - f.CPU.Rules
	f.ComposedTxPerS = cores * 1e6 / alone
	f.ComposedRatio = f.TxPerS / f.ComposedTxPerS
	f.ComposedCPURatio = alone / f.CPU.Total
	if c.Overload > 0 {
		if f.Overload, err = l.overload(ctx, f.TxPerS); err != nil {
			return f, err
		}
	}
	return f, l.latency(ctx, &f)
}

type ledgerBench struct {
	LedgerConfig
	network  *sample.Network
	txs      [][]byte
	networks int
}

// make signs n transactions, on every processor.
func (l *ledgerBench) make(from, n int) ([][]byte, error) {
	txs, errs := make([][]byte, n), make([]error, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for w := range errs {
		group.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				txs[i], _, errs[w] = l.network.CreateDID(uint64(from + i))
			}
		})
	}
	group.Wait()
	return txs, errors.Join(errs...)
}

// with runs work on a new network, which is gone afterwards.
func (l *ledgerBench) with(ctx context.Context, start starter, work func(*validators) error) error {
	l.networks++
	v, err := startValidators(ctx, start, l.network, filepath.Join(l.Dir, fmt.Sprintf("network-%d", l.networks)))
	if err != nil {
		return err
	}
	return errors.Join(work(v), v.stop())
}

// throughput lets both kinds of nodes commit all transactions, and measures the parts alone, in turns: what the
// machine does to one of them for some seconds it does to the others as well.
func (l *ledgerBench) throughput(ctx context.Context, f *LedgerFigures) error {
	var ours, bare, ratios []float64
	var total, engine spent
	var alone parts
	var blocks hufu.Height
	for round := range l.Rounds {
		var took [2]spent
		for i, start := range []starter{node.StartBare, node.Start} {
			if err := l.with(ctx, start, func(v *validators) error {
				before := v.nodes[0].Height()
				var err error
				took[i], err = measure(func() error { return l.load(ctx, v) })
				if i == 1 {
					blocks += v.nodes[0].Height() - before
				}
				if err == nil && i == 1 && round == l.Rounds-1 {
					f.ReplayTxPerS, err = l.replay(ctx, v)
				}
				return err
			}); err != nil {
				return err
			}
		}
		f.BlockTxs = float64((round+1)*l.Transactions) / float64(max(blocks, 1))
		if err := l.parts(ctx, f, &alone); err != nil {
			return err
		}
		engine.add(took[0])
		total.add(took[1])
		bare = append(bare, perSecond(l.Transactions, took[0].wall))
		ours = append(ours, perSecond(l.Transactions, took[1].wall))
		ratios = append(ratios, took[0].wall.Seconds()/took[1].wall.Seconds())
	}
	all := l.Rounds * l.Transactions
	f.TxPerS, f.BareTxPerS, f.Ratio = median(ours), median(bare), median(ratios)
	f.ReplayRatio = f.ReplayTxPerS / f.TxPerS
	f.CPU.Total, f.CPU.Engine = micros(all, total.cpu), micros(all, engine.cpu)
	f.CPU.Verification, f.CPU.Store = micros(all, alone.verification.cpu), micros(all, alone.storing.cpu)
	// Blocks of transactions that nobody admitted before: execution verifies them, in the same batches.
	f.CPU.Rules = max(0, micros(all, alone.execution.cpu)-f.CPU.Verification-f.CPU.Store)
	return nil
}

// Of one line a node lets as many transactions wait as it commits in a little more than a second, and leastWindow at
// least: what waits here is kept below that, so that nothing is refused and offered again.
const (
	windowTime  = time.Second
	leastWindow = 4000
)

// load offers all transactions, to the validators in turns, and waits until all have committed them.
func (l *ledgerBench) load(ctx context.Context, v *validators) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan int)
	var group sync.WaitGroup
	for range min(l.Submitters, len(l.txs)) {
		group.Go(func() {
			for i := range next {
				if err := offer(ctx, v.of(i), l.txs[i]); err != nil {
					stop(err)
				}
			}
		})
	}
	start := time.Now()
	for i := range l.txs {
		window := max(leastWindow, int(perSecond(v.all(), time.Since(start))*windowTime.Seconds()))
		if err := v.committed(ctx, max(0, i+1-window)); err != nil {
			break
		}
		next <- i
		if (i+1)%100 == 0 || i+1 == len(l.txs) {
			l.Progress.done((i % 100) + 1)
		}
	}
	close(next)
	group.Wait()
	return v.committed(ctx, len(l.txs))
}

// offer offers a transaction until the node has room for it.
func offer(ctx context.Context, n *node.Node, raw []byte) error {
	for {
		err := n.Broadcast(ctx, raw)
		if hufu.RuleOf(err) != proof.RuleBusy {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

// latency sends transactions one by one to the validators in turns, half watched at the node and half through
// the verifying client.
func (l *ledgerBench) latency(ctx context.Context, f *LedgerFigures) error {
	txs, err := l.make(len(l.txs), l.Latency)
	if err != nil {
		return err
	}
	var commit, proven []float64
	err = l.with(ctx, node.Start, func(v *validators) error {
		clients := make([]*client.Client, len(v.nodes))
		for i, n := range v.nodes {
			c, done, err := l.client(n)
			if err != nil {
				return err
			}
			defer done()
			clients[i] = c
		}
		for i, raw := range txs {
			at := i / 2 % len(v.nodes)
			start := time.Now()
			if i%2 == 0 {
				if err := offer(ctx, v.nodes[at], raw); err != nil {
					return err
				}
				if err := (&validators{nodes: v.nodes[at : at+1]}).committed(ctx, i+1); err != nil {
					return err
				}
				commit = append(commit, millis(time.Since(start)))
			} else {
				if _, err := clients[at].Submit(ctx, raw); err != nil {
					return err
				}
				proven = append(proven, millis(time.Since(start)))
			}
			if err := v.committed(ctx, i+1); err != nil {
				return err
			}
			l.Progress.done(1)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(lightPause):
			}
		}
		return nil
	})
	f.CommitP50Millis, f.CommitP99Millis = quantile(commit, 0.5), quantile(commit, 0.99)
	f.ProvenP50Millis, f.ProvenP99Millis = quantile(proven, 0.5), quantile(proven, 0.99)
	return err
}

// lightPause between transactions makes the load a light one: the nodes are idle when each comes.
const lightPause = 20 * time.Millisecond

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func (l *ledgerBench) client(n *node.Node) (c *client.Client, done func(), err error) {
	trust, err := client.ParseGenesis(l.network.Genesis)
	if err != nil {
		return nil, nil, err
	}
	trust.Period = 100 * 365 * 24 * time.Hour // the sample genesis is of a fixed day
	transport, err := client.Dial(n.URL())
	if err != nil {
		return nil, nil, err
	}
	if c, err = client.New(trust, transport, client.Options{}); err != nil {
		return nil, nil, errors.Join(err, transport.Close())
	}
	return c, func() { _, _ = c.Close(), transport.Close() }, nil
}
