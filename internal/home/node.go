package home

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
)

// NodeSettingsFile says where the home's node listens, and to whom it connects. Operators edit it.
const NodeSettingsFile = "node.json"

// NodeSettings are of the node in a network of several.
type NodeSettings struct {
	Listen string   `json:"listen"` // for peers, host:port
	RPC    string   `json:"rpc"`    // for clients of this machine, host:port
	Peers  []string `json:"peers"`  // the others, each id@host:port
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
