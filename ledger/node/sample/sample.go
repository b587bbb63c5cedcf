// Package sample makes small networks with known keys, and transactions for them, for tests and
// measurements. Its keys follow from numbers that anybody can count: nothing of it may be used for
// a network that matters.
package sample

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Network is a network of one founding member or several, each with a validator of power 1 and
// quota for anything.
type Network struct {
	Name    hufu.Network
	Members []Member
	Genesis []byte // file
	Doc     *machine.GenesisDoc
}

// Member is a founder with all its keys.
type Member struct {
	ID      hufu.ID
	Control keys.Signer
	Keys    node.Keys
}

// Lifetime is how many blocks a sample transaction is valid.
const Lifetime = 50_000

// New founds a network.
func New(name hufu.Network, members int) (*Network, error) {
	n := &Network{Name: name, Doc: &machine.GenesisDoc{
		Network: name,
		Params:  tx.Params{EpochSeconds: 86400, VotingSeconds: 86400, ThresholdNum: 2, ThresholdDen: 3},
	}}
	for i := range members {
		m, founder, err := n.found(i)
		if err != nil {
			return nil, err
		}
		n.Members = append(n.Members, m)
		n.Doc.Members = append(n.Doc.Members, founder)
	}
	var err error
	n.Genesis, err = node.NewGenesis(n.Doc, time.Unix(1_760_000_000, 0))
	return n, err
}

// CountEvidence makes the genesis one by which evidence counts for so many blocks and so long.
func (n *Network) CountEvidence(blocks int64, age time.Duration) error {
	g, err := types.GenesisDocFromJSON(n.Genesis)
	if err != nil {
		return err
	}
	g.ConsensusParams.Evidence.MaxAgeNumBlocks, g.ConsensusParams.Evidence.MaxAgeDuration = blocks, age
	n.Genesis, err = cmtjson.MarshalIndent(g, "", " ")
	return err
}

func (n *Network) found(i int) (Member, machine.Founder, error) {
	var all [3]keys.Signer
	for j, use := range []string{"control", "validator", "node"} {
		var err error
		if all[j], err = Key(fmt.Sprintf("%s %s", n.Name, use), uint64(i)); err != nil {
			return Member{}, machine.Founder{}, err
		}
	}
	f := machine.Founder{
		Name: fmt.Sprintf("Member %d", i+1), Inception: inception(all[0], []byte("founding-member!")),
		ValidatorKey: all[1].Public().Raw(), Power: 1, Quota: tx.MaxQuota, OpenQuota: tx.MaxQuota,
	}
	return Member{
		ID: tx.InceptionID(n.Name, &f.Inception), Control: all[0],
		Keys: node.Keys{Validator: all[1], Node: all[2]},
	}, f, nil
}

// Key is the Ed25519 key with this label and number.
func Key(label string, number uint64) (keys.Signer, error) {
	seed := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("hufu sample "+label+" "), number))
	return keys.Ed25519.Load(seed[:])
}

func inception(control keys.Signer, salt []byte) tx.DIDCreate {
	return tx.DIDCreate{
		Keys: [][]byte{control.Public().Multikey()}, Threshold: 1,
		// A digest of no key: sample identifiers are not rotated.
		Next: []hufu.Digest{sha256.Sum256(control.Public().Raw())}, NextThreshold: 1, Salt: salt,
	}
}

// CreateDID is the creation of the identifier with this number, sponsored by the first member: one
// Ed25519 signature.
func (n *Network) CreateDID(number uint64) (raw []byte, id hufu.ID, err error) {
	key, err := Key("person", number)
	if err != nil {
		return nil, hufu.ID{}, err
	}
	body := inception(key, nil)
	p := tx.Payload{Network: n.Name, Expires: Lifetime, Sponsor: &n.Members[0].ID}
	raw, err = tx.Build(nil, p, &body, tx.SignerRef{Signer: key})
	return raw, tx.InceptionID(n.Name, &body), err
}

// Transaction is one of the first member's own, signed by its control key.
func (n *Network) Transaction(sequence uint64, body tx.Body) ([]byte, error) {
	m := &n.Members[0]
	p := tx.Payload{Network: n.Name, Author: m.ID, Sequence: sequence, Expires: Lifetime}
	return tx.Build(nil, p, body, tx.SignerRef{Signer: m.Control})
}
