package anchors

import (
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

// The rules by which anchors are refused.
const (
	RuleOwner        hufu.Rule = "anchors.not-the-owner" // the checkpoint is of somebody else's log
	RuleSignature    hufu.Rule = "anchors.signature"     // the log's owner did not sign the checkpoint
	RuleSmaller      hufu.Rule = "anchors.smaller"       // a log only grows
	RuleUnchanged    hufu.Rule = "anchors.unchanged"     // the checkpoint is there already
	RuleInconsistent hufu.Rule = "anchors.inconsistent"  // no continuation of the last checkpoint was shown
	RuleForked       hufu.Rule = "anchors.forked"        // the log was convicted
	RuleReported     hufu.Rule = "anchors.reported"      // the log was convicted already
)

// Apply applies an anchor transaction: all of it, or, with an error, nothing.
func Apply(ctx state.Context, o *state.Overlay, t *tx.Tx) error {
	author := t.Payload.Author
	switch b := t.Body.(type) {
	case *tx.AnchorCommit:
		return commit(ctx, o, author, b)
	case *tx.AnchorReport:
		return report(ctx, o, author, b)
	}
	return fmt.Errorf("anchors: a transaction of kind %q", t.Payload.Kind)
}

// commit replaces the log's last checkpoint with one that continues it.
func commit(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.AnchorCommit) error {
	s, err := tlog.Parse(b.Checkpoint)
	if err != nil {
		return err
	}
	owner, name, err := ownerOf(o, ctx.Network, s, true)
	if err != nil {
		return err
	}
	if owner != author {
		return hufu.Refuse(RuleOwner, "a checkpoint of another's log")
	}
	fork, err := GetFork(o, owner, name)
	if err != nil {
		return err
	}
	if fork != nil {
		return hufu.Refuse(RuleForked, "the log contradicted itself, by the report of height %d; go on under another name", fork.Height)
	}
	last, err := Get(o, owner, name)
	if err != nil {
		return err
	}
	rec := &Log{
		Owner: owner, Name: name, Size: s.Size, Root: s.Root, Checkpoint: b.Checkpoint, Count: 1,
		Height: ctx.Height, Time: ctx.Time, Tx: ctx.TxID,
	}
	if last != nil {
		rec.Count = last.Count + 1
	}
	if err := follows(last, s, b.Proof); err != nil {
		return err
	}
	return state.Save(o, LogKey(owner, name), rec)
}

// follows refuses what does not continue the log's last checkpoint. Nothing was promised before the first.
func follows(last *Log, s *tlog.Signed, proof []hufu.Digest) error {
	switch {
	case last == nil && len(proof) != 0:
		return hufu.Refuse(RuleInconsistent, "a proof of consistency with no checkpoint")
	case last == nil:
		return nil
	case s.Size < last.Size:
		return hufu.Refuse(RuleSmaller, "%d entries, where the log had %d at height %d", s.Size, last.Size, last.Height)
	case s.Size == last.Size && s.Root == last.Root:
		return hufu.Refuse(RuleUnchanged, "the checkpoint of %d entries is there since height %d", last.Size, last.Height)
	}
	older := &tlog.Checkpoint{Origin: s.Origin, Size: last.Size, Root: last.Root}
	if err := tlog.CheckConsistency(older, &s.Checkpoint, proof); err != nil {
		return hufu.Refuse(RuleInconsistent, "not shown to continue the %d entries of height %d: %v", last.Size, last.Height, err)
	}
	return nil
}

// report keeps the first evidence against a log. It is as good for a log that was never anchored: its owner
// may not begin to anchor either of the two. That the checkpoints contradict each other was seen when the
// body was validated.
func report(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.AnchorReport) error {
	first, err := tlog.Parse(b.First)
	if err != nil {
		return err
	}
	second, err := tlog.Parse(b.Second)
	if err != nil {
		return err
	}
	owner, name, err := ownerOf(o, ctx.Network, first, false)
	if err != nil {
		return err
	}
	if _, _, err := ownerOf(o, ctx.Network, second, false); err != nil {
		return err
	}
	known, err := GetFork(o, owner, name)
	if err != nil {
		return err
	}
	if known != nil {
		return hufu.Refuse(RuleReported, "the log was convicted at height %d", known.Height)
	}
	return state.Save(o, ForkKey(owner, name), &Fork{
		Owner: owner, Name: name, First: b.First, Second: b.Second, Path: b.Path,
		Reporter: author, Height: ctx.Height, Time: ctx.Time, Tx: ctx.TxID,
	})
}
