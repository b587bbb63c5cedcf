package node_test

import (
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// paced is a chain with a clock that is driven by hand.
type paced struct {
	*chain
	now    time.Time
	number uint64 // of the next identifier
}

func newPaced(t *testing.T) *paced {
	t.Helper()
	p := &paced{chain: newChain(t, store.NewMemory()), now: time.Unix(1_760_000_000, 0)}
	p.app.SetClock(func() time.Time { return p.now })
	return p
}

// waiting offers a transaction while half of so many bytes wait for a block, all of which is the share of the one
// line that there is, and so many to be checked.
func (p *paced) waiting(pending, intake int) (client, peer error) {
	p.t.Helper()
	defer p.app.FillLine(p.net.Members[0].ID, true, pending/2)()
	defer p.app.FillIntake(intake)()
	p.number += 2
	return p.app.Offer(p.create(p.number), "192.0.2.1"), p.app.OfferFromPeer(p.create(p.number+1), "peer")
}

func (p *paced) expect(pending, intake int, taken bool) {
	p.t.Helper()
	client, peer := p.waiting(pending, intake)
	if (client == nil) != taken || client != nil && hufu.RuleOf(client) != proof.RuleBusy {
		p.t.Errorf("with %d bytes waiting and %d to be checked, a client is told: %v", pending, intake, client)
	}
	if peer != nil {
		p.t.Errorf("with %d bytes waiting and %d to be checked, a peer is told: %v", pending, intake, peer)
	}
}

// What clients offer waits for a block as long as the pace of the last blocks allows, and is refused beyond
// that. What peers pass on was let in by others.
func TestWaitingIsBoundedByTime(t *testing.T) {
	const unit = 2 << 20
	p := newPaced(t)
	p.expect(node.LeastPendingBytes/2, 0, true)
	p.expect(node.LeastPendingBytes, 0, false) // nothing is known of the pace
	blocks := func(n, bytes int, apart time.Duration) {
		for range n {
			p.now = p.now.Add(apart)
			p.app.Carried(bytes)
		}
	}
	blocks(20, 2*unit, 250*time.Millisecond) // 16 MiB a second
	wait := int(8 * unit * node.Patience.Seconds())
	p.expect(wait-unit, 0, true)
	p.expect(wait+unit, 0, false)
	blocks(20, unit, 500*time.Millisecond) // 4 MiB a second
	wait = int(2 * unit * node.Patience.Seconds())
	p.expect(wait-unit/2, 0, true)
	p.expect(wait+unit/2, 0, false)
	// No block comes: what may wait becomes less, and in the end only what fits into three like those before.
	p.now = p.now.Add(time.Minute)
	p.expect(3*unit-unit/2, 0, true)
	p.expect(3*unit+unit/2, 0, false)
	// Blocks that are far apart do not keep what is for the next one out.
	blocks(10, unit, 5*time.Second)
	p.expect(3*unit-unit/2, 0, true)
	p.expect(3*unit+unit/2, 0, false)
	// However fast it goes, there is a bound in number.
	blocks(40, 64*unit, 50*time.Millisecond)
	client, peer := p.waiting(node.MaxPendingBytes, 0)
	if hufu.RuleOf(client) != proof.RuleBusy || hufu.RuleOf(peer) != proof.RuleBusy {
		t.Errorf("client %v, peer %v", client, peer)
	}
}

// The same of what waits to be checked: a caller learns soon that there is too much.
func TestCheckingIsBoundedByTime(t *testing.T) {
	p := newPaced(t)
	p.expect(0, node.LeastOffered/2, true)
	p.expect(0, node.LeastOffered, false)
	answered := func(bytes int) {
		for range 40 {
			p.now = p.now.Add(100 * time.Millisecond)
			p.app.Answered(bytes)
		}
	}
	answered(200 << 10)
	wait := int(2000 << 10 * node.OfferedPatience.Seconds())
	p.expect(0, wait-wait/8, true)
	p.expect(0, wait+wait/8, false)
	answered(1 << 10)
	p.expect(0, node.LeastOffered/2, true)
	p.expect(0, node.LeastOffered, false)
}
