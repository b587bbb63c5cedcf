package client

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/ledger/proof"
)

// The store is one file: the magic, the SHA-256 digest of the rest, and the headers that lead from the trust to the last one verified, as
// in a snapshot. It is no secret and no more trusted than the genesis file beside it: what it holds is verified from
// the trust when it is read, except that the age of the headers on the way is no objection. So a file that was
// damaged or is another network's is refused, and never believed; who can write it can write the genesis, too.
const (
	storeMagic = "hufu-headers/1\n"
	maxStore   = 16 << 20
	saveEvery  = 10 * time.Second
)

// load is the path that the store holds, or nil when it holds none that can be used.
func (c *Client) load() []*proof.LightBlock {
	if c.store == "" {
		return nil
	}
	path, err := readStore(c.store)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		if _, err = c.follows(path); err == nil {
			return path
		}
	}
	c.log.Warn("the headers that were kept cannot be used; the client begins at what it was told to trust", "file", c.store, "err", err)
	if err := os.Remove(c.store); err != nil {
		c.log.Warn("they cannot be removed", "err", err)
	}
	return nil
}

// follows verifies a path that was kept.
func (c *Client) follows(path []*proof.LightBlock) (proof.Trusted, error) {
	rules := c.rules
	rules.Period = forever
	return c.trust.follow(path, rules, c.now())
}

func readStore(name string) ([]*proof.LightBlock, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	raw, ok := bytes.CutPrefix(raw, []byte(storeMagic))
	if !ok || len(raw) < sha256.Size || len(raw) > maxStore {
		return nil, hufu.Refuse(RuleBadStore, "not a store of headers")
	}
	sum, raw := raw[:sha256.Size], raw[sha256.Size:]
	if sha256.Sum256(raw) != [sha256.Size]byte(sum) {
		return nil, hufu.Refuse(RuleBadStore, "the file is damaged")
	}
	path, err := decodePath(raw)
	if err != nil {
		return nil, hufu.Refuse(RuleBadStore, "the headers do not read as such")
	}
	return path, nil
}

// save writes the store when it is due, or now. A store that is further on is another client's, and stays.
func (c *Client) save(now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chain := c.chain
	if c.store == "" || c.head == nil || len(chain) == 0 || !now && time.Since(c.saved) < saveEvery {
		return
	}
	c.saved = time.Now()
	chain = c.shorten(chain, 1)
	if kept, err := readStore(c.store); err == nil {
		end, err := c.follows(kept)
		if err == nil && (end.Height > chain[len(chain)-1].Header.Height || end.Hash == chain[len(chain)-1].Header.Hash()) {
			return
		}
	}
	raw, err := encodePath(chain)
	if err == nil {
		sum := sha256.Sum256(raw)
		err = durable.Write(c.store, slices.Concat([]byte(storeMagic), sum[:], raw))
	}
	if err != nil {
		c.log.Warn("the verified headers cannot be kept", "err", err)
	}
}
