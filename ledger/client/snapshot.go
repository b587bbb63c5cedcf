package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// A snapshot file is the magic, then parts, each a 4-byte big-endian length and that many bytes: the
// light blocks that lead from the trust to the one that signs the state, pages of records in the order
// of SHA-256(key), and an empty part at the end.
const (
	snapshotMagic = "hufu-snapshot/1\n"
	maxPart       = 16 << 20 // a node's pages have 1 MiB and one record more
)

// Snapshot is a whole state read from a file: a [View] that needs no node.
type Snapshot struct {
	network hufu.Network
	asOf    hufu.AsOf
	path    []*proof.LightBlock // that the trust was led on by; the header of the last signs the state
	records map[string][]byte
}

// Signed is the verified block whose header signs the state: that of the next height.
func (s *Snapshot) Signed() *proof.LightBlock { return s.path[len(s.path)-1] }

// Records yields every record once, in the order of SHA-256(key).
func (s *Snapshot) Records() iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		type placed struct {
			keyHash hufu.Digest
			key     string
		}
		order := make([]placed, 0, len(s.records))
		for key := range s.records {
			order = append(order, placed{proof.HashKey([]byte(key)), key})
		}
		slices.SortFunc(order, func(a, b placed) int { return bytes.Compare(a.keyHash[:], b.keyHash[:]) })
		for _, p := range order {
			if !yield(proof.KV{Key: []byte(p.key), Value: s.records[p.key]}, nil) {
				return
			}
		}
	}
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
	lead := c.lead() // a session is one node's
	first, err := c.snapshotPage(ctx, lead, 0)
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
		if head, err = c.reach(ctx, first.Height); err != nil {
			return none, err
		}
		head.Height = first.Height
	}
	path, err := c.path(ctx, head.Height+1)
	if err != nil {
		return none, err
	}
	header := &path[len(path)-1].Header
	if !bytes.Equal(header.AppHash, first.Root[:]) {
		return none, hufu.Refuse(RuleBadRoot, "the snapshot's root is not the app hash after height %d", first.Height)
	}
	raw, err := encodePath(path)
	if err != nil {
		return none, err
	}
	pr, pw := io.Pipe()
	checked := make(chan error, 1)
	c.mu.Lock()
	trust := c.trust
	c.mu.Unlock()
	go func() {
		_, err := OpenSnapshot(pr, trust, c.now(), 0)
		checked <- errors.Join(err, pr.CloseWithError(err))
	}()
	err = c.writeSnapshot(ctx, lead, io.MultiWriter(w, pw), raw, first.Session)
	err = errors.Join(err, pw.CloseWithError(err))
	if verdict := <-checked; err == nil {
		err = verdict
	}
	if err != nil {
		return none, err
	}
	return header.AsOf(), nil
}

// path is the verified blocks from the client's trust to height, that of a checkpoint included.
func (c *Client) path(ctx context.Context, height hufu.Height) ([]*proof.LightBlock, error) {
	if _, err := c.Head(ctx); err != nil {
		return nil, err
	}
	lead := c.lead()
	c.mu.Lock()
	trust, before := c.trust, c.chain
	c.mu.Unlock()
	// What is verified already needs no node, which may not have it any more.
	n := len(before)
	for n > 0 && before[n-1].Header.Height > height {
		n--
	}
	before = before[:n:n]
	from := proof.TrustGenesis(trust.GenesisTime, trust.Validators)
	switch {
	case n > 0 && before[n-1].Header.Height == height:
		return c.shortest(before), nil
	case n > 0:
		from = before[n-1].Trust()
	case trust.Checkpoint != nil:
		return nil, hufu.Refuse(RuleBadHeader, "height %d is before the trusted checkpoint", height)
	}
	b, err := c.lightBlock(ctx, lead, height, nil)
	if err != nil {
		return nil, err
	}
	after, err := c.verify(ctx, lead, from, b)
	if err != nil {
		return nil, err
	}
	return c.shortest(append(before, after...)), nil
}

func (c *Client) shortest(path []*proof.LightBlock) []*proof.LightBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shorten(path, 1)
}

func encodePath(path []*proof.LightBlock) ([]byte, error) {
	out := make([][]byte, len(path))
	for i, b := range path {
		var err error
		if out[i], err = b.Encode(); err != nil {
			return nil, err
		}
	}
	return encoding.Marshal(out)
}

func (c *Client) writeSnapshot(ctx context.Context, node Transport, w io.Writer, path []byte, session uint64) error {
	if _, err := io.WriteString(w, snapshotMagic); err != nil {
		return err
	}
	if err := writePart(w, path); err != nil {
		return err
	}
	for {
		page, err := c.snapshotPage(ctx, node, session)
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
		if len(page.Records) == 0 { // else a node could go on for ever
			return hufu.Refuse(RuleBadSnapshot, "a page without records that is not the last")
		}
	}
}

func (c *Client) snapshotPage(ctx context.Context, node Transport, session uint64) (*proof.SnapshotPage, error) {
	data, err := encoding.Marshal(proof.SnapshotRequest{Session: session})
	if err != nil {
		return nil, err
	}
	raw, err := node.Query(ctx, proof.PathSnapshot, data)
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

// OpenSnapshot reads what ExportSnapshot wrote, and verifies it from trust as of now: the commits by
// the light client's rules, the records by their root. The trusting period decides how old a
// snapshot may be relative to trust, maxAge how old its state may be, unless it is 0; how stale it may be for a decision is
// the contract's matter. With a checkpoint as trust, the snapshot must have been exported by a client with that checkpoint.
//
// Everything that is wrong with a file is a refusal: [RuleBadSnapshot], [RuleSnapshotCut] or
// [RuleSnapshotOrder] for its form, [RuleSnapshotOld] for its age, a rule of package proof for its commits, and
// [RuleBadRoot] for records that are not all those signed.
func OpenSnapshot(r io.Reader, trust Trust, now time.Time, maxAge time.Duration) (*Snapshot, error) {
	if err := trust.check(); err != nil {
		return nil, err
	}
	magic := make([]byte, len(snapshotMagic))
	switch n, err := io.ReadFull(r, magic); {
	case string(magic[:n]) != snapshotMagic[:n] || n == 0:
		return nil, hufu.Refuse(RuleBadSnapshot, "not a snapshot file")
	case err != nil:
		return nil, cutOff(err)
	}
	raw, err := readPart(r)
	if err != nil {
		return nil, err
	}
	path, err := signedBy(raw, &trust, now)
	if err != nil {
		return nil, err
	}
	signed := path[len(path)-1]
	if age := now.Sub(signed.Header.Time); maxAge > 0 && age > maxAge {
		return nil, hufu.Refuse(RuleSnapshotOld, "the snapshot is of %s, %s ago, more than %s",
			signed.Header.Time.UTC().Format(time.RFC3339), age.Round(time.Second), maxAge)
	}
	s := &Snapshot{network: trust.Network, asOf: signed.Header.AsOf(), path: path, records: map[string][]byte{}}
	records, err := readRecords(r)
	if err != nil {
		return nil, err
	}
	root, err := proof.Root(records)
	if err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "%v", err)
	}
	if root != s.asOf.AppHash {
		return nil, hufu.Refuse(RuleBadRoot, "the records are not those that the header signs")
	}
	for _, kv := range records {
		s.records[string(kv.Key)] = kv.Value
	}
	return s, nil
}

// signedBy verifies a snapshot's path from trust.
func signedBy(raw []byte, trust *Trust, now time.Time) ([]*proof.LightBlock, error) {
	path, err := decodePath(raw)
	if err != nil {
		return nil, hufu.Refuse(RuleBadSnapshot, "the signed headers do not read as such")
	}
	rules := proof.Rules{Network: trust.Network, Period: trust.period(), Drift: DefaultDrift}
	end, err := trust.follow(path, rules, now)
	if err != nil {
		return nil, err
	}
	if len(path) == 1 && trust.Checkpoint != nil && !end.Time.Add(trust.period()).After(now) {
		return nil, hufu.Refuse(proof.RuleExpired, "trust in the checkpoint ended")
	}
	return path, nil
}

func readRecords(r io.Reader) ([]proof.KV, error) {
	var (
		out  []proof.KV
		last hufu.Digest
	)
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
			at := proof.HashKey(page[i].Key)
			if len(out) > 0 && bytes.Compare(at[:], last[:]) <= 0 {
				return nil, hufu.Refuse(RuleSnapshotOrder, "record %d is not after the one before it", len(out))
			}
			last = at
			out = append(out, proof.KV{Key: page[i].Key, Value: page[i].Value})
		}
	}
}

func readPart(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, cutOff(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxPart {
		return nil, hufu.Refuse(RuleBadSnapshot, "a part of %d bytes, more than %d", n, maxPart)
	}
	var part bytes.Buffer // grows with what is there, not with what is claimed
	if _, err := io.CopyN(&part, r, int64(n)); err != nil {
		return nil, cutOff(err)
	}
	return part.Bytes(), nil
}

// cutOff tells an end that came too early from a file that cannot be read.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return hufu.Refuse(RuleSnapshotCut, "it ends too early")
	}
	return err
}
