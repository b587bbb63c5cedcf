package node_test

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"math/big"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// message is a transaction taken apart (RFC 9052 §4.1).
type message struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[int][]byte
	Payload     []byte
	Signatures  []signature
}

type signature struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected map[int][]byte
	Sig         []byte
}

// altered takes a transaction apart, changes it and puts it together again.
func altered(t *testing.T, raw []byte, change func(*message)) []byte {
	t.Helper()
	var tag encoding.Tag
	if err := encoding.Unmarshal(raw, &tag); err != nil {
		t.Fatal(err)
	}
	var m message
	if err := encoding.Unmarshal(tag.Content, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	inner, err := encoding.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out, err := encoding.Marshal(encoding.Tag{Number: tag.Number, Content: inner})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(out, raw) {
		t.Fatal("nothing was altered")
	}
	return out
}

// beyondEd25519 adds the group's order to S: the same signature for a lenient verifier (RFC 8032 §8.4).
func beyondEd25519(sig []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := bytes.Clone(sig[32:])
	reverse(s)
	n := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	reverse(n)
	return append(bytes.Clone(sig[:32]), n...)
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// otherS is the second signature that ECDSA has for the same message: n − s.
func otherS(sig []byte) []byte {
	s := new(big.Int).SetBytes(sig[32:])
	return append(bytes.Clone(sig[:32]), s.Sub(elliptic.P256().Params().N, s).FillBytes(make([]byte, 32))...)
}

// createWith is the creation of an identifier with a key of any suite, paid for by sponsor if any.
func createWith(t *testing.T, n *sample.Network, signer, claimed keys.Signer, sponsor *hufu.ID, expires hufu.Height) []byte {
	t.Helper()
	body := &tx.DIDCreate{
		Keys: [][]byte{claimed.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{{1}}, NextThreshold: 1,
	}
	raw, err := tx.Build(nil, tx.Payload{Network: n.Name, Expires: expires, Sponsor: sponsor}, body, tx.SignerRef{Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func key(t *testing.T, suite *keys.Suite, number byte) keys.Signer {
	t.Helper()
	k, err := suite.Load(bytes.Repeat([]byte{number}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func services(fragment string) *tx.DIDUpdate {
	return &tx.DIDUpdate{SetServices: &[]tx.Service{{Fragment: fragment, Type: "Test", Endpoint: "https://example.org"}}}
}

func (c *chain) own(sequence uint64, fragment string) []byte {
	c.t.Helper()
	raw, err := c.net.Transaction(sequence, services(fragment))
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// noPoint is c's creation of an identifier with a key that is 32 bytes of no point of the curve.
func (c *chain) noPoint(number uint64) (raw []byte, id hufu.ID) {
	c.t.Helper()
	raw = altered(c.t, c.create(number), func(m *message) {
		var p tx.Payload
		var b tx.DIDCreate
		if err := errors.Join(encoding.Unmarshal(m.Payload, &p), encoding.Unmarshal(p.Body, &b)); err != nil {
			c.t.Fatal(err)
		}
		b.Keys[0] = append([]byte{0xed, 0x01, 2}, make([]byte, 31)...)
		id = tx.InceptionID(p.Network, &b)
		m.Signatures[0].Protected = bytes.Replace(m.Signatures[0].Protected, p.Author[:], id[:], 1)
		var err error
		if p.Body, err = encoding.Marshal(&b); err != nil {
			c.t.Fatal(err)
		}
		p.Author = id
		if m.Payload, err = encoding.Marshal(&p); err != nil {
			c.t.Fatal(err)
		}
	})
	return raw, id
}

// A block may hold what its proposer likes. A key that is no point is refused as one, though its transaction
// is executed before its signature is checked, and whatever comes of it in the block.
func TestKeyThatIsNoPoint(t *testing.T) {
	c := newChain(t, store.NewMemory())
	created, id := c.noPoint(1)
	own, err := tx.Build(nil, tx.Payload{Network: c.net.Name, Author: id, Sequence: 1, Expires: sample.Lifetime}, services("x"), tx.SignerRef{Signer: key(t, keys.Ed25519, 1)})
	if err != nil {
		t.Fatal(err)
	}
	for name, txs := range map[string][][]byte{
		"alone": {created}, "and a transaction by it": {created, own}, "and a bad one": {c.create(2), created, c.own(7, "future")},
	} {
		if got := c.process(txs); got.String() != "REJECT" {
			t.Errorf("%s: %s", name, got)
		}
		if _, err := c.finalize(txs); hufu.RuleOf(err) != tx.RuleBody {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.app.Hold(created, own)
	if got := c.prepare(); len(got) != 0 {
		t.Errorf("%d in a proposal", len(got))
	}
}

type badTx struct {
	raw  []byte
	rule hufu.Rule
}

// badTransactions are every kind of transaction that may be in no block after the next one of c.
// It commits what they replay.
func badTransactions(t *testing.T, c *chain) map[string]badTx {
	t.Helper()
	n, good := c.net, c.create(1000)
	foreign, err := sample.New("other", 1)
	if err != nil {
		t.Fatal(err)
	}
	abroad, _, err := foreign.CreateDID(1000)
	if err != nil {
		t.Fatal(err)
	}
	created, update := c.create(1), c.own(1, "first")
	c.commit([][]byte{created, update})
	c.commit(nil)

	sponsor := &n.Members[0].ID
	one, two := key(t, keys.Ed25519, 1), key(t, keys.Ed25519, 2)
	p256 := createWith(t, n, key(t, keys.P256, 3), key(t, keys.P256, 3), sponsor, sample.Lifetime)
	wrongIndex, err := tx.Build(nil, tx.Payload{Network: n.Name, Author: n.Members[0].ID, Sequence: 2, Expires: sample.Lifetime},
		services("x"), tx.SignerRef{KeyIndex: 1, Signer: n.Members[0].Control})
	if err != nil {
		t.Fatal(err)
	}
	noPoint, _ := c.noPoint(3000)
	return map[string]badTx{
		"key that is no point": {noPoint, tx.RuleBody},
		"empty":                {nil, tx.RuleMalformed},
		"truncated":            {good[:len(good)-1], tx.RuleMalformed},
		"trailing bytes":       {append(bytes.Clone(good), 0), tx.RuleMalformed},
		"duplicate map keys": {altered(t, good, func(m *message) {
			m.Payload = append(append([]byte{m.Payload[0] + 1}, m.Payload[1:]...), 7, 0xa0)
		}), tx.RuleMalformed},
		"wrong network":   {abroad, tx.RuleNetwork},
		"expired":         {createWith(t, n, one, one, sponsor, 1), machine.RuleExpired},
		"replayed":        {update, machine.RuleSequence},
		"created again":   {created, did.RuleExists},
		"future sequence": {c.own(3, "third"), machine.RuleSequence},
		"unknown kind": {altered(t, good, func(m *message) {
			m.Payload = bytes.Replace(m.Payload, []byte("did.create"), []byte("did.stolen"), 1)
		}), tx.RuleKind},
		"over size":           {make([]byte, tx.MaxSize+1), tx.RuleTooLarge},
		"missing quota":       {createWith(t, n, one, one, nil, sample.Lifetime), gov.RuleNoQuota},
		"signed by a thief":   {createWith(t, n, two, one, sponsor, sample.Lifetime), machine.RuleSignature},
		"key that never was":  {wrongIndex, machine.RuleKey},
		"Ed25519 S malleated": {altered(t, good, func(m *message) { m.Signatures[0].Sig = beyondEd25519(m.Signatures[0].Sig) }), machine.RuleSignature},
		"ECDSA S malleated":   {altered(t, p256, func(m *message) { m.Signatures[0].Sig = otherS(m.Signatures[0].Sig) }), machine.RuleSignature},
		"unprotected header":  {altered(t, good, func(m *message) { m.Signatures[0].Unprotected = map[int][]byte{4: {1}} }), tx.RuleUnprotectedHeader},
		"unprotected header of the message": {
			altered(t, good, func(m *message) { m.Unprotected = map[int][]byte{4: {1}} }), tx.RuleUnprotectedHeader,
		},
	}
}

// TestBadTransactions tries each at every door of the application. A block that holds one is no block,
// whatever else it holds, and nothing changes.
func TestBadTransactions(t *testing.T) {
	c := newChain(t, store.NewMemory())
	bad := badTransactions(t, c)
	good := [][]byte{c.create(2000), c.create(2001)}
	before := c.store.State()
	c.app.Hold(good[0])
	for name, b := range bad {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if err := c.check(b.raw); hufu.RuleOf(err) != b.rule {
				t.Errorf("admission: %v, not %s", err, b.rule)
			}
			block := [][]byte{good[0], b.raw, good[1]}
			for _, txs := range [][][]byte{{b.raw}, block} {
				if got := c.process(txs); got.String() != "REJECT" {
					t.Errorf("a proposal of %d: %s", len(txs), got)
				}
				if _, err := c.finalize(txs); hufu.RuleOf(err) == "" {
					t.Errorf("a decided block of %d: %v", len(txs), err)
				}
			}
			c.app.Hold(b.raw, good[1]) // which waits from the first on
			if got := c.prepare(); len(got) != 2 || !bytes.Equal(got[0], good[0]) || !bytes.Equal(got[1], good[1]) {
				t.Errorf("%d transactions in the proposal, not the two good ones", len(got))
			}
			if now := c.store.State(); now.Height != before.Height || now.Root != before.Root {
				t.Errorf("the state moved from %d to %d", before.Height, now.Height)
			}
			if c.app.Waiting() != len(good) {
				t.Errorf("%d wait", c.app.Waiting())
			}
		})
	}
	c.t = t
	// And what was altered is good as it was.
	if r := c.commit([][]byte{c.create(1000), good[0], good[1]}); len(r.TxResults) != 3 || r.TxResults[0].Code != 0 {
		t.Errorf("%+v", r.TxResults)
	}
}
