package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/byzantine"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	ledgernode "github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Actors are processes that do what the product does not: this test's own binary, told by its environment whom
// to play, for whom, and against whom.
const (
	actorEnv  = "HUFU_CHAOS_ACTOR"
	memberEnv = "HUFU_CHAOS_MEMBER" // home of the member it is
	targetEnv = "HUFU_CHAOS_TARGET" // nodes, "<id>@host:port,…"
)

// actors are told to end by SIGTERM, and tell what they did on standard output, as lines of JSON.
var actors = map[string]func(*member, context.Context) error{
	"proposer": (*member).propose,
	"flood":    (*member).flood,
	"garbage":  (*member).garbage,
}

// act plays an actor.
func act(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	play := actors[name]
	if play == nil {
		return fmt.Errorf("nobody can play %q", name)
	}
	m, err := openMember(os.Getenv(memberEnv))
	if err != nil {
		return err
	}
	return play(m, ctx)
}

// member is an organisation that does as it likes with the keys it has.
type member struct {
	home    *home.Home
	id      hufu.ID
	control keys.Signer
	tell    *json.Encoder
}

func openMember(dir string) (*member, error) {
	h, err := home.Open(dir, keystore.KeyFile(dir+".key"))
	if err != nil {
		return nil, err
	}
	m := &member{home: h, tell: json.NewEncoder(os.Stdout)}
	name, err := h.Identity("member")
	if err != nil {
		return nil, err
	}
	if _, m.id, err = name.Parse(); err != nil {
		return nil, err
	}
	m.control, err = h.Keys().Signer("member/control/0")
	return m, err
}

// person is the creation of an identifier by a key that nobody else uses, paid for by the member.
func (m *member) person(number uint64, expires hufu.Height) ([]byte, error) {
	key, err := sample.Key("person of an actor", number)
	if err != nil {
		return nil, err
	}
	return tx.Build(nil, tx.Payload{Network: networkName, Expires: expires, Sponsor: &m.id}, inception(key),
		tx.SignerRef{Signer: key}, tx.SignerRef{ID: m.id, Signer: m.control})
}

// update is a change of the member's own record.
func (m *member) update(sequence uint64, expires hufu.Height, what string) ([]byte, error) {
	body := &tx.DIDUpdate{SetServices: &[]tx.Service{{Fragment: what, Type: "Lie", Endpoint: "urn:lie:" + what}}}
	return tx.Build(nil, tx.Payload{Network: networkName, Author: m.id, Sequence: sequence, Expires: expires}, body, tx.SignerRef{Signer: m.control})
}

// lie is what a proposer puts into a block that may not be in it.
type lie struct {
	name  string
	rule  hufu.Rule // by which it is refused; empty: by one or another
	block func(decided [][]byte) [][]byte
}

// lies are blocks for the network at a height, while the member's record has sequence 1.
func (m *member) lies(height hufu.Height) ([]lie, error) {
	var errs []error
	made := func(raw []byte, err error) []byte {
		errs = append(errs, err)
		return raw
	}
	expires := height + lifetime
	fresh, second := made(m.person(1, expires)), made(m.person(2, expires))
	first, after, ahead := made(m.update(1, expires, "first")), made(m.update(2, expires, "second")), made(m.update(7, expires, "ahead"))
	expired := made(m.update(1, 1, "late"))
	always := func(txs ...[]byte) func([][]byte) [][]byte { return func([][]byte) [][]byte { return txs } }
	return []lie{
		{"invalid signature", machine.RuleSignature, always(fresh, forged(second))},
		{"duplicate", did.RuleExists, always(fresh, second, fresh)},
		// By the rule of what it is: an identifier that exists, or a sequence that was used.
		{"committed before", "", func(decided [][]byte) [][]byte { return append([][]byte{fresh}, decided...) }},
		{"oversized", tx.RuleTooLarge, always(bytes.Repeat([]byte{0xa0}, tx.MaxSize+1))},
		{"reordered", machine.RuleSequence, always(after, first)},
		{"ahead of its turn", machine.RuleSequence, always(ahead)},
		{"expired", machine.RuleExpired, always(expired)},
		{"garbage", tx.RuleMalformed, always([]byte("garbage"))},
	}, errors.Join(errs...)
}

// forged is a transaction whose last signature does not hold.
func forged(raw []byte) []byte {
	raw = bytes.Clone(raw)
	raw[len(raw)-1] ^= 1
	return raw
}

// propose plays the member's validator, with a lie in every block that it proposes, one after the other and
// again.
func (m *member) propose(ctx context.Context) error {
	k, err := m.home.NodeSigners()
	if err != nil {
		return err
	}
	settings, err := m.home.NodeSettings()
	if err != nil {
		return err
	}
	genesis, err := m.home.Genesis()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(os.Getenv(memberEnv)), "proposer-")
	if err != nil {
		return err
	}
	turn := 0
	p := &byzantine.Proposer{Fill: func(height hufu.Height, _, decided [][]byte) [][]byte {
		lies, err := m.lies(height)
		if err != nil || len(decided) == 0 { // nothing was committed before
			return nil
		}
		l := &lies[turn%len(lies)]
		turn++
		txs := l.block(decided)
		_ = m.tell.Encode(lied{height, l.name, l.rule, proof.TransactionsRoot(txs)}) // what is not told was not refused either
		return txs
	}}
	if err := p.Start(ctx, dir, genesis, ledgernode.Keys{Validator: k.Validator, Node: k.Node}, settings.Listen, settings.Peers); err != nil {
		return err
	}
	<-ctx.Done()
	return p.Stop()
}

// The flood: more than a node can take beside its other work, by as many hands as make it wait for none. What it sends is
// made before it begins: the machine's work meanwhile is the nodes'.
const (
	floodHands  = 16
	floodForged = 16   // of many more, the node listens to nothing that comes from there
	floodReady  = 2048 // more than the quota pays for: what is refused for want of it is sent again
)

// flooded is what the flood tells, with nothing in it when it begins, and at its end.
type flooded struct {
	Sent     int               `json:"sent"`
	Admitted int               `json:"admitted"`
	Refused  map[hufu.Rule]int `json:"refused"`
}

// flood hands transactions to the member's own node, as fast as it answers.
func (m *member) flood(ctx context.Context) error {
	c, err := client.Dial("http://" + rpcAddress)
	if err != nil {
		return err
	}
	defer c.Close()
	first := uint64(time.Now().UnixNano()) // no other round's
	ready := make(chan []byte, floodReady)
	for number := range uint64(floodReady) {
		raw, err := m.person(first+number, sample.Lifetime)
		if err != nil {
			return err
		}
		if number < floodForged {
			raw = forged(raw)
		}
		ready <- raw
	}
	if err := m.tell.Encode(flooded{}); err != nil {
		return err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	out := flooded{Refused: map[hufu.Rule]int{}}
	for range floodHands {
		group.Go(func() {
			for ctx.Err() == nil {
				var raw []byte
				select {
				case raw = <-ready: // and there is room to put it back
				case <-ctx.Done():
					return
				}
				a, err := c.Broadcast(ctx, raw)
				mu.Lock()
				switch {
				case err != nil:
				case a.Rule == "":
					out.Sent, out.Admitted = out.Sent+1, out.Admitted+1
				default:
					out.Sent++
					out.Refused[a.Rule]++
				}
				mu.Unlock()
				if a.Rule != "" && a.Rule != machine.RuleSignature {
					ready <- raw
				}
			}
		})
	}
	group.Wait()
	return m.tell.Encode(out)
}

// garbage sends the targets everything that no honest peer sends, and forged transactions, each over a connection
// of its own, and wants each connection ended.
func (m *member) garbage(ctx context.Context) error {
	all, err := byzantine.AllGarbage()
	if err != nil {
		return err
	}
	all = append(all, byzantine.Garbage{Name: "forged transactions", Send: m.forge})
	for target := range strings.SplitSeq(os.Getenv(targetEnv), ",") {
		for _, g := range all {
			p, err := byzantine.Connect(ctx, networkName, target)
			if err != nil {
				return fmt.Errorf("%s, before %s: %w", target, g.Name, err)
			}
			sent := g.Send(p) // the node may have hung up before the end
			select {
			case <-p.Dropped():
			case <-time.After(patience):
				return fmt.Errorf("%s: %s (%w): it is a peer still", target, g.Name, sent)
			case <-ctx.Done():
				return ctx.Err()
			}
			p.Close()
		}
		if err := m.tell.Encode(map[string]any{"target": target, "dropped": len(all)}); err != nil {
			return err
		}
	}
	return nil
}

// forge sends forged transactions until the node hangs up.
func (m *member) forge(p *byzantine.Peer) error {
	for number := uint64(1); ; number++ {
		raw, err := m.person(number, sample.Lifetime)
		if err != nil {
			return err
		}
		if err := p.Transactions(forged(raw)); err != nil {
			return err
		}
		select {
		case <-p.Dropped():
			return io.EOF
		case <-time.After(time.Millisecond): // a node that is sent too much at once takes what it has room for
		}
	}
}

// told reads the lines of one kind from what an actor told.
func told[T any](log string) (out []T, err error) {
	lines := bufio.NewScanner(strings.NewReader(log))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x T
		if !strings.HasPrefix(lines.Text(), "{") {
			return out, errors.New(lines.Text())
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return out, err
		}
		out = append(out, x)
	}
	return out, lines.Err()
}
