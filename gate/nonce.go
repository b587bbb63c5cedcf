package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// ruleForeignNonce is what a presentation made for another request is first refused by.
const ruleForeignNonce = sdjwt.RuleNonce

// foreignNonce says more about a presentation that was made for another request: whether that request is
// one of this gate's that was answered, so that this is a replay.
func (g *Gate) foreignNonce(ctx context.Context, own string, answer oid4vp.VPToken) (hufu.Rule, error) {
	for _, id := range answer.IDs() {
		for _, presentation := range answer[id] {
			nonce := boundNonce(presentation)
			if nonce == "" || nonce == own {
				continue
			}
			used, err := g.Store.Answered(ctx, nonce)
			if err != nil {
				return "", fmt.Errorf("gate: %w", err)
			}
			if used {
				return RuleReplayed, nil
			}
		}
	}
	return RuleUnknownNonce, nil
}

// boundNonce is the nonce a presentation says it was made for, unverified.
func boundNonce(presentation string) string {
	m, err := jws.Parse(presentation[strings.LastIndexByte(presentation, '~')+1:], oid4vp.MaxPresentation)
	if err != nil {
		return ""
	}
	var binding struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal(m.Payload, &binding); err != nil {
		return ""
	}
	return binding.Nonce
}
