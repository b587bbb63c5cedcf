package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
)

// Report is what a replay found.
type Report struct {
	Network      hufu.Network `json:"network"`
	Blocks       int          `json:"blocks"`       // replayed, from block 1
	Transactions int          `json:"transactions"` // in them
	Refused      int          `json:"refused"`      // of those, by a rule; they changed nothing
	Height       hufu.Height  `json:"height"`       // of the last block replayed
	AppHash      hufu.Digest  `json:"app_hash"`     // that the replay came to
	AppHashMatch bool         `json:"app_hash_match"`
	Divergence   *Divergence  `json:"divergence,omitempty"`  // where the ledger is not what it should be
	Convictions  []Conviction `json:"convictions,omitempty"` // of validators, the newest first
	PerBlock     []int        `json:"-"`                     // transactions of each block, from block 1
}

// Divergence is the first thing that does not agree.
type Divergence struct {
	Height hufu.Height `json:"height"`
	What   string      `json:"what"`
}

func (d *Divergence) Error() string { return fmt.Sprintf("audit: at height %d: %s", d.Height, d.What) }

// Replayed is a finished replay: the report, and the state it came to as a [client.View].
type Replayed struct {
	Report
	store store.Store
	asOf  hufu.AsOf
}

// Get is the value of key in the replayed state, nil when there is none.
func (r *Replayed) Get(key []byte) ([]byte, error) { return r.store.Get(key) }

// AsOf says for which state the replay's answers hold.
func (r *Replayed) AsOf() hufu.AsOf { return r.asOf }

// Network is the replayed network.
func (r *Replayed) Network() hufu.Network { return r.Report.Network }

// Close frees the replayed state.
func (r *Replayed) Close() error { return r.store.Close() }

// Options are a replay's settings.
type Options struct {
	Until hufu.Height                // last block; 0: all there are
	Now   func() time.Time           // optional: the clock
	Seen  func(record []byte)        // optional: is given every transaction, and every key and value of the state at the end
	Tick  func(done, of hufu.Height) // optional: progress
}

// trustingPeriod is long: an audit judges from genesis, whose validators nobody has replaced behind its
// back, as it follows every header.
const trustingPeriod = 100 * 365 * 24 * time.Hour

// Replay runs every block of the node behind t through the ledger's rules, from the genesis file. A
// ledger that is not what its rules and signatures make it is no error but a Divergence in the report;
// an error is that it could not be read.
func Replay(ctx context.Context, genesis []byte, t client.Transport, o Options) (*Replayed, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r, err := begin(genesis)
	if err != nil {
		return nil, err
	}
	defer r.exec.Close()
	last, err := latest(ctx, t, o.Until)
	if err == nil {
		err = r.run(ctx, t, &o, last)
	}
	var divergence *Divergence
	if errors.As(err, &divergence) {
		r.out.Divergence, err = divergence, nil
	}
	if err == nil {
		r.out.Convictions, err = Convictions(r.out, r.out.Report.Network)
	}
	if err == nil && o.Seen != nil {
		err = r.showState(o.Seen)
	}
	if err != nil {
		return nil, errors.Join(err, r.out.store.Close())
	}
	r.out.AppHashMatch = r.out.Divergence == nil && r.out.Blocks > 0
	return r.out, nil
}

type replay struct {
	exec       *node.Executor
	out        *Replayed
	trusted    proof.Trusted
	rules      proof.Rules
	validators map[[32]byte]int64 // power by key, as the rules make them
}

func begin(genesis []byte) (*replay, error) {
	g, err := types.GenesisDocFromJSON(genesis)
	if err != nil {
		return nil, fmt.Errorf("audit: genesis: %w", err)
	}
	doc, err := machine.ParseGenesis(g.AppState)
	if err != nil {
		return nil, err
	}
	trust, err := client.ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	st := store.NewMemory()
	r := &replay{
		exec: node.NewExecutor(trust.Network, st), out: &Replayed{store: st},
		trusted: proof.TrustGenesis(trust.GenesisTime, trust.Validators),
		rules:   proof.Rules{Network: trust.Network, Period: trustingPeriod, Drift: client.DefaultDrift},
	}
	r.out.Report.Network = trust.Network
	vals, err := r.exec.Genesis(doc, g.GenesisTime)
	if err != nil {
		r.exec.Close()
		return nil, err
	}
	r.appoint(vals)
	return r, nil
}

// latest waits for until, or block 1 at least, and is the last height whose state a header signs. The
// node is believed no more than that there is something to read: every header is verified.
func latest(ctx context.Context, t client.Transport, until hufu.Height) (hufu.Height, error) {
	least := max(until, 1)
	data, err := encoding.Marshal(least)
	if err != nil {
		return 0, err
	}
	for {
		raw, err := t.Query(ctx, proof.PathAwait, data)
		if err != nil {
			return 0, fmt.Errorf("audit: the node's height: %w", err)
		}
		var height hufu.Height
		if err := encoding.Unmarshal(raw, &height); err != nil {
			return 0, fmt.Errorf("audit: the node's height: %w", err)
		}
		switch {
		case height <= least:
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
		case until != 0:
			return until, nil
		default:
			return height - 1, nil
		}
	}
}

func (r *replay) run(ctx context.Context, t client.Transport, o *Options, last hufu.Height) error {
	header, err := r.header(ctx, t, 1, o.Now())
	if err != nil {
		return err
	}
	for h := hufu.Height(1); h <= last; h++ {
		outcome, err := r.block(ctx, t, header, o)
		if err != nil {
			return err
		}
		if header, err = r.header(ctx, t, h+1, o.Now()); err != nil {
			return err
		}
		results := make([]proof.Result, len(outcome.Results))
		for i := range outcome.Results {
			results[i] = outcome.Results[i].Result
			if results[i].Code != 0 {
				r.out.Refused++
			}
		}
		if root := proof.ResultsRoot(results); !bytes.Equal(root[:], header.LastResultsHash) {
			return &Divergence{h, "the results of the block's transactions are others than the ledger says"}
		}
		if err := r.exec.Commit(outcome); err != nil {
			return err
		}
		r.appoint(outcome.Validators)
		if hash := r.announced(); !bytes.Equal(hash[:], header.NextValidatorsHash) {
			return &Divergence{h, "the validators after the block are not those that the members decided on"}
		}
		root := outcome.Root()
		if !bytes.Equal(root[:], header.AppHash) {
			return &Divergence{h, fmt.Sprintf("the state after the block is %s, the ledger says %x", root, header.AppHash)}
		}
		r.out.Blocks++
		r.out.Height, r.out.AppHash, r.out.asOf = h, root, header.AsOf()
		if o.Tick != nil {
			o.Tick(h, last)
		}
	}
	return nil
}

// header fetches and verifies the header after the last one.
func (r *replay) header(ctx context.Context, t client.Transport, height hufu.Height, now time.Time) (*proof.Header, error) {
	sh, err := t.SignedHeader(ctx, height)
	if err != nil {
		return nil, fmt.Errorf("audit: header %d: %w", height, err)
	}
	vals, err := t.Validators(ctx, height)
	if err != nil {
		return nil, fmt.Errorf("audit: validators of %d: %w", height, err)
	}
	b := &proof.LightBlock{SignedHeader: *sh, Validators: vals}
	if err := r.rules.VerifyAdjacent(&r.trusted, b, now); err != nil {
		return nil, &Divergence{height, "the header: " + err.Error()}
	}
	// Of two blocks of one height that the validators signed, only one can be the one before this.
	if height > 1 && !bytes.Equal(b.Header.LastBlockID.Hash, r.trusted.Hash[:]) {
		return nil, &Divergence{height, "the header: it does not follow the block before it"}
	}
	r.trusted = b.Trust()
	return &b.Header, nil
}

// appoint applies what a block changes of the validators.
func (r *replay) appoint(updates []machine.ValidatorUpdate) {
	if r.validators == nil {
		r.validators = map[[32]byte]int64{}
	}
	for _, u := range updates {
		if u.Power == 0 {
			delete(r.validators, [32]byte(u.PubKey))
		} else {
			r.validators[[32]byte(u.PubKey)] = int64(u.Power)
		}
	}
}

// announced is the hash of the validators that the next header but one is signed by.
func (r *replay) announced() hufu.Digest {
	set := make([]proof.Validator, 0, len(r.validators))
	for key, power := range r.validators {
		set = append(set, proof.Validator{Key: key, Power: power})
	}
	return proof.NewValidatorSet(set).Hash()
}

func (r *replay) block(ctx context.Context, t client.Transport, header *proof.Header, o *Options) (*node.Outcome, error) {
	txs, err := t.Block(ctx, header.Height)
	if err != nil {
		return nil, fmt.Errorf("audit: block %d: %w", header.Height, err)
	}
	if root := proof.TransactionsRoot(txs); !bytes.Equal(root[:], header.DataHash) {
		return nil, &Divergence{header.Height, "the transactions are not those that the header signs"}
	}
	if o.Seen != nil {
		for _, raw := range txs {
			o.Seen(raw)
		}
	}
	r.out.Transactions += len(txs)
	r.out.PerBlock = append(r.out.PerBlock, len(txs))
	proven, err := r.evidence(ctx, t, header)
	if err != nil {
		return nil, err
	}
	outcome, err := r.exec.Run(node.Block{Height: header.Height, Time: header.Time, Txs: txs, Misbehaviour: proven})
	if hufu.RuleOf(err) != "" {
		return nil, &Divergence{header.Height, "a transaction that may not be there: " + err.Error()}
	}
	return outcome, err
}

func (r *replay) showState(seen func([]byte)) error {
	snap, err := r.out.store.Snapshot()
	if err != nil {
		return err
	}
	for kv, err := range snap.Records() {
		if err != nil {
			return errors.Join(err, snap.Close())
		}
		seen(kv.Key)
		seen(kv.Value)
	}
	return snap.Close()
}
