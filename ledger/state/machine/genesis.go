package machine

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// MaxGenesis is the largest genesis document, in bytes: 512 members of some 2 KiB each.
const MaxGenesis = 1 << 20

// GenesisDoc is what the founding members agree on before the first block. As JSON it is the
// app_state of CometBFT's genesis file.
type GenesisDoc struct {
	Network hufu.Network `json:"network"`
	Params  tx.Params    `json:"params"`
	Members []Founder    `json:"members"` // at least one with voting power
}

// Founder is a founding member. Its identifier is that of its inception.
type Founder struct {
	Name         string       `json:"name"`
	Inception    tx.DIDCreate `json:"inception"`
	ValidatorKey []byte       `json:"validator_key,omitempty"` // Ed25519
	Power        uint64       `json:"power,omitempty"`
	Quota        uint64       `json:"quota"`
	OpenQuota    uint64       `json:"open_quota,omitempty"`
}

// ParseGenesis reads a genesis document strictly: unknown and duplicate members are refused, and what
// [GenesisDoc.Validate] refuses.
func ParseGenesis(data []byte) (*GenesisDoc, error) {
	if err := encoding.CheckJSON(data, MaxGenesis); err != nil {
		return nil, hufu.Refuse(gov.RuleGenesis, "%v", err)
	}
	g := new(GenesisDoc)
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(g); err != nil {
		return nil, hufu.Refuse(gov.RuleGenesis, "%v", err)
	}
	return g, g.Validate()
}

// Validate refuses, by [gov.RuleGenesis], a document that no network can start from.
func (g *GenesisDoc) Validate() error {
	_, err := build(g, 0)
	return err
}

// Genesis writes the state before the first block, at a time in unix seconds, and lists the first
// validators. The founders' records have height 0.
func Genesis(ctx state.Context, g *GenesisDoc, o *state.Overlay) ([]ValidatorUpdate, error) {
	if ctx.Network != g.Network {
		return nil, hufu.Refuse(gov.RuleGenesis, "a document of another network")
	}
	built, err := build(g, ctx.Time)
	if err != nil {
		return nil, err
	}
	for _, c := range built.Changes() {
		o.Set(c.Key, c.Value)
	}
	return EndBlock(ctx, o)
}

// build makes the state of g on nothing.
func build(g *GenesisDoc, time int64) (*state.Overlay, error) {
	if !g.Network.Valid() {
		return nil, hufu.Refuse(gov.RuleGenesis, "no valid network name")
	}
	if err := g.Params.Validate(); err != nil {
		return nil, founding(err)
	}
	ctx := state.Context{Network: g.Network, Time: time}
	o := state.NewOverlay(state.Empty{})
	if err := gov.SetParams(ctx, o, hufu.Digest{}, &g.Params); err != nil {
		return nil, err
	}
	if len(g.Members) == 0 {
		return nil, hufu.Refuse(gov.RuleGenesis, "no members")
	}
	for i := range g.Members {
		if err := found(ctx, o, &g.Members[i]); err != nil {
			return nil, founding(err)
		}
	}
	if err := gov.CheckValidators(o); err != nil {
		return nil, founding(err)
	}
	return o, nil
}

func found(ctx state.Context, o *state.Overlay, f *Founder) error {
	if err := f.Inception.Validate(); err != nil {
		return err
	}
	if err := checkGuard(o, &f.Inception); err != nil {
		return err
	}
	id := tx.InceptionID(ctx.Network, &f.Inception)
	terms := f.Terms(ctx.Network)
	if err := terms.Validate(); err != nil {
		return err
	}
	if err := did.CheckNew(o, id); err != nil {
		return err
	}
	if err := did.Create(ctx, o, id, &f.Inception, id, false); err != nil {
		return err
	}
	return gov.Admit(ctx, o, hufu.Digest{}, &terms)
}

// Terms are the founder's terms of membership.
func (f *Founder) Terms(network hufu.Network) tx.MemberTerms {
	return tx.MemberTerms{
		Member: tx.InceptionID(network, &f.Inception), Name: f.Name, ValidatorKey: f.ValidatorKey,
		Power: f.Power, Quota: f.Quota, OpenQuota: f.OpenQuota,
	}
}

// founding gives a refusal met while reading genesis the rule of genesis.
func founding(err error) error {
	var r *hufu.Refusal
	if errors.As(err, &r) {
		return hufu.Refuse(gov.RuleGenesis, "%v", err)
	}
	return err
}
