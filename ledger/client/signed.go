package client

import (
	"context"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Signed is the state of one height and who vouches for it.
type Signed struct {
	hufu.AsOf
	Block      hufu.Digest // the header that commits to the state: the one after AsOf.Height
	AppVersion uint64      // of the rules, in that header
	Validators []Signature
}

// Signature is one validator, and whether its signature of the header was there.
type Signature struct {
	Key    [32]byte // Ed25519
	Power  int64
	Signed bool
}

// SignedAt verifies the header that commits to the state of height, from the client's trust on, and says who
// signed it. The node has it once the block after height is committed.
func (c *Client) SignedAt(ctx context.Context, height hufu.Height) (Signed, error) {
	path, err := c.path(ctx, height+1)
	if err != nil {
		return Signed{}, err
	}
	b := path[len(path)-1]
	s := Signed{AsOf: b.Header.AsOf(), Block: b.Header.Hash(), AppVersion: b.Header.AppVersion}
	for i, v := range b.Validators {
		s.Validators = append(s.Validators, Signature{Key: v.Key, Power: v.Power, Signed: b.Commit.Votes[i].Flag == proof.FlagCommit})
	}
	return s, nil
}

// Missing is up to which height the node says that it lacks headers of which evidence still counts, since it began with a
// snapshot and its peers had them no more: it cannot judge evidence of those. 0 is none. Nothing proves it.
func (h *HTTP) Missing(ctx context.Context) (hufu.Height, error) {
	raw, err := h.Query(ctx, proof.PathMissing, nil)
	if err != nil {
		return 0, unreachable(err)
	}
	var height hufu.Height
	if err := encoding.Unmarshal(raw, &height); err != nil {
		return 0, unreachable(err)
	}
	return height, nil
}

// maxPeers bounds what a node is believed to be connected to.
const maxPeers = 1000

// First is the height of the first block that the node says it keeps, 0 before it has one.
func (h *HTTP) First(ctx context.Context) (hufu.Height, error) {
	var r struct {
		Sync struct {
			First hufu.Height `json:"earliest_block_height,string"`
		} `json:"sync_info"`
	}
	err := h.call(ctx, "status", map[string]any{}, &r)
	return r.Sync.First, unreachable(err)
}

// Peers lists the ids of the nodes that the node says it is connected to. Nothing proves it.
func (h *HTTP) Peers(ctx context.Context) ([]string, error) {
	var r struct {
		Peers []struct {
			Info struct {
				ID string `json:"id"`
			} `json:"node_info"`
		} `json:"peers"`
	}
	if err := h.call(ctx, "net_info", map[string]any{}, &r); err != nil {
		return nil, unreachable(err)
	}
	out := make([]string, 0, min(len(r.Peers), maxPeers))
	for _, p := range r.Peers[:min(len(r.Peers), maxPeers)] {
		out = append(out, p.Info.ID)
	}
	return out, nil
}
