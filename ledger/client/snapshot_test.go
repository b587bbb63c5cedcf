package client_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
)

func export(t *testing.T, s *scene, c *client.Client) ([]byte, hufu.AsOf) {
	t.Helper()
	var file bytes.Buffer
	asOf, err := c.ExportSnapshot(s.ctx, &file)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), asOf
}

// magicLen is the length of "hufu-snapshot/1\n".
const magicLen = 16

// parts takes a snapshot file apart: the path, the pages and the empty end.
func parts(t testing.TB, file []byte) [][]byte {
	t.Helper()
	var out [][]byte
	for rest := file[magicLen:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		out = append(out, rest[4:4+n])
		rest = rest[4+n:]
	}
	return out
}

// whole puts a snapshot file together.
func whole(file []byte, parts ...[]byte) []byte {
	out := bytes.Clone(file[:magicLen])
	for _, p := range parts {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(p))), p...)
	}
	return out
}

// page is the records of a snapshot as changed.
func page(t testing.TB, raw []byte, change func([]proof.Record) []proof.Record) []byte {
	t.Helper()
	var records []proof.Record
	if err := encoding.Unmarshal(raw, &records); err != nil {
		t.Fatal(err)
	}
	out, err := encoding.Marshal(change(records))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A snapshot answers what the live view answered, for records that are there and that are not.
func TestSnapshotIsTheState(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	var keys [][]byte
	for range 5 {
		keys = append(keys, did.StateKey(s.person(c).id))
	}
	file, asOf := export(t, s, c)
	snap, err := client.OpenSnapshot(bytes.NewReader(file), s.trust(), time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if snap.AsOf() != asOf || snap.Network() != s.net.Name || snap.Len() < len(keys) {
		t.Errorf("%+v of %s with %d records, exported %+v", snap.AsOf(), snap.Network(), snap.Len(), asOf)
	}
	err = c.Read(s.ctx, func(v client.View) error {
		if v.AsOf().AppHash != asOf.AppHash {
			t.Fatal("the ledger moved") // by itself it only makes empty blocks
		}
		for _, key := range keys {
			live, err := v.Get(key)
			if err != nil {
				return err
			}
			if kept, err := snap.Get(key); err != nil || !bytes.Equal(kept, live) || live == nil {
				t.Errorf("live %x, kept %x, %v", live, kept, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(r, "key")
		if rapid.Bool().Draw(r, "prefix of a real one") {
			key = keys[rapid.IntRange(0, len(keys)-1).Draw(r, "which")]
			key = key[:rapid.IntRange(1, len(key)).Draw(r, "length")]
		}
		if err := c.Read(s.ctx, func(v client.View) error {
			live, err := v.Get(key)
			if err != nil {
				return err
			}
			if kept, err := snap.Get(key); err != nil || !bytes.Equal(kept, live) || (kept == nil) != (live == nil) {
				r.Errorf("live %x, kept %x, %v", live, kept, err)
			}
			return nil
		}); err != nil {
			r.Fatal(err)
		}
	})
}

func TestSnapshotRefused(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	for range 3 {
		s.person(c)
	}
	point, err := c.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.person(c) // the checkpoint is not of the state exported
	file, _ := export(t, s, c)
	p := parts(t, file)
	if len(p) != 3 {
		t.Fatalf("%d parts", len(p))
	}
	path, records, end := p[0], p[1], p[2]
	change := func(how func([]proof.Record) []proof.Record) []byte {
		return whole(file, path, page(t, records, how), end)
	}
	blocks := func(how func([][]byte) [][]byte) []byte {
		var list [][]byte
		if err := encoding.Unmarshal(path, &list); err != nil {
			t.Fatal(err)
		}
		raw, err := encoding.Marshal(how(list))
		if err != nil {
			t.Fatal(err)
		}
		return whole(file, raw, records, end)
	}
	for name, r := range map[string]struct {
		file []byte
		rule hufu.Rule
	}{
		"nothing":          {nil, client.RuleBadSnapshot},
		"another file":     {[]byte("PK\x03\x04 some archive of files"), client.RuleBadSnapshot},
		"no end":           {whole(file, path, records), client.RuleSnapshotCut},
		"no records":       {whole(file, path, end), client.RuleBadRoot},
		"only the name":    {file[:magicLen], client.RuleSnapshotCut},
		"more":             {append(bytes.Clone(file), 0), client.RuleBadSnapshot},
		"a record missing": {change(func(r []proof.Record) []proof.Record { return r[1:] }), client.RuleBadRoot},
		"last missing":     {change(func(r []proof.Record) []proof.Record { return r[:len(r)-1] }), client.RuleBadRoot},
		"a record more": {change(func(r []proof.Record) []proof.Record {
			extra := proof.Record{Value: []byte{1}}
			last := proof.HashKey(r[len(r)-1].Key)
			for n := uint64(0); ; n++ { // whose place is after all others
				extra.Key = binary.BigEndian.AppendUint64(nil, n)
				if at := proof.HashKey(extra.Key); bytes.Compare(at[:], last[:]) > 0 {
					return append(r, extra)
				}
			}
		}), client.RuleBadRoot},
		"a record twice":   {change(func(r []proof.Record) []proof.Record { return append(r[:1:1], r...) }), client.RuleSnapshotOrder},
		"out of order":     {change(func(r []proof.Record) []proof.Record { r[0], r[1] = r[1], r[0]; return r }), client.RuleSnapshotOrder},
		"pages swapped":    {whole(file, path, page(t, records, func(r []proof.Record) []proof.Record { return r[1:] }), page(t, records, func(r []proof.Record) []proof.Record { return r[:1] }), end), client.RuleSnapshotOrder},
		"another value":    {change(func(r []proof.Record) []proof.Record { r[0].Value[0] ^= 1; return r }), client.RuleBadRoot},
		"no value":         {change(func(r []proof.Record) []proof.Record { r[0].Value = nil; return r }), client.RuleBadSnapshot},
		"values exchanged": {change(func(r []proof.Record) []proof.Record { r[0].Value, r[1].Value = r[1].Value, r[0].Value; return r }), client.RuleBadRoot},
		"page no page":     {whole(file, path, []byte{0xa0}, end), client.RuleBadSnapshot},
		"long part":        {append(bytes.Clone(file[:magicLen]), 0xff, 0xff, 0xff, 0xff), client.RuleBadSnapshot},
		"no path":          {blocks(func([][]byte) [][]byte { return nil }), client.RuleBadSnapshot},
		"path no path":     {whole(file, []byte{0x01}, records, end), client.RuleBadSnapshot},
		"block no block":   {blocks(func(b [][]byte) [][]byte { return append(b, []byte{1}) }), client.RuleBadSnapshot},
		"block twice":      {blocks(func(b [][]byte) [][]byte { return append(b, b[0]) }), proof.RuleHeight},
	} {
		t.Run(name, func(t *testing.T) {
			snap, err := client.OpenSnapshot(bytes.NewReader(r.file), s.trust(), time.Now(), 0)
			wantRule(t, err, r.rule)
			if snap != nil {
				t.Error("a snapshot beside the refusal")
			}
		})
	}

	other, err := sample.New("other", 1)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := client.ParseGenesis(other.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]struct {
		change func(*client.Trust)
		now    time.Time
		rule   hufu.Rule
	}{
		"other network":    {func(t *client.Trust) { t.Network = "other" }, time.Now(), proof.RuleNetwork},
		"other founders":   {func(t *client.Trust) { t.Validators = foreign.Validators }, time.Now(), proof.RuleDistant},
		"too old":          {func(t *client.Trust) { t.Period = time.Hour }, time.Now(), proof.RuleExpired},
		"too new":          {func(*client.Trust) {}, time.Now().Add(-time.Hour), proof.RuleTime},
		"other checkpoint": {func(t *client.Trust) { t.Checkpoint = &point }, time.Now(), proof.RuleHeader},
		"no trust":         {func(t *client.Trust) { t.Validators = nil }, time.Now(), client.RuleTrust},
	} {
		t.Run(name, func(t *testing.T) {
			trust := s.trust()
			r.change(&trust)
			_, err := client.OpenSnapshot(bytes.NewReader(file), trust, r.now, 0)
			wantRule(t, err, r.rule)
		})
	}

	// A disk that fails is not a bad snapshot.
	broken := io.MultiReader(bytes.NewReader(file[:len(file)/2]), failing{})
	if _, err := client.OpenSnapshot(broken, s.trust(), time.Now(), 0); !errors.Is(err, os.ErrPermission) {
		t.Errorf("an unreadable file: %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, os.ErrPermission }

// Whatever byte is altered and wherever the file is cut, it is refused.
func TestSnapshotEveryByte(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	s.person(c)
	file, _ := export(t, s, c)
	trust, now := s.trust(), time.Now()
	proposer := bytes.Count(file, s.net.Members[0].Keys.Validator.Public().Raw())
	if proposer == 0 {
		t.Fatal("the validator's key is not in the file")
	}
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 0x10
		if _, err := client.OpenSnapshot(bytes.NewReader(bad), trust, now, 0); hufu.RuleOf(err) == "" && !sameMeaning(t, file, bad) {
			t.Fatalf("byte %d of %d altered: %v", i, len(file), err)
		}
		if _, err := client.OpenSnapshot(bytes.NewReader(file[:i]), trust, now, 0); hufu.RuleOf(err) == "" {
			t.Fatalf("cut at byte %d of %d: %v", i, len(file), err)
		}
	}
}

// sameMeaning reports whether only the names of validators in the file differ, which follow from their
// keys and are not read.
func sameMeaning(t *testing.T, a, b []byte) bool {
	t.Helper()
	pa, pb := parts(t, a), parts(t, b)
	if len(pa) != len(pb) || !bytes.Equal(pa[1], pb[1]) {
		return false
	}
	var la, lb [][]byte
	if encoding.Unmarshal(pa[0], &la) != nil || encoding.Unmarshal(pb[0], &lb) != nil || len(la) != len(lb) {
		return false
	}
	for i := range la {
		ba, errA := proof.ParseLightBlock(la[i])
		bb, errB := proof.ParseLightBlock(lb[i])
		if errA != nil || errB != nil {
			return false
		}
		ra, errA := ba.Encode()
		rb, errB := bb.Encode()
		if errA != nil || errB != nil || !bytes.Equal(ra, rb) {
			return false
		}
	}
	return true
}

// A snapshot carries the way from its exporter's trust, through new validators or from a checkpoint.
func TestSnapshotTrust(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	p := s.person(c)
	point, err := c.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.replaceValidator(c, 1)
	file, asOf := export(t, s, c)
	snap, err := client.OpenSnapshot(bytes.NewReader(file), s.trust(), time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := did.Get(snap, p.id); err != nil || rec == nil || snap.AsOf() != asOf {
		t.Errorf("%+v, %v", rec, err)
	}
	trust := s.trust()
	trust.Validators, trust.Checkpoint, trust.Period = nil, &point, time.Hour
	file, asOf = export(t, s, s.dial(s.node.URL(), trust, client.Options{}))
	if snap, err := client.OpenSnapshot(bytes.NewReader(file), trust, time.Now(), 0); err != nil || snap.AsOf() != asOf {
		t.Errorf("from a checkpoint: %v", err)
	}
	_, err = client.OpenSnapshot(bytes.NewReader(file), trust, time.Now().Add(2*time.Hour), 0)
	wantRule(t, err, proof.RuleExpired)
	wrong := trust
	wrong.Checkpoint = &client.Checkpoint{Height: point.Height, Hash: hufu.Digest{1}}
	_, err = client.OpenSnapshot(bytes.NewReader(file), wrong, time.Now(), 0)
	wantRule(t, err, proof.RuleHeader)

	// The checkpoint itself may be all there is of the way.
	p3 := parts(t, file)
	var path [][]byte
	if err := encoding.Unmarshal(p3[0], &path); err != nil {
		t.Fatal(err)
	}
	last, err := proof.ParseLightBlock(path[len(path)-1])
	if err != nil {
		t.Fatal(err)
	}
	short, err := encoding.Marshal(path[len(path)-1:])
	if err != nil {
		t.Fatal(err)
	}
	file = whole(file, short, p3[1], p3[2])
	trust.Checkpoint = &client.Checkpoint{Height: last.Header.Height, Hash: last.Header.Hash()}
	if snap, err := client.OpenSnapshot(bytes.NewReader(file), trust, time.Now(), 0); err != nil || snap.AsOf() != asOf {
		t.Error(err)
	}
	_, err = client.OpenSnapshot(bytes.NewReader(file), trust, time.Now().Add(2*time.Hour), 0)
	wantRule(t, err, proof.RuleExpired)
}

func TestLiesAboutSnapshots(t *testing.T) {
	s := newScene(t)
	s.person(s.honest())
	lying := func(how func(first bool, p *proof.SnapshotPage)) clienttest.Lie {
		return to(proof.PathSnapshot, func(e *clienttest.Exchange) {
			var (
				req  proof.SnapshotRequest
				page proof.SnapshotPage
			)
			if encoding.Unmarshal(e.Data(), &req) != nil || encoding.Unmarshal(e.Value(), &page) != nil {
				return
			}
			how(req.Session == 0, &page)
			raw, err := encoding.Marshal(&page)
			if err != nil {
				panic(err) // it was encoded before
			}
			e.SetValue(raw)
		})
	}
	records := func(how func([]proof.Record) []proof.Record) clienttest.Lie {
		return lying(func(_ bool, p *proof.SnapshotPage) {
			if len(p.Records) > 0 {
				p.Records = how(p.Records)
			}
		})
	}
	s.told(t, map[string]lie{
		"record missing": {records(func(r []proof.Record) []proof.Record { return r[1:] }), client.RuleBadRoot, "not those that the header signs"},
		"record altered": {records(func(r []proof.Record) []proof.Record { r[0].Value[0] ^= 1; return r }), client.RuleBadRoot, "not those that the header signs"},
		"out of order":   {records(func(r []proof.Record) []proof.Record { r[0], r[1] = r[1], r[0]; return r }), client.RuleSnapshotOrder, "not after"},
		"without end": {lying(func(first bool, p *proof.SnapshotPage) {
			if !first {
				p.Records, p.Last = nil, false
			}
		}), client.RuleBadSnapshot, "a page without records"},
		"other root": {lying(func(first bool, p *proof.SnapshotPage) {
			if first {
				p.Root[0] ^= 1
			}
		}), client.RuleBadRoot, "not the app hash"},
		"of no height": {lying(func(first bool, p *proof.SnapshotPage) {
			if first {
				p.Root[0] ^= 1
				p.Height += 1_000_000
			}
		}), client.RuleBadRoot, "of a node at height"},
		"no page": {to(proof.PathSnapshot, func(e *clienttest.Exchange) { e.SetValue([]byte{0x01}) }), client.RuleBadSnapshot, "does not read"},
	}, s.deceived, func(c *client.Client) error {
		_, err := c.ExportSnapshot(s.ctx, io.Discard)
		return err
	})
}

// FuzzOpenSnapshot's seed is a file that was exported, whose trust is long over for today's clock.
func FuzzOpenSnapshot(f *testing.F) {
	n, err := sample.New("test", 1)
	if err != nil {
		f.Fatal(err)
	}
	trust, err := client.ParseGenesis(n.Genesis)
	if err != nil {
		f.Fatal(err)
	}
	trust.Period = longPeriod
	text, err := os.ReadFile("testdata/snapshot.hex")
	if err != nil {
		f.Fatal(err)
	}
	seed, err := hex.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
	if err != nil {
		f.Fatal(err)
	}
	at := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	good, err := client.OpenSnapshot(bytes.NewReader(seed), trust, at, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:magicLen])
	f.Add(whole(seed, []byte{0x80}, nil))
	f.Fuzz(func(t *testing.T, file []byte) {
		snap, err := client.OpenSnapshot(bytes.NewReader(file), trust, at, 0)
		switch {
		case err != nil && hufu.RuleOf(err) == "":
			t.Fatalf("an error that is no refusal: %v", err)
		case err == nil && (snap.AsOf() != good.AsOf() || snap.Len() != good.Len()):
			t.Fatalf("another state is signed: %+v", snap.AsOf())
		}
	})
}
