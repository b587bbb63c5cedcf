package bench

import (
	"context"
	"errors"

	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
)

// replay audits what the first validator has committed and returns transactions per second. The header that
// signs the last block's result is waited for first: an idle network takes a moment to make it.
func (l *ledgerBench) replay(ctx context.Context, v *validators) (float64, error) {
	n := v.nodes[0]
	last := n.Height()
	if err := v.each(ctx, func(n *node.Node) bool { return n.Height() > last }); err != nil {
		return 0, err
	}
	transport, err := client.Dial(n.URL())
	if err != nil {
		return 0, err
	}
	var r *audit.Replayed
	took, err := measure(func() (err error) {
		r, err = audit.Replay(ctx, l.network.Genesis, audit.FromNode(transport), audit.Options{Until: last})
		return err
	})
	if err = errors.Join(err, transport.Close()); err != nil {
		return 0, err
	}
	defer r.Close() //nolint:errcheck // a store in memory
	if r.Divergence != nil {
		return 0, r.Divergence
	}
	return perSecond(r.Transactions, took.wall), nil
}
