package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/cometbft/cometbft/config"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Config is a node's settings. Home is required; the zero value of the rest is usable.
type Config struct {
	// Home is a directory made by [InitHome].
	Home string
	// Network, when set, must be the home's.
	Network hufu.Network
	// ListenRPC is the address of the HTTP RPC: host and port, port 0 for a free one. It must be a
	// loopback address; what is to be reached from elsewhere goes through a server with TLS. Empty
	// is 127.0.0.1:0.
	ListenRPC string
	// ListenP2P is the address for peers, port 0 for a free one. Empty is for a network of one: others
	// that find it all the same are no use to it.
	ListenP2P string
	// Peers are the other nodes, each "<node id>@host:port".
	Peers []string
	// BlockInterval is the longest time without a block: with none, time would stand still on the
	// ledger. 0 is 5 seconds.
	BlockInterval time.Duration
	// Retain is how long blocks are kept; 0 keeps all, as auditors need. Operators may not set it below
	// [LeastRetain].
	Retain time.Duration
	// SnapshotEvery is the number of blocks from one snapshot for nodes that join to the next. 0 is
	// [DefaultSnapshotEvery]. A node that is alone takes none.
	SnapshotEvery hufu.Height
	// StateSync, when set, lets a home that has no block yet begin with a snapshot of its peers. A home that
	// has blocks goes on from them.
	StateSync *StateSync
	// SignAgain lets a validator sign that would wait because it does not know what it signed last. The members
	// must have made sure that no vote of it is left that counts.
	SignAgain bool
	// Reserve is the free disk space in bytes below which the node does not start or go on. 0 is
	// 256 MiB.
	Reserve uint64
	// Store is the settings of the state's store. Its Reserve is set from Reserve.
	Store store.Options
	// Upgrades names the upgrades of the rules that the node has, oldest first; nil is machine.Upgrades.
	Upgrades []string
	// RemoteSigners have the validator's keys in place of Keys.Validator and its successors, oldest first.
	RemoteSigners []RemoteSigner
	// Log is where the node reports; nil is nowhere.
	Log *slog.Logger
}

// Keys are a node's keys, both Ed25519. They stay in memory.
type Keys struct {
	Validator keys.Signer // votes; a node whose key is no validator's follows; nil with remote signers
	// Successors are further keys of the validator, oldest first. The newest of all that the ledger has as a
	// validator's votes: a new key takes over in the block in which the members' decision on it takes effect.
	Successors []keys.Signer
	Node       keys.Signer // names the node to its peers
}

// DefaultSnapshotEvery is, with a block every few seconds, some hours.
const DefaultSnapshotEvery hufu.Height = 10_000

const (
	defaultReserve = 256 << 20
	loneP2P        = "127.0.0.1:0"
)

func (c *Config) complete() error {
	if c.ListenRPC == "" {
		c.ListenRPC = "127.0.0.1:0"
	}
	if c.BlockInterval == 0 {
		c.BlockInterval = 5 * time.Second
	}
	if c.Reserve == 0 {
		c.Reserve = defaultReserve
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = DefaultSnapshotEvery
	}
	c.Store.Reserve = c.Reserve
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	host, _, err := net.SplitHostPort(c.ListenRPC)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("node: the RPC address must be host:port on a loopback address")
	}
	return c.choosePort()
}

// choosePort makes port 0 of ListenP2P a free one: the engine would not tell peers which one it got.
func (c *Config) choosePort() error {
	host, port, err := net.SplitHostPort(c.ListenP2P)
	if c.ListenP2P == "" || err == nil && port != "0" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("node: the address for peers: %w", err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port)) //nolint:noctx // at once
	if err != nil {
		return fmt.Errorf("node: the address for peers: %w", err)
	}
	c.ListenP2P = l.Addr().String()
	return l.Close()
}

// A validator that waits for nobody else loses a round only when it was killed after it had signed a
// proposal and before it had written it down: it may not sign another for that round. Then nothing but
// these times passes until the next round. Every round waits longer than the one before it.
const (
	lonePropose = time.Second
	loneVote    = 50 * time.Millisecond
)

// Between several, a round whose proposer is down costs everybody these times, and each further round a
// step more. They are enough for a full block between continents: waiting longer only helps who is slower. Where
// that is everybody, on machines with much else to do, no round before the one that waits long enough is of use:
// so steps are large.
const (
	propose, proposeStep = time.Second, time.Second
	vote, voteStep       = 300 * time.Millisecond, 500 * time.Millisecond
)

// queryEvery is how often a peer is asked for votes that this node may lack. The routine that asks holds a peer that
// was dropped, and up to some 10 MiB of what it had sent, until it has slept that long up to four times; by the
// engine's default of 2 s, peers that send garbage and come again would add up.
const queryEvery = 500 * time.Millisecond

// maxInbound bounds the connections that others made to the node: all the members there can be are few
// beside those who only read.
const maxInbound = 600

// keepFloor makes the engine wait that long after a commit before it begins the next block. Without a wait it
// begins as soon as all votes are there. The engine reads these settings where it has just committed a block,
// in the routine that calls Commit: they may change there, and before it starts.
func keepFloor(c *config.ConsensusConfig, floor time.Duration) {
	c.TimeoutCommit, c.SkipTimeoutCommit = floor, floor == 0
}

// discovery is how long the engine waits for its peers' snapshots before it chooses one, and before it asks
// again: the least that it takes.
const discovery = 5 * time.Second

// alone reports whether the node is in no touch with others.
func (c *Config) alone() bool { return len(c.Peers) == 0 && c.ListenP2P == "" }

// engine is the engine's configuration. What is not named here is the engine's default.
func (c *Config) engine(root string) *config.Config {
	e := config.DefaultConfig()
	e.SetRoot(root)
	e.Moniker = "hufu"
	e.RPC.ListenAddress = "" // the node serves it itself: see rpc.go
	e.TxIndex.Indexer = "null"
	e.Storage.DiscardABCIResponses = false // clients prove results; ours are a few bytes each
	e.BlockSync.AdaptiveSync = false       // not for validators
	e.Instrumentation.Prometheus = false

	e.Mempool.Type = config.MempoolTypeFlood
	e.Mempool.Recheck = false // what became inadmissible is dropped when a block is filled
	e.Mempool.CacheSize = 0   // the application knows what waits
	e.Mempool.Size = 2 * maxPending
	e.Mempool.MaxTxsBytes = 2 * maxPendingBytes
	e.Mempool.MaxTxBytes = tx.MaxSize
	e.Mempool.Broadcast = !c.alone()

	keepFloor(e.Consensus, 0) // until the state says what it is
	e.Consensus.CreateEmptyBlocks = true
	e.Consensus.CreateEmptyBlocksInterval = c.BlockInterval
	e.Consensus.PeerGossipSleepDuration = 5 * time.Millisecond
	e.Consensus.PeerQueryMaj23SleepDuration = queryEvery
	e.Consensus.TimeoutPropose, e.Consensus.TimeoutProposeDelta = propose, proposeStep
	e.Consensus.TimeoutPrevote, e.Consensus.TimeoutPrevoteDelta = vote, voteStep
	e.Consensus.TimeoutPrecommit, e.Consensus.TimeoutPrecommitDelta = vote, voteStep
	if c.alone() {
		e.Consensus.TimeoutPropose, e.Consensus.TimeoutPrevote, e.Consensus.TimeoutPrecommit = lonePropose, loneVote, loneVote
	}

	e.StateSync.Enable = c.StateSync != nil
	e.StateSync.DiscoveryTime = discovery

	e.P2P.ListenAddress = "tcp://" + cmp.Or(c.ListenP2P, loneP2P)
	for i, peer := range c.Peers {
		if i > 0 {
			e.P2P.PersistentPeers += ","
		}
		e.P2P.PersistentPeers += peer
	}
	e.P2P.PexReactor = false
	e.P2P.AddrBook = "addrbook.json" // the directory that the engine would put it in does not exist
	e.P2P.AddrBookStrict = false
	e.P2P.AllowDuplicateIP = true // several nodes behind one address
	e.P2P.MaxNumInboundPeers = maxInbound
	e.P2P.FlushThrottleTimeout = time.Millisecond
	e.P2P.SendRate, e.P2P.RecvRate = 1<<30, 1<<30
	e.P2P.MaxPacketMsgPayloadSize = 32 << 10
	return e
}
