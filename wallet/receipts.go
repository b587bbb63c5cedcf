package wallet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/tlog"
)

// Standing is what a wallet found out about a receipt that it holds.
type Standing string

// The standings of receipts.
const (
	ReceiptLogged      Standing = "logged"      // proven to be in the log that the ledger has the checkpoint of
	ReceiptWaiting     Standing = "waiting"     // not in it, and it need not be yet
	ReceiptMissing     Standing = "missing"     // not in it, and it had to be
	ReceiptForked      Standing = "forked"      // the gate signed two logs that contradict each other
	ReceiptUnreachable Standing = "unreachable" // the log could not be read, or nobody said where it is
)

// Bounds of what a gate may take its time for.
const (
	LogGrace  = time.Minute    // an anchor this much younger than a receipt has to cover it
	AnchorDue = 24 * time.Hour // a gate whose receipts are not anchored for so long does not anchor them
)

const (
	logName       = "receipts" // as package gate has it
	maxTile       = 256 * 32   // bytes (C2SP tlog-tiles)
	maxEntry      = 256        // bytes of the answer about an entry
	answerSuffix  = "/response"
	logSuffix     = "/log/"
	entryResource = "entry/"
)

// LogFinding is what became of one receipt. Everything in it that accuses a gate is signed by the gate or proven by
// the ledger, and can be shown to anybody: the gate can clear itself of a missing entry by a proof of inclusion
// in the anchored checkpoint, and of a fork by nothing.
type LogFinding struct {
	Standing Standing    `json:"standing"`
	Time     time.Time   `json:"time"` // of the receipt
	Gate     hufu.DID    `json:"gate"`
	Origin   string      `json:"log"`
	Digest   hufu.Digest `json:"digest"`  // the log's entry
	Receipt  string      `json:"receipt"` // signed
	Detail   string      `json:"detail,omitempty"`

	Anchor   *Anchored `json:"anchor,omitempty"`
	Conflict *Conflict `json:"conflict,omitempty"`
}

// Anchored is a checkpoint as the ledger has it.
type Anchored struct {
	Checkpoint string      `json:"checkpoint"` // signed note
	Size       uint64      `json:"size"`
	Height     hufu.Height `json:"height"` // it was anchored at
	Time       time.Time   `json:"time"`
	AsOf       hufu.AsOf   `json:"as_of"` // when the ledger proved it
}

// Conflict is two checkpoints that contradict each other, as tx.AnchorReport has them.
type Conflict struct {
	First  string        `json:"first"`
	Second string        `json:"second"`
	Path   []hufu.Digest `json:"path,omitempty"`
}

// Accuses reports whether the finding is evidence against the gate.
func (f *LogFinding) Accuses() bool {
	return f.Standing == ReceiptMissing || f.Standing == ReceiptForked
}

// CheckReceipts looks for each receipt that the wallet holds in its gate's log, oldest first. The log is where the
// answer went; elsewhere, if not empty, is the address of the log for receipts that came another way.
func (w *Wallet) CheckReceipts(ctx context.Context, l Ledger, elsewhere string) ([]LogFinding, error) {
	w.mu.Lock()
	held := make([]logged, 0, len(w.held.Log))
	for i := range w.held.Log {
		if w.held.Log[i].Receipt != "" {
			held = append(held, w.held.Log[i])
		}
	}
	w.mu.Unlock()
	out := make([]LogFinding, 0, len(held))
	for i := range held {
		s, err := receipt.Parse(held[i].Receipt)
		if err != nil {
			return nil, err // it was checked when it came
		}
		f := LogFinding{
			Time: s.Time, Gate: s.Gate, Origin: tlog.Origin(s.Gate, logName), Receipt: held[i].Receipt, Digest: receipt.LogEntry(held[i].Receipt),
		}
		address := elsewhere
		if base, ok := strings.CutSuffix(held[i].Posted, answerSuffix); ok {
			address = base + logSuffix
		}
		if err := w.find(ctx, l, &f, address); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// find fills in what became of one receipt. Its errors are the ledger's.
func (w *Wallet) find(ctx context.Context, l Ledger, f *LogFinding, address string) error {
	anchor, fork, err := anchored(ctx, l, f)
	if err != nil {
		return err
	}
	if fork != nil {
		f.Standing, f.Detail = ReceiptForked, fmt.Sprintf("the ledger has the evidence since block %d", fork.Height)
		f.Conflict = &Conflict{fork.First, fork.Second, fork.Path}
		return nil
	}
	if anchor == nil {
		f.Standing, f.Detail = ReceiptWaiting, "the gate has not anchored its log yet"
		if w.Now().Sub(f.Time) > AnchorDue {
			f.Standing, f.Detail = ReceiptMissing, "the gate never anchored its log"
		}
		return nil
	}
	if address == "" {
		f.Standing, f.Detail = ReceiptUnreachable, "nobody said where the log is"
		return nil
	}
	log := &remoteLog{w: w, address: strings.TrimSuffix(address, "/") + "/"}
	log.Reader = tilelog.Remote(log.get)
	if log.conflicts(ctx, l, f) {
		return nil
	}
	err = log.includes(ctx, f, &tlog.Checkpoint{Origin: f.Origin, Size: anchor.Size, Root: anchor.Root})
	switch {
	case err == nil:
		f.Standing = ReceiptLogged
	case errors.Is(err, ErrUnreachable):
		f.Standing, f.Detail = ReceiptUnreachable, err.Error()
	case f.Anchor.Time.Before(f.Time.Add(LogGrace)):
		f.Standing, f.Detail = ReceiptWaiting, "the last anchor is not younger than the receipt"
	default:
		f.Standing, f.Detail = ReceiptMissing, err.Error()
	}
	return nil
}

// anchored reads with proof what the ledger has of a receipt's log.
func anchored(ctx context.Context, l Ledger, f *LogFinding) (anchor *anchors.Log, fork *anchors.Fork, err error) {
	_, id, err := f.Gate.Parse()
	if err != nil {
		return nil, nil, err
	}
	err = l.Read(ctx, func(v client.View) (err error) {
		if fork, err = anchors.GetFork(v, id, logName); err != nil {
			return err
		}
		if anchor, err = anchors.Get(v, id, logName); err != nil || anchor == nil {
			return err
		}
		f.Anchor = &Anchored{anchor.Checkpoint, anchor.Size, anchor.Height, time.Unix(anchor.Time, 0).UTC(), v.AsOf()}
		return nil
	})
	return anchor, fork, err
}

// remoteLog is a gate's log as it is served.
type remoteLog struct {
	*tilelog.Reader
	w       *Wallet
	address string
}

func (r *remoteLog) get(ctx context.Context, path string) ([]byte, error) {
	a, err := r.w.exchange(ctx, call{method: http.MethodGet, url: r.address + path}, maxTile)
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound:
		return nil, fs.ErrNotExist
	case !a.ok():
		return nil, fmt.Errorf("%w: the log's answer has status %d", ErrUnreachable, a.status)
	}
	return a.body, nil
}

// conflicts reports whether the log as it is served contradicts its anchor. A checkpoint that the gate did not
// sign, or that is older than the anchor, contradicts nothing.
func (r *remoteLog) conflicts(ctx context.Context, l Ledger, f *LogFinding) bool {
	raw, err := r.get(ctx, "checkpoint")
	if err != nil {
		return false
	}
	served, err := tlog.Parse(string(raw))
	if err != nil || served.Origin != f.Origin {
		return false
	}
	anchor, err := tlog.Parse(f.Anchor.Checkpoint)
	if err != nil {
		return false
	}
	if l.Read(ctx, func(v client.View) error { return anchors.Signed(v, v.Network(), served) }) != nil {
		return false
	}
	path, found, err := r.Conflict(ctx, &anchor.Checkpoint, &served.Checkpoint)
	if err != nil || !found {
		return false
	}
	f.Standing, f.Detail = ReceiptForked, "the log that is served contradicts the one that is anchored"
	f.Conflict = &Conflict{f.Anchor.Checkpoint, string(raw), path}
	return true
}

// includes returns nil when the receipt is proven to be in the tree of c.
func (r *remoteLog) includes(ctx context.Context, f *LogFinding, c *tlog.Checkpoint) error {
	raw, err := r.get(ctx, entryResource+f.Digest.String())
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the gate says that the log has no such entry")
	}
	if err != nil {
		return err
	}
	var at struct {
		Entry *uint64 `json:"entry"`
	}
	if len(raw) > maxEntry || json.Unmarshal(raw, &at) != nil || at.Entry == nil {
		return errors.New("the gate does not say which entry it is")
	}
	if *at.Entry >= c.Size {
		return fmt.Errorf("the gate says that it is entry %d, and the anchored log has %d", *at.Entry, c.Size)
	}
	proof, err := r.Inclusion(ctx, *at.Entry, c.Size)
	if errors.Is(err, ErrUnreachable) {
		return err
	}
	if err != nil {
		return errors.New("the gate does not show the tiles that would prove it")
	}
	return tlog.CheckInclusion(c, *at.Entry, tlog.LeafHash(f.Digest[:]), proof)
}
