package home

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
)

// NodeSettingsFile says where the home's node listens, and to whom it connects. Operators edit it.
const NodeSettingsFile = "node.json"

// NodeSettings are of the node in a network of several.
type NodeSettings struct {
	Listen string   `json:"listen"` // for peers, host:port
	RPC    string   `json:"rpc"`    // for clients of this machine, host:port
	Peers  []string `json:"peers"`  // the others, each id@host:port
	// Metrics is where the node says how it is, on this machine, host:port; nowhere when it is empty.
	Metrics string `json:"metrics,omitempty"`
	// Retain says for how many days blocks are kept: a [Retain]. A new home that does not keep all begins with a
	// snapshot of its peers.
	Retain Retain `json:"retain,omitempty"`
	// SnapshotEvery is the number of blocks from one snapshot for those who join to the next; 0 is the node's own.
	SnapshotEvery hufu.Height `json:"snapshot_every,omitempty"`
}

// Retain is "all", also when it is empty, or a number of days such as "180d".
type Retain string

// RetainAll keeps every block, so that anybody can replay the ledger from its genesis.
const RetainAll Retain = "all"

// Duration is how long blocks are kept, 0 for ever. It is at least least.
func (r Retain) Duration(least time.Duration) (time.Duration, error) {
	if r == "" || r == RetainAll {
		return 0, nil
	}
	number, isDays := strings.CutSuffix(string(r), "d")
	days, err := strconv.ParseUint(number, 10, 16)
	if !isDays || err != nil {
		return 0, fmt.Errorf("home: %q says not how long blocks are kept: %s, or a number of days such as 365d", string(r), RetainAll)
	}
	d := time.Duration(days) * 24 * time.Hour
	if d < least {
		return 0, fmt.Errorf("home: blocks are kept for %d days at least, or clients could not verify from what they trust", int(least.Hours()/24))
	}
	return d, nil
}

// NodeSettings reads them; a home of a network of one has none.
func (h *Home) NodeSettings() (NodeSettings, error) {
	var s NodeSettings
	raw, err := os.ReadFile(h.Path(NodeSettingsFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("home: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("home: %s does not read: %w", NodeSettingsFile, err)
	}
	return s, nil
}

// SetNodeSettings writes them.
func (h *Home) SetNodeSettings(s NodeSettings) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.Path(NodeSettingsFile), append(raw, '\n'))
}
