package home

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// DefaultQuota is what a member may write or sponsor in an epoch, in weighted bytes: some three million
// identifiers an hour, which no honest member reaches and no flood exceeds.
const DefaultQuota = 1 << 30

// DefaultParams are the parameters of a new network: quotas by the hour, a week to vote, two thirds of
// the members to decide.
func DefaultParams() tx.Params {
	return tx.Params{EpochSeconds: 3600, VotingSeconds: 7 * 86400, ThresholdNum: 2, ThresholdDen: 3}
}

// Names of the keys that a node needs beside the identities.
const (
	validatorKey = "node/validator" // signs votes
	nodeKey      = "node/p2p"       // authenticates connections to other nodes
	peopleKey    = "issuer/people"  // seals the keys of the people's file
	gateKey      = "gate/sessions"  // seals what gates keep of their sessions
	tokenKey     = "gate/token/"    // and a gate's name: of its service
)

// Founder is one founding member to be.
type Founder struct {
	Identity  string // its name in this home
	Name      string // its name on the record
	Power     uint64 // voting power; 0: it runs no validator
	OpenQuota uint64
}

// Found makes the keys of a node and of the founding members, and writes down what the network starts
// from. Members that hold their keys elsewhere are admitted by vote later.
func (h *Home) Found(rand io.Reader, params tx.Params, founders ...Founder) (*machine.GenesisDoc, error) {
	g := &machine.GenesisDoc{Network: h.Network(), Params: params}
	for i, f := range founders {
		_, inception, err := h.NewIdentity(rand, f.Identity, keys.Ed25519)
		if err != nil {
			return nil, err
		}
		m := machine.Founder{Name: f.Name, Inception: *inception, Power: f.Power, Quota: DefaultQuota, OpenQuota: f.OpenQuota}
		if f.Power > 0 {
			if i > 0 {
				return nil, errors.New("home: one home runs one validator, of its first founder")
			}
			v, err := h.keys.Generate(rand, validatorKey, keys.Ed25519)
			if err != nil {
				return nil, err
			}
			m.ValidatorKey = v.Public().Raw()
		}
		g.Members = append(g.Members, m)
	}
	if _, err := h.keys.Generate(rand, nodeKey, keys.Ed25519); err != nil {
		return nil, err
	}
	return g, g.Validate()
}

// NodeKeys are the keys of the home's node.
type NodeKeys struct {
	Validator  keys.Signer   // of its validator, the first; nil when they are with a signer
	Successors []keys.Signer // of its validator, later ones, oldest first
	Node       keys.Signer   // of its connections
}

// NodeSigners are the keys of the node.
func (h *Home) NodeSigners() (k NodeKeys, err error) {
	if k.Validator, err = h.keys.Signer(validatorKey); err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return k, err
	}
	for n := 2; k.Validator != nil; n++ {
		next, err := h.keys.Signer(successorKey(n))
		if errors.Is(err, keystore.ErrNotFound) {
			break
		}
		if err != nil {
			return k, err
		}
		k.Successors = append(k.Successors, next)
	}
	k.Node, err = h.keys.Signer(nodeKey)
	return k, err
}

func successorKey(n int) string { return fmt.Sprintf("%s/%d", validatorKey, n) }

// NextValidatorKey is the public key of the validator after present, made when there is none. A present key
// that is not this home's is refused.
func (h *Home) NextValidatorKey(rand io.Reader, present []byte) ([]byte, error) {
	all, err := h.Validators()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("home: the validator's keys are with its signer, which makes the next")
	}
	at := slices.IndexFunc(all, func(s keys.Signer) bool { return bytes.Equal(s.Public().Raw(), present) })
	switch {
	case at < 0 && len(present) > 0:
		return nil, errors.New("home: the member's present validator key is not of this home")
	case at+1 < len(all):
		return all[at+1].Public().Raw(), nil
	}
	next, err := h.keys.Generate(rand, successorKey(len(all)+1), keys.Ed25519)
	if err != nil {
		return nil, diskError(err)
	}
	return next.Public().Raw(), nil
}

// PeopleKey is the key that seals the people's file, made when there is none.
func (h *Home) PeopleKey(rand io.Reader) ([32]byte, error) {
	if k, err := h.keys.DataKey(peopleKey); err == nil {
		return k, nil
	}
	k, err := h.keys.GenerateDataKey(rand, peopleKey)
	return k, diskError(err)
}

// GateKey is the key that seals what gates keep of their sessions, made when there is none. Processes on one
// database need the same.
func (h *Home) GateKey(rand io.Reader) ([32]byte, error) {
	if k, err := h.keys.DataKey(gateKey); err == nil {
		return k, nil
	}
	k, err := h.keys.GenerateDataKey(rand, gateKey)
	return k, diskError(err)
}

// EnsureGateKeys makes what is missing of [Home.GateKey] and the tokens of these gates, all in one write.
func (h *Home) EnsureGateKeys(rand io.Reader, gates ...string) error {
	names := []string{gateKey}
	for _, name := range gates {
		names = append(names, tokenKey+name)
	}
	return diskError(h.keys.EnsureDataKeys(rand, names...))
}

// GateToken is what the service behind the gate called name calls its API with, made when there is none, or
// made anew.
func (h *Home) GateToken(rand io.Reader, name string, anew bool) (string, error) {
	key := tokenKey + name
	if !anew {
		if err := h.EnsureGateKeys(rand, name); err != nil {
			return "", err
		}
	}
	k, err := h.keys.DataKey(key)
	if err == nil && anew {
		if err := h.keys.Remove(key); err != nil {
			return "", diskError(err)
		}
	}
	if anew {
		k, err = h.keys.GenerateDataKey(rand, key)
	}
	if err != nil {
		return "", diskError(err)
	}
	return base64.RawURLEncoding.EncodeToString(k[:]), nil
}

// Fragments of the verification methods by which a home's roles sign, alone or followed by a hyphen and
// whatever tells a key from its successor. Which identities have one says which roles the home can serve.
const (
	IssuingMethod   = "issuing"
	GateMethod      = "gate"
	AuthorityMethod = "authority" // signs the X.509 certificates of the identity's other roles
)

// With lists the identities that have a key for a role: [IssuingMethod], [GateMethod] or [AuthorityMethod].
func (h *Home) With(role string) []string {
	var out []string
	for _, name := range h.Identities() {
		if len(h.Methods(name, role)) > 0 {
			out = append(out, name)
		}
	}
	return out
}

// Methods lists the fragments for which name has a key for a role. The ledger says which of them hold.
func (h *Home) Methods(name, role string) []string {
	var out []string
	for _, e := range h.keys.List() {
		fragment, ok := strings.CutPrefix(e.Name, methodKey(name, ""))
		if ok && (fragment == role || strings.HasPrefix(fragment, role+"-")) {
			out = append(out, fragment)
		}
	}
	return out
}

// SetGenesis keeps the network's genesis, which clients trust. It refuses to replace another one.
func (h *Home) SetGenesis(genesis []byte) error {
	old, err := h.Genesis()
	switch {
	case err == nil && bytes.Equal(old, genesis):
		return nil
	case err == nil:
		return errors.New("home: it has another genesis already")
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	return writeFile(h.Path(GenesisFile), genesis)
}
