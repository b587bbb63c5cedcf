package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// A snapshot file is the magic, then parts, each a 4-byte big-endian length and that many bytes: the
// light block that signs the state, pages of records, and an empty part at the end.
const (
	snapshotMagic = "hufu-snapshot/1\n"
	maxPart       = 16 << 20 // a node's pages have 1 MiB and one record more
)

// Snapshot is a whole state read from a file: a [View] that needs no node.
type Snapshot struct {
	network hufu.Network
	asOf    hufu.AsOf
	records map[string][]byte
}

// AsOf says for which state the snapshot holds.
func (s *Snapshot) AsOf() hufu.AsOf { return s.asOf }

// Network is the network the snapshot belongs to.
func (s *Snapshot) Network() hufu.Network { return s.network }

// Get is the value of key, nil when there is none.
func (s *Snapshot) Get(key []byte) ([]byte, error) { return s.records[string(key)], nil }

// Len is the number of records.
func (s *Snapshot) Len() int { return len(s.records) }

// ExportSnapshot writes the newest state, with the header, commit and validators that sign it, as
// one stream that [OpenSnapshot] verifies. It returns the state written, which was verified as it
// went through. What was written before an error is of no use.
func (c *Client) ExportSnapshot(ctx context.Context, w io.Writer) (hufu.AsOf, error) {
	var none hufu.AsOf
	first, err := c.snapshotPage(ctx, 0)
	if err != nil {
		return none, err
	}
	head, err := c.Head(ctx)
	if err != nil {
		return none, err
	}
	// An empty block leaves the state as it was: then the head signs it already, and the next header
	// may be a while in coming.
	if head.AppHash != first.Root {
		if head, err = c.Await(ctx, first.Height); err != nil {
			return none, err
		}
		head.Height = first.Height
	}
	b, err := c.lightBlock(ctx, head.Height+1, nil)
	if err != nil {
		return none, err
	}
	if !bytes.Equal(b.Header.AppHash, first.Root[:]) {
		return none, hufu.Refuse(RuleBadRoot, "the snapshot's root is not the app hash after height %d", first.Height)
	}
	raw, err := b.Encode()
	if err != nil {
		return none, err
	}
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		_, err := OpenSnapshot(pr, c.trust, c.now())
		checked <- errors.Join(err, pr.CloseWithError(err))
	}()
	err = c.writeSnapshot(ctx, io.MultiWriter(w, pw), raw, first.Session)
	err = errors.Join(err, pw.CloseWithError(err))
	if verdict := <-checked; err == nil {
		err = verdict
	}
	if err != nil {
		return none, err
	}
	return b.Header.AsOf(), nil
}

func (c *Client) writeSnapshot(ctx context.Context, w io.Writer, lightBlock []byte, session uint64) error {
	if _, err := io.WriteString(w, snapshotMagic); err != nil {
		return err
	}
	if err := writePart(w, lightBlock); err != nil {
		return err
	}
	for {
		page, err := c.snapshotPage(ctx, session)
		if err != nil {
			return err
		}
		if len(page.Records) > 0 {
			raw, err := encoding.Marshal(page.Records)
			if err != nil {
				return err
			}
			if err := writePart(w, raw); err != nil {
				return err
			}
		}
		if page.Last {
			return writePart(w, nil)
		}
	}
}

func (c *Client) snapshotPage(ctx context.Context, session uint64) (*proof.SnapshotPage, error) {
	data, err := encoding.Marshal(proof.SnapshotRequest{Session: session})
	if err != nil {
		return nil, err
	}
	raw, err := c.transport.Query(ctx, proof.PathSnapshot, data)
	if err != nil {
		return nil, unreachable(err)
	}
	page := new(proof.SnapshotPage)
	if err := encoding.Unmarshal(raw, page); err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "the node's page does not read as one")
	}
	return page, nil
}

func writePart(w io.Writer, part []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(part)), uint32(len(part))), part...))
	return err
}

// OpenSnapshot reads what ExportSnapshot wrote, and verifies it from trust as of now: the commit by
// the light client's rules, the records by their root. The trusting period decides how old a
// snapshot may be relative to trust; how stale it may be for a decision is the contract's matter.
// Everything that is wrong with a file is a refusal by [RuleBadSnapshot] or a rule of the commit.
func OpenSnapshot(r io.Reader, trust Trust, now time.Time) (*Snapshot, error) {
	if err := trust.check(); err != nil {
		return nil, err
	}
	if len(trust.Validators) == 0 {
		return nil, hufu.Refuse(RuleTrust, "a snapshot is judged from a genesis")
	}
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != snapshotMagic {
		return nil, hufu.Refuse(RuleBadSnapshot, "not a snapshot file")
	}
	raw, err := readPart(r)
	if err != nil {
		return nil, err
	}
	b, err := proof.ParseLightBlock(raw)
	if err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "the signed header does not read as one")
	}
	start := proof.TrustGenesis(trust.GenesisTime, trust.Validators)
	rules := proof.Rules{Network: trust.Network, Period: trust.period(), Drift: DefaultDrift}
	if err := rules.Verify(&start, b, now); err != nil {
		return nil, err
	}
	s := &Snapshot{network: trust.Network, asOf: b.Header.AsOf(), records: map[string][]byte{}}
	records, err := readRecords(r)
	if err != nil {
		return nil, err
	}
	root, err := proof.Root(records)
	if err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "%v", err)
	}
	if root != s.asOf.AppHash {
		return nil, hufu.Refuse(RuleBadSnapshot, "the records are not those that the header signs")
	}
	for _, kv := range records {
		s.records[string(kv.Key)] = kv.Value
	}
	return s, nil
}

func readRecords(r io.Reader) ([]proof.KV, error) {
	var out []proof.KV
	for {
		raw, err := readPart(r)
		if err != nil {
			return nil, err
		}
		if len(raw) == 0 {
			if n, err := io.ReadFull(r, make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				return nil, hufu.Refuse(RuleBadSnapshot, "something follows the end")
			}
			return out, nil
		}
		var page []proof.Record
		if err := encoding.Unmarshal(raw, &page); err != nil {
			return nil, hufu.Refuse(RuleBadSnapshot, "a page does not read as one")
		}
		for i := range page {
			out = append(out, proof.KV{Key: page[i].Key, Value: page[i].Value})
		}
	}
}

func readPart(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "cut off")
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxPart {
		return nil, hufu.Refuse(RuleBadSnapshot, "a part of %d bytes, more than %d", n, maxPart)
	}
	var part bytes.Buffer // grows with what is there, not with what is claimed
	if _, err := io.CopyN(&part, r, int64(n)); err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "cut off")
	}
	return part.Bytes(), nil
}
