package byzantine

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	cmtconsensus "github.com/cometbft/cometbft/proto/tendermint/consensus"
	cmtmempool "github.com/cometbft/cometbft/proto/tendermint/mempool"
	cmtp2p "github.com/cometbft/cometbft/proto/tendermint/p2p"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/version"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// Channels of the engine's reactors (CometBFT, p2p/messages).
const (
	Peers      = 0x00 // no node of a network of known peers has this one
	State      = 0x20
	Data       = 0x21
	Votes      = 0x22
	VoteBits   = 0x23
	Mempool    = 0x30
	Evidence   = 0x38
	Blocks     = 0x40
	Snapshots  = 0x60
	Chunks     = 0x61
	packetSize = 32 << 10 // of what the nodes take
)

const (
	handshakeTimeout = 5 * time.Second
	maxPacket        = 2 << 20
)

// Peer is a connection to a node, past the handshake.
type Peer struct {
	raw     *conn.SecretConnection
	ended   chan struct{}
	mu      sync.Mutex // of writing
	packets protoio.Writer
}

// Connect connects to a node, "<id>@host:port", under a fresh key.
func Connect(ctx context.Context, network hufu.Network, address string) (*Peer, error) {
	signer, err := keys.Ed25519.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	key := signingKey{signer}
	_, host, ok := strings.Cut(address, "@")
	if !ok {
		return nil, fmt.Errorf("byzantine: %q is no <id>@host:port", address)
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	p := &Peer{ended: make(chan struct{})}
	if p.raw, err = conn.MakeSecretConnection(c, key); err != nil {
		_ = c.Close()
		return nil, err
	}
	me := p2p.DefaultNodeInfo{
		ProtocolVersion: p2p.NewProtocolVersion(version.P2PProtocol, version.BlockProtocol, 1),
		DefaultNodeID:   p2p.PubKeyToID(key.PubKey()), ListenAddr: "tcp://127.0.0.1:1", Network: string(network), Version: version.TMCoreSemVer,
		Channels: []byte{State, Data, Votes, VoteBits, Mempool, Evidence, Blocks, Snapshots, Chunks}, Moniker: "byzantine",
	}
	p.packets = protoio.NewDelimitedWriter(p.raw)
	if _, err := p.packets.WriteMsg(me.ToProto()); err != nil {
		_ = c.Close()
		return nil, err
	}
	reader := protoio.NewDelimitedReader(p.raw, p2p.MaxNodeInfoSize())
	if _, err := reader.ReadMsg(new(cmtp2p.DefaultNodeInfo)); err != nil {
		_ = c.Close()
		return nil, err
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	go p.read()
	return p, nil
}

// read answers pings until the node hangs up.
func (p *Peer) read() {
	defer close(p.ended)
	reader := protoio.NewDelimitedReader(p.raw, maxPacket)
	for {
		var packet cmtp2p.Packet
		if _, err := reader.ReadMsg(&packet); err != nil {
			return
		}
		if _, ok := packet.Sum.(*cmtp2p.Packet_PacketPing); ok {
			_ = p.write(&cmtp2p.Packet{Sum: &cmtp2p.Packet_PacketPong{PacketPong: &cmtp2p.PacketPong{}}})
		}
	}
}

func (p *Peer) write(packet *cmtp2p.Packet) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.packets.WriteMsg(packet)
	return err
}

// Dropped is closed when the node has ended the connection.
func (p *Peer) Dropped() <-chan struct{} { return p.ended }

// Close ends the connection.
func (p *Peer) Close() { _ = p.raw.Close() }

// Send sends bytes on a channel as one message.
func (p *Peer) Send(channel int32, message []byte) error {
	for first := true; first || len(message) > 0; first = false {
		n := min(len(message), packetSize)
		err := p.write(&cmtp2p.Packet{Sum: &cmtp2p.Packet_PacketMsg{PacketMsg: &cmtp2p.PacketMsg{
			ChannelID: channel, EOF: n == len(message), Data: message[:n],
		}}})
		if err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}

// Part sends bytes of a message that does not end.
func (p *Peer) Part(channel int32, data []byte) error {
	return p.write(&cmtp2p.Packet{Sum: &cmtp2p.Packet_PacketMsg{PacketMsg: &cmtp2p.PacketMsg{ChannelID: channel, Data: data}}})
}

// Raw sends bytes that are no packet.
func (p *Peer) Raw(data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.raw.Write(data)
	return err
}

// Vote sends a vote.
func (p *Peer) Vote(v *cmtproto.Vote) error {
	m := cmtconsensus.Message{Sum: &cmtconsensus.Message_Vote{Vote: &cmtconsensus.Vote{Vote: v}}}
	raw, err := m.Marshal()
	if err != nil {
		return err
	}
	return p.Send(Votes, raw)
}

// Transactions sends transactions.
func (p *Peer) Transactions(txs ...[]byte) error {
	m := cmtmempool.Message{Sum: &cmtmempool.Message_Txs{Txs: &cmtmempool.Txs{Txs: txs}}}
	raw, err := m.Marshal()
	if err != nil {
		return err
	}
	return p.Send(Mempool, raw)
}
