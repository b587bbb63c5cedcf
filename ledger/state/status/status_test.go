package status_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	tokenlist "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"pgregory.net/rapid"
)

var (
	issuer = hufu.ID{1}
	other  = hufu.ID{2}
	block  = state.Context{Network: "test", Height: 7, Time: 1_700_000_000}
)

const (
	valid     = hufu.StatusValid
	revoked   = hufu.StatusRevoked
	suspended = hufu.StatusSuspended
)

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule || (rule == "" && err != nil) {
		t.Errorf("got %v, want a refusal by %q", err, rule)
	}
}

// ledger is a state that status transactions act on.
type ledger struct{ *state.Overlay }

func newLedger() ledger { return ledger{state.NewOverlay(state.Empty{})} }

func (l ledger) apply(author hufu.ID, b tx.Body) error {
	return status.Apply(block, l.Overlay, &tx.Tx{Payload: tx.Payload{Author: author, Kind: b.Kind()}, Body: b})
}

func (l ledger) open(t testing.TB, author hufu.ID, list uint64, bits uint8, size uint64) {
	t.Helper()
	if err := l.apply(author, opening(author, list, bits, size)); err != nil {
		t.Fatal(err)
	}
}

func opening(author hufu.ID, list uint64, bits uint8, size uint64) *tx.StatusOpen {
	return &tx.StatusOpen{List: list, Bits: bits, Size: size, URI: status.URI("https://issuer.example", author.DID("test"), list)}
}

func (l ledger) set(author hufu.ID, list uint64, changes ...tx.StatusChange) error {
	return l.apply(author, &tx.StatusSet{List: list, Changes: changes})
}

func to(s hufu.Status, indexes ...uint64) tx.StatusChange {
	return tx.StatusChange{Status: s, Reason: tx.ReasonUnspecified, Indexes: indexes}
}

// lookup is the status of one entry, of a list that must be there.
func lookup(r state.Reader, issuer hufu.ID, list, index uint64) (hufu.Status, error) {
	rec, err := status.GetList(r, issuer, list)
	if err != nil {
		return 0, err
	}
	if rec == nil {
		return 0, errors.New("no such list")
	}
	return rec.Lookup(r, index)
}

func (l ledger) want(t *testing.T, list, index uint64, want hufu.Status) {
	t.Helper()
	if got, err := lookup(l, issuer, list, index); err != nil || got != want {
		t.Errorf("list %d, index %d: %v %v, want %v", list, index, got, err, want)
	}
}

func TestLifeOfAnEntry(t *testing.T) {
	l := newLedger()
	l.open(t, issuer, 0, 2, 5000)
	l.want(t, 0, 4999, valid)
	for _, step := range []struct {
		to   hufu.Status
		rule hufu.Rule
	}{
		{valid, ""},
		{suspended, ""},
		{suspended, ""},
		{valid, ""},
		{suspended, ""},
		{revoked, ""},
		{revoked, ""},
		{suspended, status.RuleFinal},
		{valid, status.RuleFinal},
		{revoked, ""},
	} {
		before, _ := lookup(l, issuer, 0, 4999)
		wantRule(t, l.set(issuer, 0, to(step.to, 4999)), step.rule)
		after := step.to
		if step.rule != "" {
			after = before
		}
		l.want(t, 0, 4999, after)
	}
	l.want(t, 0, 4998, valid)
	// The second list is another list.
	l.open(t, issuer, 1, 1, 5000)
	l.want(t, 1, 4999, valid)
	if n, err := status.Lists(l, issuer); err != nil || n != 2 {
		t.Errorf("%d lists, %v", n, err)
	}
	if n, err := status.Lists(l, other); err != nil || n != 0 {
		t.Errorf("%d lists of a stranger, %v", n, err)
	}
	rec, err := status.GetList(l, issuer, 1)
	if err != nil || *rec != (status.List{Issuer: issuer, Number: 1, Bits: 1, Size: 5000, URI: rec.URI, Height: 7, Time: 1_700_000_000}) {
		t.Errorf("%+v %v", rec, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*tx.StatusOpen)
		rule   hufu.Rule
	}{
		"as it should be": {func(*tx.StatusOpen) {}, ""},
		"number skipped":  {func(b *tx.StatusOpen) { b.List = 2 }, status.RuleNumber},
		"number used":     {func(b *tx.StatusOpen) { b.List = 0 }, status.RuleNumber},
		"another's URI":   {func(b *tx.StatusOpen) { b.URI = status.URI("https://a.example", other.DID("test"), 1) }, status.RuleURI},
		"another network": {func(b *tx.StatusOpen) { b.URI = status.URI("https://a.example", issuer.DID("prod"), 1) }, status.RuleURI},
		"another number":  {func(b *tx.StatusOpen) { b.URI = status.URI("https://a.example", issuer.DID("test"), 0) }, status.RuleURI},
		"no list's URI":   {func(b *tx.StatusOpen) { b.URI = "https://a.example/1" }, status.RuleURI},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.open(t, issuer, 0, 1, 8)
			b := opening(issuer, 1, 1, 8)
			c.change(b)
			before := l.Len()
			err := l.apply(issuer, b)
			wantRule(t, err, c.rule)
			if err != nil && l.Len() != before {
				t.Error("a refused transaction left something behind")
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		author  hufu.ID
		list    uint64
		changes []tx.StatusChange
		rule    hufu.Rule
	}{
		"unknown list":         {issuer, 2, []tx.StatusChange{to(revoked, 0)}, status.RuleUnknownList},
		"another's list":       {other, 0, []tx.StatusChange{to(revoked, 0)}, status.RuleUnknownList},
		"beyond the end":       {issuer, 0, []tx.StatusChange{to(revoked, 0), to(revoked, 3000)}, status.RuleRange},
		"twice":                {issuer, 0, []tx.StatusChange{to(revoked, 0, 5), to(suspended, 5)}, status.RuleTwice},
		"twice the same":       {issuer, 0, []tx.StatusChange{to(revoked, 0, 5), to(revoked, 5)}, status.RuleTwice},
		"suspended in one bit": {issuer, 1, []tx.StatusChange{to(revoked, 0), to(suspended, 1)}, status.RuleBits},
		"last of many":         {issuer, 0, []tx.StatusChange{to(revoked, 0, 1, 2), to(suspended, 2999)}, status.RuleFinal},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			l.open(t, issuer, 0, 2, 3000)
			l.open(t, issuer, 1, 1, 3000)
			if err := l.set(issuer, 0, to(revoked, 2999)); err != nil {
				t.Fatal(err)
			}
			before := l.Changes()
			wantRule(t, l.set(c.author, c.list, c.changes...), c.rule)
			if !slices.EqualFunc(before, l.Changes(), func(a, b state.Change) bool {
				return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
			}) {
				t.Error("a refused batch left something behind")
			}
		})
	}
	l := newLedger()
	if err := l.apply(issuer, &tx.DIDDeactivate{}); err == nil {
		t.Error("applied another module's transaction")
	}
}

func TestLookupURI(t *testing.T) {
	l := newLedger()
	l.open(t, issuer, 0, 1, 8)
	l.open(t, other, 0, 1, 8)
	if err := l.set(issuer, 0, to(revoked, 3)); err != nil {
		t.Fatal(err)
	}
	did := issuer.DID("test")
	uri := status.URI("https://issuer.example", did, 0)
	if s, err := status.LookupURI(l, did, uri, 3); err != nil || s != revoked {
		t.Errorf("%v %v", s, err)
	}
	for name, c := range map[string]struct {
		issuer hufu.DID
		uri    string
		index  uint64
		rule   hufu.Rule
	}{
		"no list's URI":   {did, "https://issuer.example/", 3, status.RuleURI},
		"another issuer":  {did, status.URI("https://issuer.example", other.DID("test"), 0), 3, status.RuleURI},
		"another host":    {did, status.URI("https://elsewhere.example", did, 0), 3, status.RuleURI},
		"another list":    {did, status.URI("https://issuer.example", did, 1), 3, status.RuleUnknownList},
		"beyond the end":  {did, uri, 8, status.RuleRange},
		"another network": {issuer.DID("prod"), status.URI("https://issuer.example", issuer.DID("prod"), 0), 3, status.RuleURI},
	} {
		_, err := status.LookupURI(l, c.issuer, c.uri, c.index)
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v, want %s", name, err, c.rule)
		}
	}
	_, err := lookup(l, issuer, 0, 8)
	wantRule(t, err, status.RuleRange)
	_, _, err = status.Export(l, issuer, 1)
	wantRule(t, err, status.RuleUnknownList)
}

func TestParseURI(t *testing.T) {
	did := issuer.DID("test")
	path := "/statuslists/" + string(did) + "/12"
	for _, base := range []string{
		"https://issuer.example", "https://issuer.example:8443", "https://issuer.example/city/east", "https://[2001:db8::1]",
		"http://localhost:8080", "http://127.0.0.1", "http://[::1]:80", "https://a.example/statuslists",
	} {
		got, list, err := status.ParseURI(base + path)
		if err != nil || got != did || list != 12 {
			t.Errorf("%s: %s %d %v", base, got, list, err)
		}
		if status.URI(base, did, 12) != base+path {
			t.Errorf("%s is written otherwise", base)
		}
	}
	for name, uri := range map[string]string{
		"empty":            "",
		"no scheme":        "localhost" + path,
		"other scheme":     "ftp://issuer.example" + path,
		"upper-case":       "HTTPS://issuer.example" + path,
		"plain http":       "http://issuer.example" + path,
		"almost loopback":  "http://localhost.evil.example" + path,
		"user information": "http://localhost@evil.example" + path,
		"no host":          "https://" + path,
		"upper-case host":  "https://Issuer.example" + path,
		"no path":          "https://issuer.example",
		"other path":       "https://issuer.example/lists/" + string(did) + "/12",
		"no number":        "https://issuer.example/statuslists/" + string(did),
		"empty number":     "https://issuer.example/statuslists/" + string(did) + "/",
		"number with 0":    "https://issuer.example/statuslists/" + string(did) + "/012",
		"signed number":    "https://issuer.example/statuslists/" + string(did) + "/+12",
		"number too large": "https://issuer.example/statuslists/" + string(did) + "/18446744073709551616",
		"more path":        "https://issuer.example" + path + "/x",
		"query":            "https://issuer.example" + path + "?time=1",
		"query before":     "https://issuer.example/?x" + path,
		"fragment":         "https://issuer.example/#" + path,
		"escape":           "https://issuer.example/%41" + path,
		"dots":             "https://issuer.example/.." + path,
		"double slash":     "https://issuer.example/" + path,
		"backslash":        `https://issuer.example/\` + path,
		"another method":   "https://issuer.example/statuslists/did:web:issuer.example/12",
		"no network":       "https://issuer.example/statuslists/did:hufu:" + strings.TrimPrefix(string(did), "did:hufu:test:") + "/12",
	} {
		if _, _, err := status.ParseURI(uri); hufu.RuleOf(err) != status.RuleURI {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add(status.URI("https://issuer.example", issuer.DID("test"), 12))
	f.Add("http://localhost:1/statuslists/did:hufu:x:z/1")
	f.Fuzz(func(t *testing.T, uri string) {
		did, list, err := status.ParseURI(uri)
		if err != nil {
			return
		}
		if !strings.HasSuffix(uri, status.URI("", did, list)) {
			t.Fatalf("%q has a second spelling", uri)
		}
	})
}

// The ledger's lists against a plain map: what an entry is, that revoked stays revoked, that a refused
// batch changes nothing, and that the exported list says the same of every entry.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]uint8{1, 2}).Draw(t, "bits")
		size := rapid.Uint64Range(1, 9000).Draw(t, "size")
		l := newLedger()
		if err := l.apply(issuer, opening(issuer, 0, bits, size)); err != nil {
			t.Fatal(err)
		}
		model := map[uint64]hufu.Status{}
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			changes := drawBatch(t, size)
			next, accepted := modelled(model, changes, bits, size)
			err := l.set(issuer, 0, changes...)
			if (err == nil) != accepted {
				t.Fatalf("batch %v: %v, and the model accepts: %v", changes, err, accepted)
			}
			model = next
		}
		gotBits, packed, err := status.Export(l, issuer, 0)
		if err != nil || gotBits != bits {
			t.Fatal(gotBits, err)
		}
		rec, err := status.GetList(l, issuer, 0)
		if err != nil {
			t.Fatal(err)
		}
		some := rapid.SliceOfNDistinct(rapid.Uint64Range(0, size-1), 0, 50, rapid.ID).Draw(t, "looked up")
		slices.Sort(some)
		run, err := rec.LookupRun(l, some)
		if err != nil || len(run) != len(some) {
			t.Fatal(len(run), err)
		}
		for i, index := range some {
			if run[i] != model[index] {
				t.Fatalf("entry %d is %s in a run, the model says %s", index, run[i], model[index])
			}
		}
		list, err := tokenlist.FromBytes(bits, packed)
		if err != nil {
			t.Fatal(err)
		}
		if list.Size() < size || list.Size() >= size+8 {
			t.Fatalf("exported %d entries of %d", list.Size(), size)
		}
		for i := range list.Size() {
			if s, err := list.Get(i); err != nil || s != model[i] {
				t.Fatalf("exported index %d: %v %v, want %v", i, s, err, model[i])
			}
			if i < size {
				if s, err := lookup(l, issuer, 0, i); err != nil || s != model[i] {
					t.Fatalf("index %d: %v %v, want %v", i, s, err, model[i])
				}
			}
		}
	})
}

func drawBatch(t *rapid.T, size uint64) []tx.StatusChange {
	var changes []tx.StatusChange
	for range rapid.IntRange(1, 3).Draw(t, "groups") {
		indexes := rapid.SliceOfNDistinct(rapid.Uint64Range(0, size+size/200), 1, 6, rapid.ID[uint64]).Draw(t, "indexes")
		slices.Sort(indexes)
		changes = append(changes, to(hufu.Status(rapid.Uint8Range(0, 2).Draw(t, "status")), indexes...))
	}
	return changes
}

// modelled applies a batch to the model, all or nothing.
func modelled(model map[uint64]hufu.Status, changes []tx.StatusChange, bits uint8, size uint64) (map[uint64]hufu.Status, bool) {
	next, seen := map[uint64]hufu.Status{}, map[uint64]bool{}
	for i, s := range model {
		next[i] = s
	}
	for _, c := range changes {
		for _, i := range c.Indexes {
			if i >= size || seen[i] || (bits == 1 && c.Status == suspended) || (model[i] == revoked && c.Status != revoked) {
				return model, false
			}
			seen[i], next[i] = true, c.Status
		}
	}
	return next, true
}

// A client asks for exactly what a look-up reads, and a set touches no more than it must.
func TestKeys(t *testing.T) {
	l := newLedger()
	l.open(t, issuer, 0, 2, 1<<20)
	opened := l.Len()
	if err := l.set(issuer, 0, to(revoked, 70_000, 70_001, 900_000)); err != nil {
		t.Fatal(err)
	}
	if got := l.Len() - opened; got != 3 { // two chunks and the map
		t.Errorf("%d keys written", got)
	}
	r := &reads{r: l}
	if _, err := lookup(r, issuer, 0, 900_000); err != nil {
		t.Fatal(err)
	}
	if len(r.keys) != 2 { // record and chunk
		t.Errorf("read %q", r.keys)
	}
	r.keys = nil
	if _, _, err := status.Export(r, issuer, 0); err != nil {
		t.Fatal(err)
	}
	if len(r.keys) != 4 { // record, map, two chunks
		t.Errorf("an export read %d keys", len(r.keys))
	}
	// The map changes only when a chunk comes to be.
	same := state.NewOverlay(l)
	if err := (ledger{same}).set(issuer, 0, to(revoked, 70_002)); err != nil || same.Len() != 1 {
		t.Errorf("one more entry of a chunk wrote %d keys: %v", same.Len(), err)
	}
	// Sending the same batch again changes nothing.
	o := state.NewOverlay(l)
	if err := (ledger{o}).set(issuer, 0, to(revoked, 70_000, 70_001, 900_000)); err != nil || o.Len() != 0 {
		t.Errorf("a repeated batch wrote %d keys: %v", o.Len(), err)
	}
}

type reads struct {
	r    state.Reader
	keys [][]byte
}

func (r *reads) Get(key []byte) ([]byte, error) {
	r.keys = append(r.keys, key)
	return r.r.Get(key)
}

// broken is a state in which one kind of key cannot be read or holds what it must not.
type broken struct {
	state.Reader
	prefix string
	value  []byte
	err    error
}

func (b broken) Get(key []byte) ([]byte, error) {
	if bytes.HasPrefix(key, []byte(b.prefix)) {
		return b.value, b.err
	}
	return b.Reader.Get(key)
}

// What cannot be read is an error and never "valid".
func TestDamagedState(t *testing.T) {
	l := newLedger()
	l.open(t, issuer, 0, 2, 1<<20)
	if err := l.set(issuer, 0, to(revoked, 5)); err != nil {
		t.Fatal(err)
	}
	entry := func(r state.Reader) error { _, err := lookup(r, issuer, 0, 5); return err }
	export := func(r state.Reader) error { _, _, err := status.Export(r, issuer, 0); return err }
	set := func(r state.Reader) error { return ledger{state.NewOverlay(r)}.set(issuer, 0, to(revoked, 6)) }
	open := func(r state.Reader) error { return ledger{state.NewOverlay(r)}.apply(issuer, opening(issuer, 1, 1, 8)) }
	lists := func(r state.Reader) error { _, err := status.Lists(r, issuer); return err }
	io := errors.New("unreadable")
	for name, c := range map[string]struct {
		state broken
		read  func(state.Reader) error
	}{
		"look-up, record":      {broken{l, "status/list/", nil, io}, entry},
		"look-up, chunk":       {broken{l, "status/chunk/", nil, io}, entry},
		"look-up, short chunk": {broken{l, "status/chunk/", []byte{1}, nil}, entry},
		"export, map":          {broken{l, "status/map/", nil, io}, export},
		"export, short map":    {broken{l, "status/map/", []byte{1}, nil}, export},
		"export, chunk":        {broken{l, "status/chunk/", nil, io}, export},
		"export, chunk gone":   {broken{l, "status/chunk/", nil, nil}, export},
		"set, record":          {broken{l, "status/list/", []byte{0xff}, nil}, set},
		"set, map":             {broken{l, "status/map/", nil, io}, set},
		"set, chunk":           {broken{l, "status/chunk/", nil, io}, set},
		"open, count":          {broken{l, "status/count/", nil, io}, open},
		"count":                {broken{l, "status/count/", nil, io}, lists},
	} {
		if err := c.read(c.state); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ahead notes what it is told will be read.
type ahead struct {
	reads
	told [][]byte
}

func (a *ahead) Prefetch(keys [][]byte) error {
	a.told = append(a.told, keys...)
	return nil
}

// A run ends where a node's answer does, and what it and an export read was asked for at once.
func TestLookupRun(t *testing.T) {
	l := newLedger()
	l.open(t, issuer, 0, 2, 1<<24)
	if err := l.set(issuer, 0, to(revoked, 5, 1024), to(suspended, 6)); err != nil {
		t.Fatal(err)
	}
	rec, err := status.GetList(l, issuer, 0)
	if err != nil {
		t.Fatal(err)
	}
	indexes := []uint64{5, 6, 7}
	for chunk := range uint64(proof.MaxKeysPerAnswer + 5) {
		indexes = append(indexes, 1024*(chunk+1))
	}
	r := &ahead{reads: reads{r: l}}
	got, err := rec.LookupRun(r, indexes)
	if err != nil || len(got) != proof.MaxKeysPerAnswer+2 || !slices.Equal(got[:5], []hufu.Status{revoked, suspended, valid, revoked, valid}) {
		t.Errorf("%d, %v, %v", len(got), got[:5], err)
	}
	if !slices.EqualFunc(r.keys, r.told, bytes.Equal) || len(r.told) != proof.MaxKeysPerAnswer {
		t.Errorf("%d keys were read, %d told of", len(r.keys), len(r.told))
	}
	if got, err := rec.LookupRun(r, nil); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	_, err = rec.LookupRun(r, []uint64{1, 1 << 24})
	wantRule(t, err, status.RuleRange)
	r = &ahead{reads: reads{r: l}}
	if _, _, err := status.Export(r, issuer, 0); err != nil || len(r.told) != 2 || !slices.EqualFunc(r.keys[2:], r.told, bytes.Equal) {
		t.Errorf("an export reads %d keys and told of %d: %v", len(r.keys), len(r.told), err)
	}
}
