package chaos

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// The load: enough at once that every block has something, little enough for a machine of two cores.
const (
	creators        = 8 // each submits identifiers one after the other, through its node
	registers       = 3
	registerClients = 3 // of each register, reading and writing, each through its node
	// lifetime is for how many blocks a transaction may be included.
	lifetime = 1000
	// answerTime bounds one call of a client.
	answerTime = time.Minute
	// breath is between two calls when a node is away.
	breath = 50 * time.Millisecond
)

// load is the clients of a network at work.
type load struct {
	*history
	network *network
	began   time.Time
	people  atomic.Uint64
	stop    context.CancelFunc
	group   sync.WaitGroup
}

// person is somebody who makes an identifier.
type person struct {
	id  hufu.ID
	key keys.Signer
	raw []byte // the transaction
}

// startLoad makes the registers and sets everybody to work, until stop.
func (w *network) startLoad() *load {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	l := &load{history: newHistory(), network: w, began: time.Now(), stop: cancel}
	w.t.Cleanup(func() {
		cancel()
		l.group.Wait()
	})
	for r := range registers {
		p, err := l.person(w.nodes[r%len(w.nodes)], 0)
		if err != nil {
			w.t.Fatal(err)
		}
		receipt, err := w.nodes[0].client.Submit(ctx, p.raw)
		if err != nil {
			w.t.Fatalf("making a register: %v", err)
		}
		l.acknowledged(receipt)
		for c := range registerClients {
			number, n := r*registerClients+c, w.nodes[(r+c)%len(w.nodes)]
			l.group.Go(func() { l.useRegister(ctx, number, n, p) })
		}
	}
	for i := range creators {
		l.group.Go(func() { l.create(ctx, w.nodes[i%len(w.nodes)]) })
	}
	return l
}

// end stops all clients and returns when none is under way.
func (l *load) end() {
	l.stop()
	l.group.Wait()
}

// person makes the transaction of an identifier, paid for by a node's member, for some blocks from now on.
func (l *load) person(n *node, now hufu.Height) (*person, error) {
	number := l.people.Add(1)
	key, err := sample.Key("person", number)
	if err != nil {
		return nil, err
	}
	body := inception(key)
	raw, err := tx.Build(nil, tx.Payload{Network: networkName, Expires: now + lifetime, Sponsor: &n.id}, body,
		tx.SignerRef{Signer: key}, tx.SignerRef{ID: n.id, Signer: n.control})
	return &person{tx.InceptionID(networkName, body), key, raw}, err
}

// inception is an identifier of one key, which never changes.
func inception(key keys.Signer) *tx.DIDCreate {
	return &tx.DIDCreate{
		Keys: [][]byte{key.Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{sha256.Sum256(key.Public().Raw())}, NextThreshold: 1, // of no key
	}
}

// create submits one identifier after the other.
func (l *load) create(ctx context.Context, n *node) {
	for ctx.Err() == nil {
		l.call(ctx, n, func(ctx context.Context) error {
			seen := l.floor()
			p, err := l.person(n, seen)
			if err != nil {
				return err
			}
			since := l.now()
			receipt, err := n.client.Submit(ctx, p.raw)
			if err == nil {
				l.acknowledged(receipt)
				l.took(n, since, seen, receipt)
			}
			return err
		})
	}
}

// call does something through a node and judges how it failed: a node may be away, full or behind.
func (l *load) call(ctx context.Context, n *node, f func(context.Context) error) {
	short, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := f(short)
	if err == nil || ctx.Err() != nil {
		return
	}
	switch rule := hufu.RuleOf(err); {
	case strings.HasPrefix(string(rule), "client."):
		l.fault("%s lies: %v", n, err)
	case n.metered && rule == gov.RuleQuotaExhausted:
	case rule != "" && rule != machine.RuleSequence && rule != client.RuleBusy:
		l.fault("%s refuses: %v", n, err)
	}
	select {
	case <-time.After(breath):
	case <-ctx.Done():
	}
}

// useRegister reads and writes a register, again and again.
func (l *load) useRegister(ctx context.Context, number int, n *node, p *person) {
	random := rand.New(rand.NewPCG(l.network.seed, uint64(number)))
	for i := 0; ctx.Err() == nil; i++ {
		write, value := random.IntN(2) == 0, fmt.Sprintf("urn:chaos:%d:%d", number, i)
		l.call(ctx, n, func(ctx context.Context) error {
			was, err := l.read(ctx, n, n.client, number, p.id)
			if err != nil || !write {
				return err
			}
			return l.write(ctx, n, number, p, was, value)
		})
	}
}

// read reads a register through a node, at no height before one that somebody has seen already: that is what
// makes a read of a node that is behind wait instead of answering of the past.
func (l *load) read(ctx context.Context, n *node, c *client.Client, number int, id hufu.ID) (register, error) {
	o := operation{client: number, register: id, call: l.now(), through: n.String()}
	if _, err := c.Await(ctx, l.floor()); err != nil {
		return register{}, err
	}
	err := c.Read(ctx, func(v client.View) error {
		rec, err := did.Get(v, id)
		if err != nil {
			return err
		}
		if rec == nil {
			return fmt.Errorf("register %x is not there at height %d", id, v.AsOf().Height)
		}
		o.was, o.at, o.root = register{sequence: rec.Sequence}, v.AsOf().Height, v.AsOf().AppHash
		if len(rec.Services) == 1 {
			o.was.value = rec.Services[0].Endpoint
		}
		return nil
	})
	if err != nil {
		return register{}, err
	}
	l.done(o)
	return o.was, nil
}

// write puts a value in place of what a register was.
func (l *load) write(ctx context.Context, n *node, number int, p *person, was register, value string) error {
	o := operation{client: number, register: p.id, write: true, was: was, value: value, call: l.now(), through: n.String()}
	body := &tx.DIDUpdate{SetServices: &[]tx.Service{{Fragment: "register", Type: "Register", Endpoint: value}}}
	raw, err := tx.Build(nil, tx.Payload{Network: networkName, Author: p.id, Sequence: was.sequence, Expires: l.floor() + lifetime},
		body, tx.SignerRef{Signer: p.key})
	if err != nil {
		return err
	}
	o.transactionID = sha256.Sum256(raw)
	receipt, err := n.client.Submit(ctx, raw)
	switch {
	case err == nil:
		o.at = receipt.Height
		l.acknowledged(receipt)
		l.done(o)
	case errors.Is(err, client.ErrUnknownOutcome), hufu.RuleOf(err) == "" && !errors.Is(err, client.ErrNotCommitted):
		o.unknown = true
		l.done(o)
	}
	// Else it is refused, or expired without being in a block, and had no effect.
	return err
}
