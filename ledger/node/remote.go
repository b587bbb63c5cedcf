package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cometbft/cometbft/crypto"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cryptoenc "github.com/cometbft/cometbft/crypto/encoding"
	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	"github.com/cometbft/cometbft/privval"
	privvalproto "github.com/cometbft/cometbft/proto/tendermint/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu/keys"
)

// RemoteSigner is a process that has one of the validator's keys, and the address where the node waits for it: it is
// the signer that connects (CometBFT's privval protocol over its SecretConnection, on TCP).
type RemoteSigner struct {
	ID     string // of the signer's connection key: the only one that is let in
	Listen string // host:port
}

// ParseRemoteSigner reads ID@HOST:PORT.
func ParseRemoteSigner(text string) (RemoteSigner, error) {
	id, address, err := parsePeer(text)
	return RemoteSigner{id, address}, err
}

// parsePeer reads ID@HOST:PORT. The id is the engine's name of an Ed25519 key: 20 bytes of its digest, in hex.
func parsePeer(text string) (id, address string, err error) {
	id, address, _ = strings.Cut(text, "@")
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != cmted25519.PubKeySize-12 || id != strings.ToLower(id) {
		return "", "", fmt.Errorf("node: %q does not begin with an id of 40 hexadecimal digits: ID@HOST:PORT", text)
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return "", "", fmt.Errorf("node: %q names no address: ID@HOST:PORT", text)
	}
	return id, address, nil
}

// KeyID is the name that a connection key has among nodes and signers.
func KeyID(k keys.PublicKey) string { return string(p2p.PubKeyToID(cmted25519.PubKey(k.Raw()))) }

// ErrNoSigner means that the remote signer is not connected. The node goes on and does not vote.
var ErrNoSigner = errors.New("node: the remote signer is not connected")

// How long the parts of an exchange with a signer or a node may take. A validator that answers later has missed the
// round anyway, and the engine waits.
const (
	handshakeTimeout = 3 * time.Second
	requestTimeout   = 2 * time.Second
	pingInterval     = time.Second // the protocol's signers hang up after some seconds of silence
)

// maxSignerMessage bounds a message of the protocol in bytes: a vote or a proposal is a few hundred.
const maxSignerMessage = 16 << 10

// authenticate makes a connection into one that is encrypted, and that it is known who is at the other end of.
func authenticate(c net.Conn, key signingKey, peer string) (net.Conn, error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	secret, err := conn.MakeSecretConnection(c, key)
	if err != nil {
		return nil, err
	}
	if id := string(p2p.PubKeyToID(secret.RemotePubKey())); id != peer {
		return nil, fmt.Errorf("node: %s is at the other end, not %s", id, peer)
	}
	return secret, c.SetDeadline(time.Time{})
}

// remote is a voting key that a signer has.
type remote struct {
	signer  RemoteSigner
	network string
	key     signingKey // of the node's connections
	log     *slog.Logger
	file    string // where the public key is written down, so that the node can start without the signer; one home of a signer may have several keys
	listen  net.Listener
	ended   chan struct{}
	closing sync.Once
	done    sync.WaitGroup

	turned said // whom it did not let in, since a signer was

	mu     sync.Mutex // one request at a time
	link   net.Conn   // nil: not connected
	public crypto.PubKey
	known  chan struct{}        // closed when public is known
	missed *cmtproto.Vote       // the last vote that was to be signed while nobody could
	cast   func(*cmtproto.Vote) // gives the engine a vote that it asked for before
}

func listenRemote(ctx context.Context, s RemoteSigner, network, dir string, key signingKey, log *slog.Logger) (*remote, error) {
	r := &remote{
		signer: s, network: network, key: key, log: log.With("signer", s.ID), file: filepath.Join(dir, "signer-"+s.ID+"@"+s.Listen+".pub"),
		ended: make(chan struct{}), known: make(chan struct{}),
	}
	raw, err := os.ReadFile(r.file)
	switch {
	case err == nil:
		public, err := hex.DecodeString(string(raw))
		if err != nil || len(public) != cmted25519.PubKeySize {
			return nil, fmt.Errorf("node: %s does not read; remove it: it is made again when the signer connects", r.file)
		}
		r.public = cmted25519.PubKey(public)
		close(r.known)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, diskError(err)
	}
	if r.listen, err = new(net.ListenConfig).Listen(ctx, "tcp", s.Listen); err != nil {
		return nil, fmt.Errorf("node: waiting for the remote signer: %w", err)
	}
	r.done.Go(r.accept)
	r.done.Go(r.ping)
	return r, nil
}

// accept lets the signer in, and whoever it is not out. A new connection takes the place of one that does not answer any
// more: a signer that was started again is not kept waiting.
func (r *remote) accept() {
	for {
		c, err := r.listen.Accept()
		if err != nil {
			select {
			case <-r.ended:
				return
			case <-time.After(pingInterval): // out of file descriptors, perhaps
				continue
			}
		}
		r.done.Go(func() { r.admit(c) })
	}
}

func (r *remote) admit(c net.Conn) {
	link, err := authenticate(c, r.key, r.signer.ID)
	if err == nil {
		var public crypto.PubKey
		if public, err = r.ask(link); err == nil {
			err = r.take(link, public)
		}
	}
	if err != nil {
		if r.turned.first(err) { // it comes again four times a second
			r.log.Warn("no signer was let in", "from", c.RemoteAddr().String(), "error", err.Error())
		}
		_ = c.Close()
		return
	}
	r.turned.forget()
	r.log.Info("the signer is connected")
	r.catchUp()
}

// catchUp has the vote signed that the engine asked for while the signer was away. The engine does not ask again: without
// it, nodes whose votes are needed for a majority would wait for each other for ever. A vote that is late is what an
// asynchronous network does to any; one that the signer should not sign any more it refuses.
func (r *remote) catchUp() {
	r.mu.Lock()
	vote, cast := r.missed, r.cast
	r.missed = nil
	r.mu.Unlock()
	if vote == nil || cast == nil {
		return
	}
	if err := r.SignVote(r.network, vote); err != nil {
		r.log.Warn("a vote was missed", "height", vote.Height, "error", err.Error())
		return
	}
	cast(vote)
}

// castBy has the votes that were missed given to the engine by f.
func (r *remote) castBy(f func(*cmtproto.Vote)) {
	r.mu.Lock()
	r.cast = f
	r.mu.Unlock()
	r.catchUp()
}

// ask reads which key a signer has.
func (r *remote) ask(link net.Conn) (crypto.PubKey, error) {
	answer, err := exchange(link, &privvalproto.Message{Sum: &privvalproto.Message_PubKeyRequest{PubKeyRequest: &privvalproto.PubKeyRequest{ChainId: r.network}}})
	if err != nil {
		return nil, err
	}
	got := answer.GetPubKeyResponse()
	switch {
	case got == nil:
		return nil, errNotAnswer
	case got.Error != nil:
		return nil, &privval.RemoteSignerError{Code: int(got.Error.Code), Description: got.Error.Description}
	}
	public, err := cryptoenc.PubKeyFromProto(got.PubKey)
	if err != nil {
		return nil, err
	}
	if public.Type() != cmted25519.KeyType {
		return nil, fmt.Errorf("node: the remote signer has a %s key, a validator's is Ed25519", public.Type())
	}
	return public, nil
}

// errTwoSigners: were the second let in, the two would displace each other without end, and the validator's votes be signed
// now by one and now by the other, of which each knows only what it signed itself.
var errTwoSigners = errors.New("node: a signer with this connection key is connected already and answers: two are running, which might sign twice; stop one of them for good")

// take has link used for requests from now on. A signer whose key is another than before is refused: votes are of one key. So
// is one beside another.
func (r *remote) take(link net.Conn, public crypto.PubKey) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.ended:
		return net.ErrClosed
	default:
	}
	if r.public != nil && !r.public.Equals(public) {
		return fmt.Errorf("node: the remote signer has the key %X, not %X as before; if that is meant, remove %s and start again", public.Bytes(), r.public.Bytes(), r.file)
	}
	if r.public == nil {
		if err := os.WriteFile(r.file, []byte(hex.EncodeToString(public.Bytes())), 0o600); err != nil {
			return diskError(err)
		}
		r.public = public
		close(r.known)
	}
	if r.link != nil {
		if _, err := exchange(r.link, pingRequest()); err == nil {
			return errTwoSigners
		}
		_ = r.link.Close()
	}
	r.link = link
	return nil
}

func pingRequest() *privvalproto.Message {
	return &privvalproto.Message{Sum: &privvalproto.Message_PingRequest{PingRequest: &privvalproto.PingRequest{}}}
}

// ping notices a signer that is gone, and keeps one that is idle.
func (r *remote) ping() {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-r.ended:
			return
		case <-tick.C:
			_, err := r.request(pingRequest(), nil)
			if err != nil && !errors.Is(err, ErrNoSigner) {
				r.log.Warn("the signer is gone", "error", err.Error())
			}
		}
	}
}

var errNotAnswer = errors.New("node: the remote signer did not answer what it was asked")

// exchange sends one message and reads the answer.
func exchange(link net.Conn, m *privvalproto.Message) (answer privvalproto.Message, err error) {
	if err := link.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return answer, err
	}
	if _, err := protoio.NewDelimitedWriter(link).WriteMsg(m); err != nil {
		return answer, err
	}
	_, err = protoio.NewDelimitedReader(link, maxSignerMessage).ReadMsg(&answer)
	return answer, err
}

// request asks the signer that is connected. One that fails to answer is hung up on, and connects again; the vote that it
// was asked for is kept until then.
func (r *remote) request(m *privvalproto.Message, vote *cmtproto.Vote) (answer privvalproto.Message, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		err = ErrNoSigner
	} else if answer, err = exchange(r.link, m); err != nil {
		_ = r.link.Close()
		r.link = nil
	}
	if err != nil && vote != nil {
		missed := *vote
		r.missed = &missed
	}
	return answer, err
}

// await waits until it is known which key the signer has.
func (r *remote) await(ctx context.Context) error {
	select {
	case <-r.known:
		return nil
	default:
	}
	r.log.Warn("waiting for the signer to connect for the first time", "at", r.listen.Addr().String())
	select {
	case <-r.known:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNoSigner, ctx.Err())
	}
}

// GetPubKey is the public half of the key.
func (r *remote) GetPubKey() (crypto.PubKey, error) { return r.public, nil }

// GetAddress is the validator's address.
func (r *remote) GetAddress() types.Address { return r.public.Address() }

// SignVote has the signer sign. What it gives back must be the vote asked for, but for the time of one that it signed
// before; the engine checks the signature.
func (r *remote) SignVote(network string, vote *cmtproto.Vote) error {
	answer, err := r.request(&privvalproto.Message{Sum: &privvalproto.Message_SignVoteRequest{
		SignVoteRequest: &privvalproto.SignVoteRequest{Vote: vote, ChainId: network},
	}}, vote)
	if err != nil {
		return err
	}
	got := answer.GetSignedVoteResponse()
	switch {
	case got == nil:
		return errNotAnswer
	case got.Error != nil:
		return &privval.RemoteSignerError{Code: int(got.Error.Code), Description: got.Error.Description}
	}
	same := *vote
	same.Timestamp, same.Signature, same.ExtensionSignature = got.Vote.Timestamp, got.Vote.Signature, got.Vote.ExtensionSignature
	if !sameBytes(&same, &got.Vote) {
		return errNotAnswer
	}
	*vote = got.Vote
	return nil
}

// SignProposal has the signer sign, as SignVote.
func (r *remote) SignProposal(network string, proposal *cmtproto.Proposal) error {
	answer, err := r.request(&privvalproto.Message{Sum: &privvalproto.Message_SignProposalRequest{
		SignProposalRequest: &privvalproto.SignProposalRequest{Proposal: proposal, ChainId: network},
	}}, nil)
	if err != nil {
		return err
	}
	got := answer.GetSignedProposalResponse()
	switch {
	case got == nil:
		return errNotAnswer
	case got.Error != nil:
		return &privval.RemoteSignerError{Code: int(got.Error.Code), Description: got.Error.Description}
	}
	same := *proposal
	same.Timestamp, same.Signature = got.Proposal.Timestamp, got.Proposal.Signature
	if !sameBytes(&same, &got.Proposal) {
		return errNotAnswer
	}
	*proposal = got.Proposal
	return nil
}

func sameBytes(a, b interface{ Marshal() ([]byte, error) }) bool {
	x, err := a.Marshal()
	y, other := b.Marshal()
	return err == nil && other == nil && bytes.Equal(x, y)
}

// Close hangs up and waits until nobody is being let in.
func (r *remote) Close() error {
	var err error
	r.closing.Do(func() {
		close(r.ended)
		err = r.listen.Close()
		r.mu.Lock()
		if r.link != nil {
			_ = r.link.Close()
			r.link = nil
		}
		r.mu.Unlock()
		r.done.Wait()
	})
	return err
}
