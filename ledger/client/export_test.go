package client

import (
	"encoding/json"

	"github.com/hufu-id/hufu/ledger/proof"
)

// Waiting is how many calls of Submit wait for a transaction.
func Waiting(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, w := range c.waiting {
		n += w.callers
	}
	return n
}

// SignedHeaderOf reads the result of the RPC method commit.
func SignedHeaderOf(result []byte) (*proof.SignedHeader, error) {
	var r struct {
		SignedHeader struct {
			Header headerJSON `json:"header"`
			Commit commitJSON `json:"commit"`
		} `json:"signed_header"`
	}
	err := json.Unmarshal(result, &r)
	return &proof.SignedHeader{Header: r.SignedHeader.Header.header(), Commit: r.SignedHeader.Commit.commit()}, err
}
