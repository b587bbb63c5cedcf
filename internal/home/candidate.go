package home

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Candidate is what an organisation hands to the others before it is a member: public keys alone, signed
// with each of the private ones, which stay in its home. From the candidates of all founders everybody
// assembles the same genesis; one that comes later is what the members vote on.
type Candidate struct {
	Network      hufu.Network `json:"network"`
	Name         string       `json:"name"`          // on the record
	Inception    tx.DIDCreate `json:"inception"`     // of its identifier
	ValidatorKey []byte       `json:"validator_key"` // Ed25519
	NodeKey      []byte       `json:"node_key"`      // Ed25519; names the node to its peers
	Address      string       `json:"address"`       // where peers reach the node, host:port
	Power        uint64       `json:"power"`
	Quota        uint64       `json:"quota"`
	OpenQuota    uint64       `json:"open_quota"`
	Made         time.Time    `json:"made"` // in whole seconds; the genesis bears the latest of them
	Signatures   Signatures   `json:"signatures"`
}

// Signatures are over the candidate without them, by each key it names.
type Signatures struct {
	Control   []byte `json:"control"`
	Validator []byte `json:"validator"`
	Node      []byte `json:"node"`
}

// MaxCandidate bounds a candidate's file in bytes.
const MaxCandidate = 64 << 10

// candidateDomain begins what is signed, as no transaction and no vote of the engine does.
const candidateDomain = "hufu candidate 1\n"

// DefaultOpenQuota is what a founding member of a network gives an epoch to identifiers that name it
// without its signature: some two hundred, enough for those who want to join.
const DefaultOpenQuota = 64 << 10

// DefaultPower is the voting power of a validator where nobody says otherwise: all have the same.
const DefaultPower = 10

// Terms are what a candidate asks for.
type Terms struct {
	Name             string
	Address          string
	Power            uint64
	Quota, OpenQuota uint64
}

// NewCandidate makes what is missing of the keys of the identity called name and of a node, and signs what
// the organisation says of itself with them.
func (h *Home) NewCandidate(rand io.Reader, now time.Time, name string, t Terms) (*Candidate, error) {
	_, inception, err := h.NewIdentity(rand, name, keys.Ed25519)
	if err != nil {
		return nil, err
	}
	control, err := h.keys.Signer(controlKey(name, 0))
	if err != nil {
		return nil, err
	}
	validator, err := h.ensureSigner(rand, validatorKey)
	if err != nil {
		return nil, err
	}
	node, err := h.ensureSigner(rand, nodeKey)
	if err != nil {
		return nil, err
	}
	c := &Candidate{
		Network: h.Network(), Name: t.Name, Inception: *inception,
		ValidatorKey: validator.Public().Raw(), NodeKey: node.Public().Raw(), Address: t.Address,
		Power: t.Power, Quota: t.Quota, OpenQuota: t.OpenQuota, Made: now.UTC().Truncate(time.Second),
	}
	message, err := c.message()
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		by keys.Signer
		to *[]byte
	}{{control, &c.Signatures.Control}, {validator, &c.Signatures.Validator}, {node, &c.Signatures.Node}} {
		if *s.to, err = s.by.Sign(rand, message); err != nil {
			return nil, err
		}
	}
	return c, c.Check()
}

func (h *Home) ensureSigner(rand io.Reader, name string) (keys.Signer, error) {
	k, err := h.keys.Signer(name)
	if errors.Is(err, keystore.ErrNotFound) {
		k, err = h.keys.Generate(rand, name, keys.Ed25519)
	}
	return k, diskError(err)
}

// ParseCandidate reads a candidate's file and checks it.
func ParseCandidate(raw []byte) (*Candidate, error) {
	if err := encoding.CheckJSON(raw, MaxCandidate); err != nil {
		return nil, fmt.Errorf("home: not a candidate's file: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	c := new(Candidate)
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("home: not a candidate's file: %w", err)
	}
	return c, c.Check()
}

// Check refuses a candidate that could be no member, or one that does not hold the keys it names.
func (c *Candidate) Check() error {
	if !c.Network.Valid() {
		return errors.New("home: the candidate names no network")
	}
	if err := c.Inception.Validate(); err != nil {
		return fmt.Errorf("home: the candidate's identifier: %w", err)
	}
	terms := c.MemberTerms()
	if err := terms.Validate(); err != nil {
		return fmt.Errorf("home: the candidate's terms: %w", err)
	}
	if err := CheckAddress(c.Address); err != nil {
		return err
	}
	if c.Made.IsZero() || !c.Made.Equal(c.Made.Truncate(time.Second)) {
		return errors.New("home: the candidate does not say when it was made, in whole seconds")
	}
	return c.checkSignatures()
}

func (c *Candidate) checkSignatures() error {
	if len(c.Inception.Keys) != 1 {
		return errors.New("home: a candidate's identifier has one control key")
	}
	control, err := keys.ParseMultikey(c.Inception.Keys[0])
	if err != nil {
		return err
	}
	validator, err := keys.NewPublicKey(keys.Ed25519, c.ValidatorKey)
	if err != nil {
		return fmt.Errorf("home: the candidate's validator key: %w", err)
	}
	node, err := keys.NewPublicKey(keys.Ed25519, c.NodeKey)
	if err != nil {
		return fmt.Errorf("home: the candidate's node key: %w", err)
	}
	message, err := c.message()
	if err != nil {
		return err
	}
	for _, s := range []struct {
		what string
		key  keys.PublicKey
		sig  []byte
	}{{"control", control, c.Signatures.Control}, {"validator", validator, c.Signatures.Validator}, {"node", node, c.Signatures.Node}} {
		if !s.key.Verify(message, s.sig) {
			return fmt.Errorf("home: the candidate %q is not signed with its %s key", c.Name, s.what)
		}
	}
	return nil
}

// message is what is signed.
func (c *Candidate) message() ([]byte, error) {
	unsigned := *c
	unsigned.Signatures = Signatures{}
	body, err := encoding.JCS(unsigned)
	return append([]byte(candidateDomain), body...), err
}

// CheckAddress refuses what is no host and port of a node.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || bad != nil || n == 0 {
		return fmt.Errorf("home: %q is no address of a node: host:port", address)
	}
	return nil
}

// ID is the candidate's identifier.
func (c *Candidate) ID() hufu.ID { return tx.InceptionID(c.Network, &c.Inception) }

// Peer is how the candidate's node is named to others: its id and its address.
func (c *Candidate) Peer() string { return NodeID(c.NodeKey) + "@" + c.Address }

// NodeID is a node's name among its peers: CometBFT's, of its key.
func NodeID(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:20])
}

// MemberTerms are the terms that the candidate asks to be admitted under.
func (c *Candidate) MemberTerms() tx.MemberTerms {
	return tx.MemberTerms{
		Member: c.ID(), Name: c.Name, ValidatorKey: c.ValidatorKey, Power: c.Power, Quota: c.Quota, OpenQuota: c.OpenQuota,
	}
}

// Assemble makes the genesis of a network from its founders, in whatever order they are given, and the
// time it bears: everybody who has the same files and parameters makes the same.
func Assemble(params tx.Params, founders []*Candidate) (*machine.GenesisDoc, time.Time, error) {
	if len(founders) == 0 {
		return nil, time.Time{}, errors.New("home: no founders")
	}
	sorted := slices.SortedFunc(slices.Values(founders), func(a, b *Candidate) int {
		x, y := a.ID(), b.ID()
		return bytes.Compare(x[:], y[:])
	})
	g, at := &machine.GenesisDoc{Network: sorted[0].Network, Params: params}, time.Time{}
	nodes := map[string]string{}
	for _, c := range sorted {
		if err := c.Check(); err != nil {
			return nil, at, err
		}
		if c.Network != g.Network {
			return nil, at, fmt.Errorf("home: %q is a candidate of network %s, %q of %s", c.Name, c.Network, sorted[0].Name, g.Network)
		}
		for _, taken := range []string{NodeID(c.NodeKey), c.Address} {
			if other, ok := nodes[taken]; ok {
				return nil, at, fmt.Errorf("home: the nodes of %q and %q are both %s", other, c.Name, taken)
			}
			nodes[taken] = c.Name
		}
		if c.Made.After(at) {
			at = c.Made
		}
		g.Members = append(g.Members, machine.Founder{
			Name: c.Name, Inception: c.Inception, ValidatorKey: c.ValidatorKey, Power: c.Power, Quota: c.Quota, OpenQuota: c.OpenQuota,
		})
	}
	return g, at, g.Validate()
}

// Join keeps the genesis of the network in the home, and what of the founders the home's node connects to.
// One of them must be the home's own, made here.
func (h *Home) Join(genesis []byte, founders []*Candidate) error {
	node, err := h.keys.Signer(nodeKey)
	if err != nil {
		return err
	}
	var peers []string
	own := false
	for _, c := range founders {
		if bytes.Equal(c.NodeKey, node.Public().Raw()) {
			own = true
			continue
		}
		peers = append(peers, c.Peer())
	}
	if !own {
		return errors.New("home: none of the founders was made in this home")
	}
	s, err := h.NodeSettings()
	if err != nil {
		return err
	}
	s.Peers = peers
	if err := h.SetNodeSettings(s); err != nil {
		return err
	}
	return h.SetGenesis(genesis)
}
