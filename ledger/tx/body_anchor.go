package tx

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/tlog"
)

// AnchorCommit puts the newest checkpoint of one of the author's logs on the ledger.
type AnchorCommit struct {
	Checkpoint string        `cbor:"1,keyasint"`           // signed note (package tlog)
	Proof      []hufu.Digest `cbor:"2,keyasint,omitempty"` // of consistency with the log's last checkpoint on the ledger
}

// AnchorReport shows two checkpoints by which a log's owner contradicts itself. Anybody may send it.
type AnchorReport struct {
	First  string        `cbor:"1,keyasint"`           // signed note
	Second string        `cbor:"2,keyasint"`           // signed note of the same log, not of fewer entries
	Path   []hufu.Digest `cbor:"3,keyasint,omitempty"` // what the second makes of the first's entries ([tlog.CheckConflict])
}

// Kind is [KindAnchorCommit].
func (*AnchorCommit) Kind() Kind { return KindAnchorCommit }

// Kind is [KindAnchorReport].
func (*AnchorReport) Kind() Kind { return KindAnchorReport }

// Validate implements [Body].
func (b *AnchorCommit) Validate() error {
	s, err := tlog.Parse(b.Checkpoint)
	switch {
	case err != nil:
		return invalid("checkpoint: %v", err)
	case s.Size == 0:
		return invalid("a checkpoint of an empty log says nothing")
	case len(b.Proof) > tlog.MaxProof:
		return invalid("a proof of %d digests, more than %d", len(b.Proof), tlog.MaxProof)
	}
	return nil
}

// Validate implements [Body]. Everything but whose the signatures are can be seen here.
func (b *AnchorReport) Validate() error {
	first, err := tlog.Parse(b.First)
	if err != nil {
		return invalid("first checkpoint: %v", err)
	}
	second, err := tlog.Parse(b.Second)
	if err != nil {
		return invalid("second checkpoint: %v", err)
	}
	if err := tlog.CheckConflict(&first.Checkpoint, &second.Checkpoint, b.Path); err != nil {
		return invalid("no evidence: %v", err)
	}
	return nil
}
