package node_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"
)

// Evidence that convicts nobody does not come to the engine, whose blocks it would make invalid, and other evidence does.
func TestEvidenceThatConvictsNobody(t *testing.T) {
	n, cfg := found(t)
	running := start(t, n, cfg)
	for name, c := range map[string]struct {
		validators []*types.Validator
		want       string
	}{
		"none":    {nil, "convicts nobody"},
		"nobody":  {[]*types.Validator{}, "convicts nobody"},
		"someone": {[]*types.Validator{{}}, "ValidateBasic failed"},
	} {
		evidence, err := cmtjson.Marshal(types.Evidence(&types.LightClientAttackEvidence{CommonHeight: 1, ByzantineValidators: c.validators}))
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "broadcast_evidence", "params": map[string]any{"evidence": json.RawMessage(evidence)}})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, running.URL(), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || !strings.Contains(string(answer), c.want) {
			t.Errorf("%s: %s, %v", name, answer, err)
		}
	}
}
