package client

import (
	"encoding/json"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// DefaultPeriod is the trusting period used when [Trust.Period] is zero. Within it the validators of
// an old header are taken not to have turned against the network; members are organisations under
// contract, so it is longer than with anonymous stake.
const DefaultPeriod = 180 * 24 * time.Hour

// maxGenesis bounds a genesis file in bytes.
const maxGenesis = 16 << 20

// Trust is what a client believes to begin with. It must come by a way that the node does not
// control: shipped with the program, or compared by people.
type Trust struct {
	Network hufu.Network
	// GenesisTime and Validators are those of the network's genesis.
	GenesisTime time.Time
	Validators  []proof.Validator
	// Checkpoint, when set, is trusted in place of the genesis.
	Checkpoint *Checkpoint
	// Period is the trusting period; 0 is [DefaultPeriod].
	Period time.Duration
}

// Checkpoint is a header that was verified earlier: see [Client.Checkpoint].
type Checkpoint struct {
	Height hufu.Height `json:"height"`
	Hash   hufu.Digest `json:"hash"`
}

// ParseGenesis reads the trust from a network's genesis file (CometBFT's genesis.json).
func ParseGenesis(file []byte) (Trust, error) {
	var doc struct {
		Network    hufu.Network    `json:"chain_id"`
		Time       time.Time       `json:"genesis_time"`
		Validators []validatorJSON `json:"validators"`
	}
	if err := encoding.CheckJSON(file, maxGenesis); err != nil {
		return Trust{}, hufu.Refuse(RuleTrust, "the genesis is not JSON: %v", err)
	}
	if err := json.Unmarshal(file, &doc); err != nil {
		return Trust{}, hufu.Refuse(RuleTrust, "the genesis does not read as one")
	}
	t := Trust{Network: doc.Network, GenesisTime: doc.Time}
	for _, v := range doc.Validators {
		val, err := v.validator()
		if err != nil {
			return Trust{}, hufu.Refuse(RuleTrust, "genesis validator: %v", err)
		}
		t.Validators = append(t.Validators, val)
	}
	return t, t.check()
}

func (t *Trust) check() error {
	switch {
	case !t.Network.Valid():
		return hufu.Refuse(RuleTrust, "no valid network name")
	case t.Checkpoint == nil && (len(t.Validators) == 0 || t.GenesisTime.IsZero()):
		return hufu.Refuse(RuleTrust, "neither genesis validators and time nor a checkpoint")
	case t.Period < 0:
		return hufu.Refuse(RuleTrust, "a negative trusting period")
	}
	return nil
}

func (t *Trust) period() time.Duration {
	if t.Period == 0 {
		return DefaultPeriod
	}
	return t.Period
}
