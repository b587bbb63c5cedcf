package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
)

// statusTimeout bounds how long one node is waited for.
const statusTimeout = 10 * time.Second

// netStatus is the account of a network. What a node is asked is proven, except whom it is connected to.
type netStatus struct {
	Network    hufu.Network      `json:"network"`
	Nodes      []nodeStatus      `json:"nodes"`
	Height     hufu.Height       `json:"height"` // that they are compared at
	AppHash    string            `json:"app_hash,omitempty"`
	Agree      bool              `json:"agree"`
	AppVersion uint64            `json:"app_version"`
	Validators []validatorStatus `json:"validators"`
	Upgrade    *upgradeStatus    `json:"upgrade,omitempty"` // the last that was agreed on
	Genesis    *genesisStatus    `json:"genesis,omitempty"` // while no node that was asked has a block

	Convictions []audit.Conviction `json:"convictions,omitempty"` // of validators, the newest first
}

type nodeStatus struct {
	Node    string       `json:"node"`
	Height  hufu.Height  `json:"height,omitempty"`
	Time    *time.Time   `json:"time,omitempty"`
	AppHash *hufu.Digest `json:"app_hash,omitempty"` // at Height
	First   hufu.Height  `json:"first,omitempty"`    // block it keeps, as it says
	Missing hufu.Height  `json:"missing,omitempty"`  // up to which headers are that it lacks and evidence counts of, as it says
	Peers   []string     `json:"peers,omitempty"`    // as it says
	Error   string       `json:"error,omitempty"`

	trust     client.Trust
	transport *client.HTTP
	client    *client.Client
	at        client.Signed // at the height of comparison
}

// genesisStatus is what the first block waits for: the time, then more than two thirds of the power.
type genesisStatus struct {
	Time       time.Time `json:"time"`
	Begun      bool      `json:"begun"` // by this machine's clock
	Validators int       `json:"validators"`
	Power      int64     `json:"power"`
}

type upgradeStatus struct {
	Name   string      `json:"name"`
	Height hufu.Height `json:"height"`
	Known  bool        `json:"known"` // to this program
}

type validatorStatus struct {
	Member hufu.DID `json:"member,omitempty"`
	Name   string   `json:"name,omitempty"`
	Key    string   `json:"key"` // hexadecimal
	Power  int64    `json:"power"`
	Signed bool     `json:"signed"` // the block of the comparison
}

func (a *app) netStatusCmd() *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use:   "status [HOME|URL]...",
		Short: "Show how a network's nodes are, and whether they agree",
		Long: `Asks the nodes of the homes, or at the URLs, that are named (default: of --home) for their newest state, verifies
what they answer from the genesis on, and compares the app hashes at the highest height that all of them have.
Ends with status 1 when a node does not answer or they disagree, and says what a network waits for that has no
block yet. Whom a node is connected to is its own word, and so are which blocks it keeps, and which headers it lacks
since it joined from a snapshot: those of which evidence of misbehaviour counts and its peers had no more.`,
		Example: "  hufu net status --wait 1m ./harbour/node1 ./harbour/node2\n  hufu net status --home ./net https://node.harbour.example",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.awaitStatus(c.Context(), args, wait)
			if err != nil {
				return err
			}
			if err := a.emit(s, func(w io.Writer) { printNetStatus(w, s) }); err != nil {
				return err
			}
			if !s.well() {
				return silentError{errors.New("a node does not answer, or they disagree")}
			}
			return nil
		},
	}
	c.Flags().DurationVar(&wait, "wait", 0, "ask again for this long, until all answer and agree")
	return c
}

// statusPause is between two questions while a network is waited for.
const statusPause = 200 * time.Millisecond

// awaitStatus asks until the network is well or wait is over.
func (a *app) awaitStatus(ctx context.Context, named []string, wait time.Duration) (*netStatus, error) {
	until := time.Now().Add(wait)
	for {
		s, err := a.netStatus(ctx, named)
		if err != nil || s.well() || time.Now().After(until) {
			return s, err
		}
		select {
		case <-time.After(statusPause):
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

// well reports whether all nodes answer and agree.
func (s *netStatus) well() bool {
	for i := range s.Nodes {
		if s.Nodes[i].Error != "" {
			return false
		}
	}
	return s.Agree
}

func (a *app) netStatus(ctx context.Context, named []string) (*netStatus, error) {
	if len(named) == 0 {
		named = []string{a.home}
	}
	s := &netStatus{}
	for _, name := range named {
		n, network, err := a.statusNode(name)
		if err != nil {
			return nil, err
		}
		if s.Network != "" && s.Network != network {
			return nil, fmt.Errorf("%s is of network %s, not of %s", name, network, s.Network)
		}
		s.Network = network
		s.Nodes = append(s.Nodes, n)
	}
	defer func() {
		for i := range s.Nodes {
			s.Nodes[i].close()
		}
	}()
	each := func(f func(ctx context.Context, n *nodeStatus) error) {
		for i := range s.Nodes {
			if n := &s.Nodes[i]; n.Error == "" {
				ctx, cancel := context.WithTimeout(ctx, statusTimeout)
				if err := f(ctx, n); err != nil {
					n.Error = err.Error()
				}
				cancel()
			}
		}
	}
	each(askHead)
	s.Genesis = s.beginning()
	s.Height = s.common()
	each(func(ctx context.Context, n *nodeStatus) (err error) {
		n.at, err = n.client.SignedAt(ctx, s.Height)
		return err
	})
	return s, s.compare(ctx)
}

// statusNode is the node of a home, or at a URL with the genesis of --home.
func (a *app) statusNode(name string) (nodeStatus, hufu.Network, error) {
	dir, url := name, ""
	if !home.Exists(name) && name != a.home {
		dir, url = a.home, name
	}
	h, err := home.Peek(dir)
	if err != nil {
		return nodeStatus{}, "", err
	}
	n := nodeStatus{Node: name}
	if n.trust, err = h.Trust(); err != nil {
		return n, "", noGenesis(err)
	}
	if url == "" {
		running, err := h.GetRunning()
		if errors.Is(err, home.ErrNotRunning) {
			n.Error = message(err)
			return n, h.Network(), nil
		}
		if err != nil {
			return n, "", err
		}
		url = running.Node
	}
	if n.transport, err = client.Dial(url); err != nil {
		return n, "", hint(err, "name a directory with a home, or the URL of a node's RPC such as http://127.0.0.1:26657")
	}
	n.client, err = client.New(n.trust, n.transport, client.Options{})
	return n, h.Network(), err
}

// keeps says which blocks the node has.
func (n *nodeStatus) keeps() string {
	if n.First <= 1 {
		return "all blocks"
	}
	from := fmt.Sprintf("blocks from %d on", n.First)
	if n.Missing > 0 {
		from += fmt.Sprintf(" (without headers up to %d: it cannot judge evidence of these)", n.Missing)
	}
	return from
}

// errNoBlock is what a node says that waits for its first block.
var errNoBlock = errors.New("it has no block yet")

func askHead(ctx context.Context, n *nodeStatus) (err error) {
	if n.First, err = n.transport.First(ctx); err != nil {
		return err
	}
	if n.Peers, err = n.transport.Peers(ctx); err != nil {
		return err
	}
	if n.First == 0 {
		return errNoBlock
	}
	if n.Missing, err = n.transport.Missing(ctx); err != nil {
		return err
	}
	head, err := n.client.Head(ctx)
	if err != nil {
		return err
	}
	n.Height, n.Time, n.AppHash = head.Height, &head.Time, &head.AppHash
	return nil
}

// beginning is what the network's first block waits for, nil when there is one, or when no node says that there is none.
func (s *netStatus) beginning() *genesisStatus {
	begins := s.Nodes[0].trust.GenesisTime
	waits := begins.After(time.Now())
	for i := range s.Nodes {
		if s.Nodes[i].Height > 0 {
			return nil
		}
		waits = waits || s.Nodes[i].Error == errNoBlock.Error()
	}
	if !waits {
		return nil
	}
	g := &genesisStatus{Time: begins, Begun: !begins.After(time.Now()), Validators: len(s.Nodes[0].trust.Validators)}
	for _, v := range s.Nodes[0].trust.Validators {
		g.Power += v.Power
	}
	return g
}

func (n *nodeStatus) close() {
	if n.client != nil {
		_ = n.client.Close()
		_ = n.transport.Close()
	}
}

// common is the highest height that all nodes have which answer.
func (s *netStatus) common() hufu.Height {
	var heights []hufu.Height
	for _, n := range s.Nodes {
		if n.Error == "" {
			heights = append(heights, n.Height)
		}
	}
	if len(heights) == 0 {
		return 0
	}
	return slices.Min(heights)
}

// compare says whether the nodes that answer agree, and names the validators.
func (s *netStatus) compare(ctx context.Context) error {
	var first *nodeStatus
	s.Agree = true
	for i := range s.Nodes {
		n := &s.Nodes[i]
		switch {
		case n.Error != "":
		case first == nil:
			first = n
		case n.at.Block != first.at.Block || n.at.AppHash != first.at.AppHash:
			s.Agree = false
		}
	}
	if first == nil {
		s.Agree = false
		return nil
	}
	s.AppHash, s.AppVersion = first.at.AppHash.String(), first.at.AppVersion
	members := map[string]gov.Member{}
	err := first.client.Read(ctx, func(v client.View) error {
		list, err := gov.Members(v)
		if err != nil {
			return err
		}
		clear(members)
		s.Upgrade = nil
		planned, err := gov.GetUpgrade(v)
		if planned != nil {
			u := planned.Upgrade
			s.Upgrade = &upgradeStatus{u.Name, u.Height, slices.Contains(machine.Upgrades(), u.Name)}
		}
		for _, m := range list {
			members[string(m.ValidatorKey)] = m
		}
		if err == nil {
			s.Convictions, err = audit.Convictions(v, s.Network)
		}
		return err
	})
	for _, v := range first.at.Validators {
		account := validatorStatus{Key: fmt.Sprintf("%x", v.Key), Power: v.Power, Signed: v.Signed}
		if m, ok := members[string(v.Key[:])]; ok {
			account.Member, account.Name = m.ID.DID(s.Network), m.Name
		}
		s.Validators = append(s.Validators, account)
	}
	return err
}

func printNetStatus(w io.Writer, s *netStatus) {
	fmt.Fprintf(w, "network %s\n", s.Network)
	for _, n := range s.Nodes {
		switch {
		case n.Error == errNoBlock.Error():
			fmt.Fprintf(w, "  %s: %s, %d peers\n", n.Node, n.Error, len(n.Peers))
			continue
		case n.Error != "":
			fmt.Fprintf(w, "  %s: %s\n", n.Node, n.Error)
			continue
		}
		fmt.Fprintf(w, "  %s: height %d, %s, app hash %s, %s, %d peers\n", n.Node, n.Height, n.Time.Format(time.RFC3339), n.AppHash, n.keeps(), len(n.Peers))
	}
	switch g := s.Genesis; {
	case g != nil && !g.Begun:
		fmt.Fprintf(w, "the network begins at %s, in %s: until then its nodes wait and answer nothing\n", g.Time.UTC().Format(time.RFC3339), time.Until(g.Time).Round(time.Second))
		return
	case g != nil:
		fmt.Fprintf(w, "these nodes wait for the first block: validators with more than 2/3 of the power of %d, which %d have, must be there and connected\n", g.Power, g.Validators)
		return
	case s.AppHash == "":
		fmt.Fprintln(w, "no node answers")
		return
	case s.Agree:
		fmt.Fprintf(w, "those that answer agree at height %d: app hash %s, rules version %d\n", s.Height, s.AppHash, s.AppVersion)
	default:
		fmt.Fprintf(w, "THEY DISAGREE at height %d: keep their data, tell the members\n", s.Height)
	}
	if u := s.Upgrade; u != nil {
		fmt.Fprintf(w, "upgrade %q from height %d on: %s\n", u.Name, u.Height, map[bool]string{true: "this program has it", false: "this program does not have it, and stops there"}[u.Known])
	}
	for _, v := range s.Validators {
		name := v.Name
		if name == "" {
			name = "validator " + v.Key
		}
		fmt.Fprintf(w, "  %s: power %d, %s\n", name, v.Power, map[bool]string{true: "signed this block", false: "did not sign this block"}[v.Signed])
	}
	printConvictions(w, s.Convictions)
}

// printConvictions says what validators were convicted of.
func printConvictions(w io.Writer, list []audit.Conviction) {
	for _, c := range list {
		what := fmt.Sprintf("lost its power of %d", c.Took)
		switch {
		case c.Kept:
			what = "keeps its power, as no other validator has any"
		case c.Took == 0:
			what = "had no power to lose"
		}
		fmt.Fprintf(w, "CONVICTED %s\n  of a %s at height %d, by evidence in block %d of %s (%d proofs): it %s\n  its validator key %s gets no power again\n",
			c.Member, c.Offence, c.At, c.Height, c.Time.Format(time.RFC3339), c.Proofs, what, c.Key)
	}
}
