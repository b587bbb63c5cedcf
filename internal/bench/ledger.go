package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	Dir          string // for homes, each removed afterwards; required
	Transactions int    // in a round; 10,000
	Rounds       int    // of each kind of node; 3
	Submitters   int    // goroutines that offer transactions; 1,024
	Latency      int    // transactions sent one by one; 200
	Progress     Progress
}

// LedgerFigures compare a network of one validator with the same node and an application that does
// nothing. A transaction creates an identifier: one Ed25519 signature.
type LedgerFigures struct {
	Transactions int     `json:"transactions"` // in a round
	Rounds       int     `json:"rounds"`
	Cores        int     `json:"cores"`
	TxBytes      int     `json:"tx_bytes"`
	TxPerS       float64 `json:"tx_per_s"`      // committed, everything checked; median of the rounds
	BareTxPerS   float64 `json:"bare_tx_per_s"` // committed by the engine with an application that does nothing
	Ratio        float64 `json:"ratio"`         // the first ÷ the second; median of the rounds
	BlockTxs     float64 `json:"block_txs"`     // in a block, on average

	CPU LedgerCPU `json:"cpu_micros_per_tx"`

	ComposedTxPerS   float64 `json:"composed_tx_per_s"`  // cores ÷ the processor time of engine, verification and store, each alone
	ComposedRatio    float64 `json:"composed_ratio"`     // TxPerS ÷ that
	ComposedCPURatio float64 `json:"composed_cpu_ratio"` // engine, verification and store alone ÷ all of the real node's processor time
	CommitP50Millis  float64 `json:"commit_p50_ms"`      // from offering to committed, one transaction at a time
	CommitP99Millis  float64 `json:"commit_p99_ms"`      //
	ProvenP50Millis  float64 `json:"proven_p50_ms"`      // the same through the verifying client: from offering to a receipt that is proven
	ProvenP99Millis  float64 `json:"proven_p99_ms"`      //
}

// LedgerBar is the least that Ratio may be.
const LedgerBar = 0.15

// LedgerCPU splits processor time in microseconds per transaction. Engine, Verification and Store
// were measured each alone, Rules too; Rest is what the real node takes beyond them: admission,
// queues, reading each transaction, and what working at once costs.
type LedgerCPU struct {
	Total        float64 `json:"total"`        // of the real node
	Engine       float64 `json:"engine"`       // of the bare node
	Verification float64 `json:"verification"` // one signature in a batch
	Store        float64 `json:"store"`        // staging and committing the records, with an fsync for each block
	Rules        float64 `json:"rules"`        // parsing, admission and execution
	Rest         float64 `json:"rest"`
}

func (c *LedgerConfig) defaults() {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Transactions, 10_000}, {&c.Rounds, 3}, {&c.Submitters, 1024}, {&c.Latency, 200}} {
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

// MeasureLedger runs both kinds of node in turns, then the parts alone, then single transactions.
func MeasureLedger(ctx context.Context, c LedgerConfig) (LedgerFigures, error) {
	c.defaults()
	f := LedgerFigures{Transactions: c.Transactions, Rounds: c.Rounds, Cores: runtime.GOMAXPROCS(0)}
	network, err := sample.New("bench", 1)
	if err != nil {
		return f, err
	}
	l := &ledgerBench{LedgerConfig: c, network: network}
	if l.txs, err = l.make(0, c.Transactions); err != nil {
		return f, err
	}
	f.TxBytes = len(l.txs[0])
	if err := l.throughput(ctx, &f); err != nil {
		return f, err
	}
	if err := l.parts(ctx, &f); err != nil {
		return f, err
	}
	cores := float64(f.Cores)
	alone := f.CPU.Engine + f.CPU.Verification + f.CPU.Store
	f.CPU.Rest = f.CPU.Total - alone - f.CPU.Rules
	f.ComposedTxPerS = cores * 1e6 / alone
	f.ComposedRatio = f.TxPerS / f.ComposedTxPerS
	f.ComposedCPURatio = alone / f.CPU.Total
	return f, l.latency(ctx, &f)
}

type ledgerBench struct {
	LedgerConfig
	network *sample.Network
	txs     [][]byte
	homes   int
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

// with runs work on a new node, which is gone afterwards.
func (l *ledgerBench) with(ctx context.Context, start func(context.Context, node.Config, node.Keys) (*node.Node, error), work func(*node.Node) error) error {
	l.homes++
	dir := filepath.Join(l.Dir, fmt.Sprintf("node-%d", l.homes))
	if err := node.InitHome(dir, l.network.Genesis); err != nil {
		return err
	}
	n, err := start(ctx, node.Config{Home: dir}, l.network.Members[0].Keys)
	if err != nil {
		return err
	}
	err = work(n)
	return errors.Join(err, n.Stop(), n.Err(), os.RemoveAll(dir))
}

// throughput lets both kinds of node commit all transactions, in turns.
func (l *ledgerBench) throughput(ctx context.Context, f *LedgerFigures) error {
	var ours, bare, ratios []float64
	var total, engine spent
	var blocks hufu.Height
	for range l.Rounds {
		var took [2]spent
		for i, start := range []func(context.Context, node.Config, node.Keys) (*node.Node, error){node.StartBare, node.Start} {
			if err := l.with(ctx, start, func(n *node.Node) error {
				before := n.Height()
				var err error
				took[i], err = measure(func() error { return l.load(ctx, n) })
				if i == 1 {
					blocks += n.Height() - before
				}
				return err
			}); err != nil {
				return err
			}
		}
		engine.add(took[0])
		total.add(took[1])
		bare = append(bare, perSecond(l.Transactions, took[0].wall))
		ours = append(ours, perSecond(l.Transactions, took[1].wall))
		ratios = append(ratios, took[0].wall.Seconds()/took[1].wall.Seconds())
	}
	all := l.Rounds * l.Transactions
	f.TxPerS, f.BareTxPerS, f.Ratio = median(ours), median(bare), median(ratios)
	f.CPU.Total, f.CPU.Engine = micros(all, total.cpu), micros(all, engine.cpu)
	f.BlockTxs = float64(all) / float64(max(blocks, 1))
	return nil
}

// window bounds the transactions that wait for a block, below where the node refuses more.
const window = 16_384

// load offers all transactions and waits until they are committed.
func (l *ledgerBench) load(ctx context.Context, n *node.Node) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan []byte)
	var group sync.WaitGroup
	for range min(l.Submitters, len(l.txs)) {
		group.Go(func() {
			for raw := range next {
				if err := offer(ctx, n, raw); err != nil {
					stop(err)
				}
			}
		})
	}
	for i, raw := range l.txs {
		if err := l.until(ctx, n, max(0, i+1-window)); err != nil {
			break
		}
		next <- raw
		if (i+1)%100 == 0 || i+1 == len(l.txs) {
			l.Progress.done((i % 100) + 1)
		}
	}
	close(next)
	group.Wait()
	return l.until(ctx, n, len(l.txs))
}

// until waits for the node to have committed this many transactions.
func (l *ledgerBench) until(ctx context.Context, n *node.Node, committed int) error {
	for n.Transactions() < uint64(committed) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.Done():
			return errors.Join(errors.New("bench: the node stopped"), n.Err())
		case <-time.After(100 * time.Microsecond):
		}
	}
	return context.Cause(ctx)
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

// latency sends transactions one by one, half watched at the node and half through the verifying client.
func (l *ledgerBench) latency(ctx context.Context, f *LedgerFigures) error {
	txs, err := l.make(len(l.txs), l.Latency)
	if err != nil {
		return err
	}
	var commit, proven []float64
	err = l.with(ctx, node.Start, func(n *node.Node) error {
		c, done, err := l.client(n)
		if err != nil {
			return err
		}
		defer done()
		for i, raw := range txs {
			start := time.Now()
			if i%2 == 0 {
				if err := offer(ctx, n, raw); err != nil {
					return err
				}
				if err := l.until(ctx, n, i+1); err != nil {
					return err
				}
				commit = append(commit, millis(time.Since(start)))
			} else {
				if _, err := c.Submit(ctx, raw); err != nil {
					return err
				}
				proven = append(proven, millis(time.Since(start)))
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

// lightPause between transactions makes the load a light one: the node is idle when each comes.
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
