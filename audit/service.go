package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Report is what a replay found.
type Report struct {
	Network      hufu.Network    `json:"network"`
	From         hufu.Height     `json:"from"`         // height whose state the replay began with: 0, genesis, or a snapshot's
	Height       hufu.Height     `json:"height"`       // of the last block replayed
	Time         time.Time       `json:"time"`         // of it
	Blocks       int             `json:"blocks"`       // replayed
	Transactions int             `json:"transactions"` // in them
	Refused      int             `json:"refused"`      // of those, by a rule; they changed nothing
	Kinds        map[tx.Kind]int `json:"kinds"`        // transactions of each kind that took effect
	AppHash      hufu.Digest     `json:"app_hash"`     // that the replay came to
	AppHashMatch bool            `json:"app_hash_match"`
	Disk         *Disk           `json:"disk,omitempty"`        // when the blocks are from a node's home
	Divergence   *Divergence     `json:"divergence,omitempty"`  // where the ledger is not what it should be
	Convictions  []Conviction    `json:"convictions,omitempty"` // of validators, the newest first
	PerBlock     []int           `json:"-"`                     // transactions of each block replayed
}

// Disk is how the state in a node's home compares with what its blocks make.
type Disk struct {
	Height  hufu.Height `json:"height"`  // of the state
	Records uint64      `json:"records"` // compared
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

// AsOf says for which state the replay's answers hold: that of the last block replayed, or of the one after
// it when a [Stored] state was compared that is a block ahead of what headers sign.
func (r *Replayed) AsOf() hufu.AsOf { return r.asOf }

// Network is the replayed network.
func (r *Replayed) Network() hufu.Network { return r.Report.Network }

// Close frees the replayed state.
func (r *Replayed) Close() error { return r.store.Close() }

// Options are a replay's settings.
type Options struct {
	From  *client.Snapshot             // begin with its state, not with genesis
	Until hufu.Height                  // last block; 0: all there are
	Now   func() time.Time             // optional: the clock
	Seen  func(record []byte)          // optional: is given every transaction, and every key and value of the state at the end
	Tick  func(height, of hufu.Height) // optional: progress
	// Change is optional: is given every transaction of the blocks that agree, in order. Its error ends
	// the replay.
	Change func(*Change) error
}

// TrustingPeriod is long: an audit follows every header from a beginning that the auditor vouches for, a
// genesis or a snapshot of its own. Nobody has replaced the validators behind its back.
const TrustingPeriod = 100 * 365 * 24 * time.Hour

// Replay runs every block of s through the ledger's rules, from the genesis file or from a snapshot. A
// ledger that is not what its rules and signatures make it is no error but a Divergence in the report;
// an error is that it could not be read. A [Stored] state is compared with what the blocks make,
// record by record, if all blocks up to it are replayed.
func Replay(ctx context.Context, genesis []byte, s Source, o Options) (*Replayed, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r, err := begin(genesis, &o)
	if err != nil {
		return nil, err
	}
	last, err := r.last(ctx, s)
	if err == nil {
		err = r.run(ctx, s, last)
	}
	if stored, ok := s.(Stored); err == nil && ok {
		err = r.compare(ctx, stored)
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
	*Options
	exec       *node.Executor
	out        *Replayed
	trusted    proof.Trusted
	rules      proof.Rules
	validators map[[32]byte]int64 // power by key, as the rules make them
}

func begin(genesis []byte, o *Options) (*replay, error) {
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
		Options: o, exec: node.NewExecutor(trust.Network, st), out: &Replayed{store: st},
		rules: proof.Rules{Network: trust.Network, Period: TrustingPeriod, Drift: client.DefaultDrift},
	}
	r.out.Report = Report{Network: trust.Network, Kinds: map[tx.Kind]int{}}
	if o.From != nil {
		err = r.restore(o.From)
	} else {
		r.trusted = proof.TrustGenesis(trust.GenesisTime, trust.Validators)
		var vals []machine.ValidatorUpdate
		vals, err = r.exec.Genesis(doc, g.GenesisTime)
		r.appoint(vals)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// restore begins with the state of a snapshot, which was verified as it was opened. The replay judges
// the block after it first, whose header signs that state.
func (r *replay) restore(from *client.Snapshot) error {
	if from.Network() != r.out.Report.Network {
		return fmt.Errorf("audit: the snapshot is of %s, the genesis of %s", from.Network(), r.out.Report.Network)
	}
	as := from.AsOf()
	if err := r.out.store.Restore(store.State{Height: as.Height, Root: as.AppHash}, from.Records()); err != nil {
		return err
	}
	vals, err := gov.Validators(r.out.store)
	if err != nil {
		return err
	}
	for _, v := range vals {
		r.appoint([]machine.ValidatorUpdate{machine.ValidatorUpdate(v)})
	}
	r.out.From, r.out.Height, r.out.Time, r.out.AppHash, r.out.asOf = as.Height, as.Height, as.Time, as.AppHash, as
	r.trusted = from.Signed().Trust()
	return nil
}

// last is the last height to replay: until, or what there is whose state a header signs. The source is
// believed no more than that there is something to read: every header is verified.
func (r *replay) last(ctx context.Context, s Source) (hufu.Height, error) {
	least := max(r.Until, r.out.From+1)
	newest, err := s.Newest(ctx, least)
	switch {
	case err != nil:
		return 0, fmt.Errorf("audit: the newest height: %w", err)
	case newest <= least:
		return 0, fmt.Errorf("%w: up to block %d, and for the state after %d the next is needed", ErrTooFew, newest, least)
	case r.Until != 0:
		return r.Until, nil
	}
	return newest - 1, nil
}

// ErrTooFew is for a source that has not as many blocks as were asked for.
var ErrTooFew = errors.New("audit: too few blocks")

func (r *replay) run(ctx context.Context, s Source, last hufu.Height) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	blocks := fetch(ctx, s, r.out.From+1, last)
	b, err := r.next(ctx, blocks)
	if err != nil {
		return err
	}
	for h := r.out.From + 1; h <= last; h++ {
		outcome, err := r.block(ctx, s, &b)
		if err != nil {
			return err
		}
		if b, err = r.next(ctx, blocks); err != nil {
			return err
		}
		if err := r.agree(outcome, &b.Header); err != nil {
			return err
		}
		if r.Tick != nil {
			r.Tick(h, last)
		}
	}
	return nil
}

// next is the next block that was fetched, its header verified.
func (r *replay) next(ctx context.Context, blocks <-chan fetched) (fetched, error) {
	b, ok := <-blocks
	switch {
	case !ok:
		return b, ctx.Err()
	case b.failed != nil:
		return b, b.failed
	}
	return b, r.follow(b.LightBlock)
}

// follow verifies the header after the last one.
func (r *replay) follow(b *proof.LightBlock) error {
	// The one after a snapshot's state is verified: it signs it.
	first := r.From != nil && r.out.Blocks == 0 && b.Header.Height == r.trusted.Height
	if first && b.Header.Hash() == r.trusted.Hash {
		return nil
	}
	height := r.trusted.Height + 1
	if first {
		return &Divergence{r.trusted.Height, "the header is another than the snapshot has, signed"}
	}
	if err := r.rules.VerifyAdjacent(&r.trusted, b, r.Now()); err != nil {
		return &Divergence{height, "the header: " + err.Error()}
	}
	// Of two blocks of one height that the validators signed, only one can be the one before this.
	if height > 1 && !bytes.Equal(b.Header.LastBlockID.Hash, r.trusted.Hash[:]) {
		return &Divergence{height, "the header: it does not follow the block before it"}
	}
	r.trusted = b.Trust()
	return nil
}

// agree commits a block if what it came to is what the header after it signs.
func (r *replay) agree(outcome *node.Outcome, signed *proof.Header) error {
	h := outcome.Block.Height
	results := make([]proof.Result, len(outcome.Results))
	for i := range outcome.Results {
		results[i] = outcome.Results[i].Result
	}
	if root := proof.ResultsRoot(results); !bytes.Equal(root[:], signed.LastResultsHash) {
		return &Divergence{h, "the results of the block's transactions are others than the ledger says"}
	}
	if err := r.exec.Commit(outcome); err != nil {
		return err
	}
	r.appoint(outcome.Validators)
	if hash := r.announced(); !bytes.Equal(hash[:], signed.NextValidatorsHash) {
		return &Divergence{h, "the validators after the block are not those that the members decided on"}
	}
	root, err := outcome.Root()
	if err != nil {
		return err
	}
	if !bytes.Equal(root[:], signed.AppHash) {
		return &Divergence{h, fmt.Sprintf("the state after the block is %s, the ledger says %x", root, signed.AppHash)}
	}
	r.out.Blocks++
	r.out.Height, r.out.Time, r.out.AppHash, r.out.asOf = h, outcome.Block.Time.UTC(), root, signed.AsOf()
	r.out.PerBlock = append(r.out.PerBlock, len(results))
	r.out.Transactions += len(results)
	return r.account(outcome)
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

// block executes a block whose header is verified.
func (r *replay) block(ctx context.Context, s Source, b *fetched) (*node.Outcome, error) {
	height := b.Header.Height
	if b.hidden != nil {
		return nil, b.hidden
	}
	if root := proof.TransactionsRoot(b.txs); !bytes.Equal(root[:], b.Header.DataHash) {
		return nil, &Divergence{height, "the transactions are not those that the header signs"}
	}
	if r.Seen != nil {
		for _, raw := range b.txs {
			r.Seen(raw)
		}
	}
	proven, err := r.evidence(ctx, s, &b.Header)
	if err != nil {
		return nil, err
	}
	outcome, err := r.exec.Run(node.Block{Height: height, Time: b.Header.Time, Txs: b.txs, Misbehaviour: proven})
	if hufu.RuleOf(err) != "" {
		return nil, &Divergence{height, "a transaction that may not be there: " + err.Error()}
	}
	return outcome, err
}

// compare holds the state that is stored against the one that the blocks made. The newest block's result
// is signed by no header yet, and its state may be stored already: it is executed for the comparison.
func (r *replay) compare(ctx context.Context, s Stored) error {
	snap, err := s.State()
	if err != nil {
		return err
	}
	err = r.compareWith(ctx, s, snap)
	return errors.Join(err, snap.Close())
}

func (r *replay) compareWith(ctx context.Context, s Stored, theirs store.Snapshot) error {
	at := theirs.State().Height
	if at == r.out.Height+1 {
		b := fetched{LightBlock: nil}
		if b.txs, b.hidden = s.Block(ctx, at); b.hidden != nil {
			return b.hidden
		}
		var err error
		if b.LightBlock, err = s.LightBlock(ctx, at); err != nil {
			return err
		}
		// run has verified this very header, as the one that signs the state before it.
		if b.Header.Hash() != r.trusted.Hash {
			return &Divergence{at, "the header is another than a moment before"}
		}
		outcome, err := r.block(ctx, s, &b)
		if err != nil {
			return err
		}
		if err := r.exec.Commit(outcome); err != nil {
			return err
		}
		root, err := outcome.Root()
		if err != nil {
			return err
		}
		r.out.asOf = hufu.AsOf{Height: at, Time: outcome.Block.Time.UTC(), AppHash: root}
	} else if at != r.out.Height {
		return nil
	}
	ours, err := r.out.store.Snapshot()
	if err != nil {
		return err
	}
	n, err := same(at, ours, theirs)
	if err = errors.Join(err, ours.Close()); err == nil {
		r.out.Disk = &Disk{Height: at, Records: n}
	}
	return err
}

// same compares two views record by record, both of which yield them in the same order.
func same(at hufu.Height, ours, theirs store.Snapshot) (compared uint64, err error) {
	next, stop := iter.Pull2(theirs.Records())
	defer stop()
	differs := func(key []byte, how string) (uint64, error) {
		return compared, &Divergence{at, fmt.Sprintf("the stored state: record %s %s", recordName(key), how)}
	}
	for our, err := range ours.Records() {
		if err != nil {
			return compared, err
		}
		their, err, ok := next()
		switch {
		case err != nil:
			return compared, err
		case !ok:
			return differs(our.Key, "is missing")
		case !bytes.Equal(our.Key, their.Key):
			a, b := proof.HashKey(our.Key), proof.HashKey(their.Key)
			if bytes.Compare(a[:], b[:]) < 0 {
				return differs(our.Key, "is missing")
			}
			return differs(their.Key, "is of no block")
		case !bytes.Equal(our.Value, their.Value):
			return differs(our.Key, "is other than the blocks make it")
		}
		compared++
	}
	if their, err, ok := next(); ok {
		if err != nil {
			return compared, err
		}
		return differs(their.Key, "is of no block")
	}
	return compared, nil
}

// recordName is a key of the state, readable as far as it is text.
func recordName(key []byte) string {
	for i, c := range key {
		if c < 0x20 || c > 0x7e {
			return fmt.Sprintf("%s%x", key[:i], key[i:])
		}
	}
	return string(key)
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
