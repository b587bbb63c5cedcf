package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// batchSize is the signatures in a batch: from here on, batches get no cheaper per signature.
const batchSize = 1024

// parts is what the ledger is composed of.
type parts struct{ verification, execution, storing spent }

// parts measures each alone in the process, with as many transactions in a block as the real nodes had, and adds to sum.
func (l *ledgerBench) parts(ctx context.Context, f *LedgerFigures, sum *parts) error {
	verifying, err := l.verification()
	if err != nil {
		return err
	}
	executing, commits, err := l.execution(ctx, max(1, int(f.BlockTxs)), f)
	if err != nil {
		return err
	}
	storing, err := l.storing(ctx, commits)
	if err != nil {
		return err
	}
	sum.verification.add(verifying)
	sum.execution.add(executing)
	sum.storing.add(storing)
	return nil
}

// verification verifies every signature in batches, by the ledger's rule, on one goroutine.
func (l *ledgerBench) verification() (spent, error) {
	type check struct{ key, message, sig []byte }
	checks := make([]check, len(l.txs))
	for i, raw := range l.txs {
		t, err := tx.Parse(raw, l.network.Name)
		if err != nil {
			return spent{}, err
		}
		checks[i] = check{t.ControlKeys()[0].Raw(), t.SigningBytes(0), t.Signatures[0].Sig}
	}
	options := &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215}
	return measure(func() error {
		for from := 0; from < len(checks); from += batchSize {
			part := checks[from:min(from+batchSize, len(checks))]
			batch := ed25519.NewBatchVerifierWithCapacity(len(part)).ForceNoPublicKeyExpansion() // as they are large
			for _, c := range part {
				batch.AddWithOptions(c.key, c.message, c.sig, options)
			}
			if !batch.VerifyBatchOnly(rand.Reader) {
				return errors.New("bench: a signature does not hold")
			}
		}
		return nil
	})
}

// execution runs blocks of all transactions without an engine, and says what it committed, from genesis on.
func (l *ledgerBench) execution(ctx context.Context, blockTxs int, f *LedgerFigures) (took spent, commits []commit, err error) {
	disk, done, err := l.emptyStore()
	if err != nil {
		return took, nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	noted := &notedStore{Store: disk}
	e := node.NewExecutor(l.network.Name, noted)
	var genesis struct {
		Time time.Time `json:"genesis_time"`
	}
	if err := json.Unmarshal(l.network.Genesis, &genesis); err != nil {
		return took, nil, err
	}
	if _, err := e.Genesis(l.network.Doc, genesis.Time); err != nil {
		return took, nil, err
	}
	before, err := stateSize(disk)
	if err != nil {
		return took, nil, err
	}
	took, err = measure(func() error {
		height := hufu.Height(0)
		for from := 0; from < len(l.txs); from += blockTxs {
			if err := ctx.Err(); err != nil {
				return err
			}
			height++
			b := node.Block{Height: height, Time: genesis.Time, Txs: l.txs[from:min(from+blockTxs, len(l.txs))]}
			o, err := e.Run(b)
			if err != nil {
				return err
			}
			if err := e.Commit(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return took, nil, err
	}
	after, err := stateSize(disk)
	f.State.Records = float64(after.records-before.records) / float64(len(l.txs))
	f.State.Bytes = float64(after.bytes-before.bytes) / float64(len(l.txs))
	return took, noted.commits, err
}

// storing makes the same commits in a store that nobody asked for anything before, and counts those after genesis.
func (l *ledgerBench) storing(ctx context.Context, commits []commit) (took spent, err error) {
	disk, done, err := l.emptyStore()
	if err != nil {
		return took, err
	}
	defer func() { err = errors.Join(err, done()) }()
	run := func(commits []commit) error {
		for _, c := range commits {
			if err := ctx.Err(); err != nil {
				return err
			}
			staged, err := disk.Stage(c.changes)
			if err != nil {
				return err
			}
			if err := disk.Commit(staged, c.height, c.meta); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(commits[:1]); err != nil {
		return took, err
	}
	return measure(func() error { return run(commits[1:]) })
}

func (l *ledgerBench) emptyStore() (disk store.Store, done func() error, err error) {
	dir := filepath.Join(l.Dir, "state")
	if disk, err = store.Open(dir, store.Options{}); err != nil {
		return nil, nil, err
	}
	return disk, func() error { return errors.Join(disk.Close(), os.RemoveAll(dir)) }, nil
}

// LedgerState is what a transaction adds to the state.
type LedgerState struct {
	Records float64 `json:"records"`
	Bytes   float64 `json:"bytes"` // of their keys and values
}

type size struct{ records, bytes int }

func stateSize(s store.Store) (n size, err error) {
	snap, err := s.Snapshot()
	if err != nil {
		return n, err
	}
	for r, err := range snap.Records() {
		if err != nil {
			return n, errors.Join(err, snap.Close())
		}
		n.records++
		n.bytes += len(r.Key) + len(r.Value)
	}
	return n, snap.Close()
}

// commit is what one commit of a store is given.
type commit struct {
	changes []store.Change
	height  hufu.Height
	meta    []byte
}

// notedStore notes what is committed. What is staged is committed next.
type notedStore struct {
	store.Store
	staged  []store.Change
	commits []commit
}

func (n *notedStore) Stage(changes []store.Change) (*store.Staged, error) {
	n.staged = changes
	return n.Store.Stage(changes)
}

func (n *notedStore) Commit(s *store.Staged, height hufu.Height, meta []byte) error {
	n.commits = append(n.commits, commit{n.staged, height, meta})
	return n.Store.Commit(s, height, meta)
}
