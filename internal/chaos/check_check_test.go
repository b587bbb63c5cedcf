package chaos

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/tx"
)

// story is a small chain and what clients were told of it: one register, made in block 1 and written in block 2.
type story struct {
	chains []chain
	acks   map[hufu.Digest]client.Receipt
	ops    []operation
	lies   []lied
}

func newStory(t *testing.T) *story {
	t.Helper()
	n, err := sample.New("chaos", 1)
	if err != nil {
		t.Fatal(err)
	}
	made, id, err := n.CreateDID(1)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sample.Key("person", 1)
	if err != nil {
		t.Fatal(err)
	}
	written, err := tx.Build(nil, tx.Payload{Network: n.Name, Author: id, Sequence: 1, Expires: sample.Lifetime},
		&tx.DIDUpdate{SetServices: &[]tx.Service{{Fragment: "register", Type: "Register", Endpoint: "urn:a"}}}, tx.SignerRef{Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{acks: map[hufu.Digest]client.Receipt{}}
	for _, name := range []string{"node1", "node2"} {
		c := chain{node: name}
		for i, txs := range [][][]byte{{made}, {written}, nil, nil} {
			c.add(n.Name, txs, time.Unix(1_760_000_000+int64(i), 0))
		}
		s.chains = append(s.chains, c)
	}
	for i, raw := range [][]byte{made, written} {
		s.acks[sha256.Sum256(raw)] = client.Receipt{Height: hufu.Height(i + 1), TxID: sha256.Sum256(raw)}
	}
	root := func(of hufu.Height) (d hufu.Digest) { copy(d[:], s.chains[0].at(of+1).header.AppHash); return d }
	s.ops = []operation{
		{register: id, call: 1, back: 2, was: register{sequence: 1}, at: 1, root: root(1)},
		{register: id, call: 3, back: 6, write: true, was: register{sequence: 1}, value: "urn:a", at: 2},
		{register: id, call: 4, back: 9, write: true, was: register{sequence: 1}, value: "urn:b", unknown: true, client: 1},
		{register: id, call: 7, back: 8, was: register{2, "urn:a"}, at: 3, root: root(3)},
	}
	return s
}

// add puts a block on top, as a node has it.
func (c *chain) add(network hufu.Network, txs [][]byte, at time.Time) {
	root, state := proof.TransactionsRoot(txs), sha256.Sum256([]byte{byte(len(c.blocks))})
	b := block{txs: txs, results: make([]client.Result, len(txs)), header: proof.Header{
		Network: network, Height: hufu.Height(len(c.blocks) + 1), Time: at, DataHash: root[:], AppHash: state[:], EvidenceHash: noEvidence[:],
	}}
	if len(c.blocks) > 0 {
		last := c.blocks[len(c.blocks)-1].header.Hash()
		b.header.LastBlockID.Hash = last[:]
	}
	c.blocks = append(c.blocks, b)
}

func (s *story) check() map[string]error {
	began := time.Unix(1_760_000_000, 0)
	return map[string]error{
		"chains":    checkChains(s.chains),
		"once":      checkOnce(&s.chains[0], s.acks),
		"reads":     checkReads(&s.chains[0], s.ops),
		"registers": checkLinearizable(s.ops),
		"accused":   checkAccused(&s.chains[0], false),
		"lies":      checkLies(&s.chains[0], s.lies),
		"times":     checkTimes(&s.chains[0], began, began.Add(time.Minute)),
	}
}

// Each check finds what it is there for, and in a story in which all is well none finds anything.
func TestChecks(t *testing.T) {
	for what, err := range newStory(t).check() {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Both nodes have it, so that the nodes agree.
	both := func(change func(c *chain)) func(*story) {
		return func(s *story) {
			for i := range s.chains {
				change(&s.chains[i])
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*story)
		check string
		says  string
	}{
		"another app hash":     {func(s *story) { s.chains[1].blocks[2].header.AppHash = make([]byte, 32) }, "chains", "height 3"},
		"a fork":               {func(s *story) { s.chains[1].blocks[3].header.Time = time.Unix(0, 0) }, "chains", "a fork"},
		"a broken chain":       {both(func(c *chain) { c.blocks[2].header.Time = time.Unix(1_760_000_009, 0) }), "chains", "does not follow"},
		"a missing block":      {func(s *story) { s.chains[1].blocks = s.chains[1].blocks[:3] }, "chains", "to 3"},
		"a shifted block":      {both(func(c *chain) { c.blocks[3].header.Height = 5 }), "chains", "in place of 4"},
		"other bytes":          {func(s *story) { s.chains[1].blocks[1].txs = [][]byte{{1}} }, "chains", "other transactions"},
		"twice":                {both(func(c *chain) { c.blocks[3].txs = c.blocks[0].txs }), "once", "twice"},
		"lost":                 {both(func(c *chain) { c.blocks[0].txs = nil }), "once", "nowhere"},
		"elsewhere":            {both(func(c *chain) { c.blocks[2], c.blocks[1] = c.blocks[1], c.blocks[2] }), "once", "is in block 3"},
		"refused":              {both(func(c *chain) { c.blocks[0].results[0].Code = 1 }), "once", "was refused"},
		"a stale proof":        {func(s *story) { s.ops[3].was = s.ops[0].was }, "reads", "the blocks make it"},
		"a value of nobody":    {func(s *story) { s.ops[3].was.value = "urn:c" }, "reads", "the blocks make it"},
		"another root":         {func(s *story) { s.ops[3].root = s.ops[0].root }, "reads", "under app hash"},
		"a height to come":     {func(s *story) { s.ops[3].at = 9 }, "reads", "ends at 4"},
		"a lost write":         {func(s *story) { s.ops[3].was = s.ops[0].was }, "registers", "not linearizable"},
		"both writes":          {func(s *story) { s.ops[2].unknown = false }, "registers", "not linearizable"},
		"a read of the future": {func(s *story) { s.ops[0].was = register{2, "urn:a"} }, "registers", "not linearizable"},
		"an accusation":        {both(func(c *chain) { c.blocks[2].header.EvidenceHash = make([]byte, 32) }), "accused", "[3]"},
		"a lie": {func(s *story) {
			s.lies = append(s.lies, lied{Height: 2, Name: "duplicate", Root: hufu.Digest(s.chains[0].blocks[1].header.DataHash)})
		}, "lies", "holds a lie"},
		"a clock that was believed": {both(func(c *chain) { c.blocks[3].header.Time = time.Unix(1_760_000_600, 0) }), "times", "height 4"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			c.spoil(s)
			if err := s.check()[c.check]; err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say %q", err, c.says)
			}
		})
	}
	// A write of which nobody knows may have taken effect, or not.
	s := newStory(t)
	s.ops = append(s.ops, operation{register: s.ops[0].register, call: 10, back: 11, write: true, was: register{2, "urn:a"}, value: "urn:c", unknown: true})
	for _, was := range []register{{2, "urn:a"}, {3, "urn:c"}} {
		if err := checkLinearizable(append(slices.Clone(s.ops), operation{register: s.ops[0].register, call: 12, back: 13, was: was})); err != nil {
			t.Error(err)
		}
	}
	if err := checkAccused(&s.chains[0], true); err == nil {
		t.Error("evidence that is not there was found")
	}
}

// Whose transactions wait twice as long is at the limit, and one of 100 does not count.
func TestCheckFair(t *testing.T) {
	waits := func(blocks ...hufu.Height) (out []wait) {
		for range 99 {
			out = append(out, wait{blocks: blocks[0]})
		}
		for _, b := range blocks[1:] {
			out = append(out, wait{blocks: b})
		}
		return out
	}
	for name, c := range map[string]struct {
		before, during []wait
		fair           bool
	}{
		"the same":            {waits(2), waits(2), true},
		"twice and one":       {waits(2), waits(5), true},
		"longer":              {waits(2), waits(6), false},
		"one of 100":          {waits(2), waits(2, 50), true},
		"two":                 {waits(2), waits(2, 50, 50), false},
		"one was slow before": {waits(2, 50), waits(6), false},
		"nothing before":      {nil, waits(2), false},
		"nothing comes in":    {waits(2), nil, false},
	} {
		if err := checkFair(c.before, c.during); (err == nil) != c.fair {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := newHistory()
	h.took(time.Month(1), 0, 5, client.Receipt{Height: 8})
	h.took(time.Month(2), 0, 5, client.Receipt{Height: 4}) // it was in a block that others had seen
	until := h.now()
	h.took(time.Month(3), 0, 5, client.Receipt{Height: 9})
	h.took(time.Month(3), -1, 5, client.Receipt{Height: 9})
	if w := h.waited(0, until); len(w) != 2 || w[0].blocks != 3 || w[0].through != "January" || w[1].blocks != 0 {
		t.Errorf("%+v", w)
	}
}
