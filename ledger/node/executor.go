package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Executor runs blocks on a store. Nodes and auditors run the same one. It is for one goroutine,
// beside which others may read the store.
type Executor struct {
	network hufu.Network
	store   store.Store
	reads   *reads // of store
	verify  *verifier
	known   *known

	upgrades []string // that are known, oldest first
}

// NewExecutor returns an executor on st.
func NewExecutor(network hufu.Network, st store.Store) *Executor {
	return &Executor{network: network, store: st, reads: newReads(st), verify: &verifier{}, known: newKnown(), upgrades: machine.Upgrades()}
}

// Block is what execution depends on besides the state.
type Block struct {
	Height hufu.Height
	Time   time.Time
	Txs    [][]byte
	// Misbehaviour is what the block's evidence proves: see [Misbehaviour].
	Misbehaviour []gov.Misbehaviour
}

// Outcome is an executed block that is not committed.
type Outcome struct {
	Block      Block
	Txs        []*tx.Tx // of the block, read
	Results    []Result // one for each of them
	Validators []machine.ValidatorUpdate
	AppVersion uint64        // of the rules from the next block on; 0: as before
	floor      time.Duration // the least until the block after the next, from when it is committed
	changes    []store.Change
	staging    *staging
}

// staging is the state that a block leads to, being computed.
type staging struct {
	done   chan struct{} // closed when it is
	staged *store.Staged
	err    error
}

// stage begins to compute the state that follows from the changes.
func stage(st store.Store, changes []store.Change) *staging {
	s := &staging{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.staged, s.err = st.Stage(changes)
	}()
	return s
}

// wait is the state, once it is computed.
func (s *staging) wait() (*store.Staged, error) {
	<-s.done
	return s.staged, s.err
}

// Result is the answer to one transaction.
type Result struct {
	proof.Result
	Detail string // of a refusal; not part of consensus
}

// Root is the app hash that the block leads to. It is computed beside whatever follows executing the block,
// and waited for here.
func (o *Outcome) Root() (hufu.Digest, error) {
	staged, err := o.staging.wait()
	if err != nil {
		return hufu.Digest{}, err
	}
	return staged.Root(), nil
}

// meta is what the store keeps beside the state.
type meta struct {
	Network hufu.Network `cbor:"1,keyasint"`
	Time    int64        `cbor:"2,keyasint"` // of the last block, unix seconds
}

// Genesis makes the state before the first block, unless the store has one, and lists the first
// validators.
func (e *Executor) Genesis(doc *machine.GenesisDoc, at time.Time) ([]machine.ValidatorUpdate, error) {
	overlay := state.NewOverlay(state.Empty{})
	vals, err := machine.Genesis(state.Context{Network: e.network, Time: at.Unix()}, doc, overlay)
	if err != nil {
		return nil, err
	}
	if e.store.State().Meta != nil {
		return vals, nil // stopped between this and block 1
	}
	founding := overlay.Changes()
	staged, err := e.store.Stage(founding)
	if err != nil {
		return nil, err
	}
	return vals, e.commit(staged, founding, 0, at)
}

// Run executes b on the committed state. A [hufu.Refusal] says that b holds a transaction that may
// not be in it, and nothing else; any other error is of the node itself.
func (e *Executor) Run(b Block) (*Outcome, error) {
	txs, err := e.parse(b.Txs)
	if err != nil {
		return nil, err
	}
	r, err := e.begin(b, len(txs))
	if err != nil {
		return nil, err
	}
	if err := e.run(r, b, txs); err != nil {
		// Reading left a check to the signatures'. Whatever else went wrong may have come of that.
		for i, p := range txs {
			if bad := p.CheckKeys(); bad != nil {
				return nil, fmt.Errorf("transaction %d of block %d: %w", i, b.Height, bad)
			}
		}
		return nil, err
	}
	return r.end(b.Txs)
}

// run executes txs, and verifies their signatures where it is not known that they hold.
func (e *Executor) run(r *run, b Block, txs []*parsed) error {
	var pending []verification
	for i, p := range txs {
		by, err := r.step(p)
		if err != nil {
			return fmt.Errorf("transaction %d of block %d: %w", i, b.Height, err)
		}
		if !p.verifiedBy(by.Keys) {
			pending = append(pending, verification{p, by})
		}
	}
	if err := e.verifyAll(pending); err != nil {
		return fmt.Errorf("block %d: %w", b.Height, err)
	}
	return nil
}

// fill executes in b those of the transactions that may be in it, in order, and returns the others too.
// Signatures that are not known to hold are verified first.
func (e *Executor) fill(b Block, txs []*parsed) (o *Outcome, left []*tx.Tx, err error) {
	r, err := e.begin(b, len(txs))
	if err != nil {
		return nil, nil, err
	}
	in := make([][]byte, 0, len(txs))
	// A transaction may stand before the one of its author that has to come first: another round
	// takes it in, as long as the rounds get anything in.
	for again := true; again && len(txs) > 0; {
		again = false
		rest := txs[:0:0]
		for _, p := range txs {
			err := r.offer(p)
			switch {
			case err == nil:
				in = append(in, p.Raw())
				again = true
			case hufu.RuleOf(err) == machine.RuleSequence:
				rest = append(rest, p)
			case hufu.RuleOf(err) != "":
				left = append(left, p.Tx)
			default:
				return nil, nil, err
			}
		}
		txs = rest
	}
	for _, p := range txs {
		left = append(left, p.Tx)
	}
	o, err = r.end(in)
	return o, left, err
}

// Commit makes o the state. It fails with store.ErrStale when o was not run on the present one.
func (e *Executor) Commit(o *Outcome) error {
	staged, err := o.staging.wait()
	if err != nil {
		return err
	}
	if err := e.commit(staged, o.changes, o.Block.Height, o.Block.Time); err != nil {
		return err
	}
	e.known.forget(o.Txs)
	return nil
}

func (e *Executor) commit(s *store.Staged, changes []store.Change, height hufu.Height, at time.Time) error {
	m, err := encoding.Marshal(meta{Network: e.network, Time: at.Unix()})
	if err != nil {
		return err
	}
	if err := e.store.Commit(s, height, m); err != nil {
		return err
	}
	e.reads.committed(changes)
	return nil
}

// read parses a transaction or finds it among the known.
func (e *Executor) read(raw []byte) (*parsed, error) {
	id := hufu.Digest(sha256.Sum256(raw))
	if p := e.known.get(id); p != nil {
		return p, nil
	}
	t, err := tx.ParseDeferred(raw, id, e.network)
	if err != nil {
		return nil, err
	}
	return &parsed{Tx: t}, nil
}

// parse reads all transactions, on every processor when there are many.
func (e *Executor) parse(raws [][]byte) ([]*parsed, error) {
	out, errs := make([]*parsed, len(raws)), make([]error, len(raws))
	share := max((len(raws)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0), minBatch)
	var group sync.WaitGroup
	for start := 0; start < len(raws); start += share {
		group.Go(func() {
			for i := start; i < min(start+share, len(raws)); i++ {
				out[i], errs[i] = e.read(raws[i])
			}
		})
	}
	group.Wait()
	return out, errors.Join(errs...)
}

// verification is a transaction whose signatures have to be verified.
type verification struct {
	p  *parsed
	by machine.Admission
}

// verifyAll verifies what is pending and remembers that it holds.
func (e *Executor) verifyAll(pending []verification) error {
	var checks []check
	var messages []byte
	for _, v := range pending {
		checks, messages = v.p.appendChecks(checks, messages, v.by.Keys)
	}
	if !e.verify.all(checks) {
		return hufu.Refuse(machine.RuleSignature, "a signature does not hold")
	}
	for _, v := range pending {
		e.known.put(&parsed{Tx: v.p.Tx, holds: v.by.Keys})
	}
	return nil
}

// run is a block being executed.
type run struct {
	e       *Executor
	ctx     state.Context
	overlay *state.Overlay
	out     Outcome
}

// begin begins b, which has at most so many transactions.
func (e *Executor) begin(b Block, most int) (*run, error) {
	version, err := e.version(b.Height)
	if err != nil {
		return nil, err
	}
	r := &run{
		e:       e,
		ctx:     state.Context{Network: e.network, Height: b.Height, Time: b.Time.Unix()},
		overlay: state.NewOverlay(e.reads),
		out: Outcome{
			Block: Block{Height: b.Height, Time: b.Time, Misbehaviour: b.Misbehaviour}, AppVersion: version,
			Results: make([]Result, 0, most), Txs: make([]*tx.Tx, 0, most),
		},
	}
	r.overlay.Grow(most)
	return r, machine.BeginBlock(r.ctx, r.overlay, b.Misbehaviour)
}

// version is the version of the rules that the block at height brings, 0 when it brings none. It fails with
// [ErrUpgrade] when the block is under rules that are not known here.
func (e *Executor) version(height hufu.Height) (uint64, error) {
	planned, err := gov.GetUpgrade(e.reads)
	if err != nil || planned == nil || height < planned.Upgrade.Height {
		return 0, err
	}
	at := slices.Index(e.upgrades, planned.Upgrade.Name)
	switch {
	case at < 0:
		return 0, fmt.Errorf("%w: %q from height %d on", ErrUpgrade, planned.Upgrade.Name, planned.Upgrade.Height)
	case height > planned.Upgrade.Height:
		return 0, nil
	}
	return firstVersion + 1 + uint64(at), nil
}

// step admits and executes p. Its signatures are the caller's to verify.
func (r *run) step(p *parsed) (machine.Admission, error) {
	a, err := machine.Admit(r.ctx, r.overlay, p.Tx)
	if err != nil {
		return a, err
	}
	return a, r.execute(p, a)
}

// offer is step for a transaction whose signatures are verified before anything changes.
func (r *run) offer(p *parsed) error {
	a, err := machine.Admit(r.ctx, r.overlay, p.Tx)
	if err != nil {
		return err
	}
	if !p.verifiedBy(a.Keys) {
		if err := r.e.verifyAll([]verification{{p, a}}); err != nil {
			return err
		}
	}
	return r.execute(p, a)
}

func (r *run) execute(p *parsed, a machine.Admission) error {
	var result Result
	if err := machine.Execute(r.ctx, r.overlay, p.Tx, a); err != nil {
		var refusal *hufu.Refusal
		if !errors.As(err, &refusal) {
			return err
		}
		result = Result{Result: proof.Result{Code: codeRefused, Data: []byte(refusal.Rule)}, Detail: refusal.Detail}
	}
	r.out.Results = append(r.out.Results, result)
	r.out.Txs = append(r.out.Txs, p.Tx)
	return nil
}

func (r *run) end(txs [][]byte) (*Outcome, error) {
	vals, err := machine.EndBlock(r.ctx, r.overlay)
	if err != nil {
		return nil, err
	}
	r.out.Block.Txs, r.out.Validators = txs, vals
	params, err := gov.GetParams(r.overlay)
	if err != nil {
		return nil, err
	}
	r.out.floor = floorOf(params)
	r.out.changes = r.overlay.Changes()
	r.out.staging = stage(r.e.store, r.out.changes)
	return &r.out, nil
}
