package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// starter is [node.Start] or [node.StartBare].
type starter func(context.Context, node.Config, node.Keys) (*node.Node, error)

// validators are the running nodes of a network's members, all in this process, each with a home and
// connections of its own. Processor time of the process is therefore that of all of them.
type validators struct {
	nodes []*node.Node
	dir   string
}

// startValidators starts a node for each member, tells each of those before it, and returns when all have
// committed a block.
func startValidators(ctx context.Context, start starter, network *sample.Network, dir string) (v *validators, err error) {
	v = &validators{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.stop())
		}
	}()
	var peers []string
	for i := range network.Members {
		home := filepath.Join(dir, fmt.Sprintf("node-%d", i))
		if err := node.InitHome(home, network.Genesis); err != nil {
			return v, err
		}
		cfg := node.Config{Home: home, Peers: peers}
		if len(network.Members) > 1 {
			cfg.ListenP2P = "127.0.0.1:0"
		}
		n, err := start(ctx, cfg, network.Members[i].Keys)
		if err != nil {
			return v, err
		}
		v.nodes = append(v.nodes, n)
		peers = append(peers[:len(peers):len(peers)], n.ID()+"@"+n.AddressP2P())
	}
	return v, v.each(ctx, func(n *node.Node) bool { return n.Height() > 0 })
}

// stop ends all nodes and removes their homes.
func (v *validators) stop() error {
	var errs []error
	for _, n := range v.nodes {
		errs = append(errs, n.Stop(), n.Err())
	}
	return errors.Join(append(errs, os.RemoveAll(v.dir))...)
}

// of is the validator that the i-th of many is offered to.
func (v *validators) of(i int) *node.Node { return v.nodes[i%len(v.nodes)] }

// all is how many transactions every validator has committed.
func (v *validators) all() int {
	least := v.nodes[0].Transactions()
	for _, n := range v.nodes[1:] {
		least = min(least, n.Transactions())
	}
	return int(least)
}

// committed waits until every validator has committed this many transactions.
func (v *validators) committed(ctx context.Context, txs int) error {
	return v.each(ctx, func(n *node.Node) bool { return n.Transactions() >= uint64(txs) })
}

// each waits until every validator is as asked for.
func (v *validators) each(ctx context.Context, done func(*node.Node) bool) error {
	for _, n := range v.nodes {
		for !done(n) {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-n.Done():
				return errors.Join(errors.New("bench: a node stopped"), n.Err())
			case <-time.After(100 * time.Microsecond):
			}
		}
	}
	return context.Cause(ctx)
}
