package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Files of a home. Nothing secret is in it.
const (
	genesisFile = "genesis.json"
	lockFile    = "lock"
	engineDir   = "engine" // the engine's log, blocks and what was signed last
	stateDir    = "state"  // the ledger's state
	shotsDir    = "snapshots"
	syncingFile = "syncing" // there while the home begins with a snapshot and is not whole
	signedFile  = "signed.json"
)

// maxBlockBytes bounds a block: some 8,000 transactions of usual size.
const maxBlockBytes = 4 << 20

// How long evidence of a validator's misbehaviour counts: for both this time and this many blocks. Nodes that
// prune keep headers and votes for as long. Who is shown older evidence takes it to the members, who can take
// power by vote.
const (
	evidenceAge    = 30 * 24 * time.Hour
	evidenceBlocks = 100_000
)

// NewGenesis writes the genesis file of a network: CometBFT's, with doc as the application's state
// and the founders' validators. All members start from the same file, and clients trust it.
func NewGenesis(doc *machine.GenesisDoc, at time.Time) ([]byte, error) {
	if err := doc.Validate(); err != nil {
		return nil, err
	}
	state, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	params := types.DefaultConsensusParams()
	params.Block.MaxBytes = maxBlockBytes
	params.Version.App = firstVersion
	params.Evidence.MaxAgeDuration, params.Evidence.MaxAgeNumBlocks = evidenceAge, evidenceBlocks
	g := types.GenesisDoc{
		GenesisTime: at.UTC().Round(0), ChainID: string(doc.Network), InitialHeight: 1,
		ConsensusParams: params, AppState: state,
	}
	for i := range doc.Members {
		m := &doc.Members[i]
		if len(m.ValidatorKey) == 0 {
			continue
		}
		key := cmted25519.PubKey(m.ValidatorKey)
		g.Validators = append(g.Validators, types.GenesisValidator{
			Address: key.Address(), PubKey: key, Power: int64(m.Power), Name: string(tx.InceptionID(doc.Network, &m.Inception).DID(doc.Network)),
		})
	}
	if err := g.ValidateAndComplete(); err != nil {
		return nil, fmt.Errorf("node: genesis: %w", err)
	}
	return cmtjson.MarshalIndent(&g, "", " ")
}

// InitHome makes a home for a node of the network of genesis, a file by [NewGenesis]. On an error
// nothing of it is left. A home of the same genesis is left as it is, with ErrExists.
func InitHome(home string, genesis []byte) error {
	if _, err := parseGenesis(genesis); err != nil {
		return err
	}
	path := filepath.Join(home, genesisFile)
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(old, genesis):
		return fmt.Errorf("%w: %s", ErrExists, home)
	case err == nil:
		return fmt.Errorf("%w: %s has another genesis", ErrWrongNetwork, home)
	case !errors.Is(err, fs.ErrNotExist):
		return diskError(err)
	}
	_, err = os.Stat(home)
	made := errors.Is(err, fs.ErrNotExist)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return diskError(err)
	}
	if err := writeFile(path, genesis); err != nil {
		if made {
			err = errors.Join(err, os.Remove(home))
		}
		return err
	}
	return nil
}

// Genesis reads the genesis file of a home.
func Genesis(home string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(home, genesisFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoHome, home)
	}
	return raw, err
}

func parseGenesis(raw []byte) (*types.GenesisDoc, error) {
	g, err := types.GenesisDocFromJSON(raw)
	if err != nil {
		return nil, fmt.Errorf("node: the genesis file does not read as one: %w", err)
	}
	if !hufu.Network(g.ChainID).Valid() || g.InitialHeight != 1 {
		return nil, errors.New("node: the genesis file is not of a Hufu network")
	}
	doc, err := machine.ParseGenesis(g.AppState)
	if err != nil {
		return nil, err
	}
	if string(doc.Network) != g.ChainID {
		return nil, errors.New("node: the genesis file names two networks")
	}
	return g, nil
}

// writeFile writes all of data to path or nothing.
func writeFile(path string, data []byte) error { return diskError(durable.Write(path, data)) }
