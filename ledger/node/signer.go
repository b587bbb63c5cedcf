package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cometbft/cometbft/crypto"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/privval"
	privvalproto "github.com/cometbft/cometbft/proto/tendermint/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/keys"
)

// SignerConfig is of a process that signs for a validator whose node is elsewhere.
type SignerConfig struct {
	Network hufu.Network
	// Dir has what the key signed last, which [HandOver] wrote: without it nothing is signed.
	Dir string
	// Nodes are whom it signs for, each ID@HOST:PORT of the node's id and where it waits for its signer. Several are
	// nodes of one validator, of which one is in use and the others stand by: all get the same vote or none.
	Nodes []string
	Log   *slog.Logger
}

// Errors of a signer.
var (
	ErrNoSignState  = errors.New("node: what the key signed last is not here, and without it it might sign twice")
	ErrSignerLocked = errors.New("node: another process signs with this key")
)

// redialInterval is how long a signer waits before it calls a node again that it does not reach.
const redialInterval = 250 * time.Millisecond

// RunSigner signs with a validator's key for the nodes in cfg until ctx ends. connection authenticates it to them, and they
// authenticate to it. It never signs two different votes or proposals for one step of one round, whoever asks, also
// after a crash: what it signed is on disk before it leaves.
func RunSigner(ctx context.Context, cfg SignerConfig, validator, connection keys.Signer) (err error) {
	key, err := newSigningKey(validator, "validator")
	if err != nil {
		return err
	}
	link, err := newSigningKey(connection, "connection")
	if err != nil {
		return err
	}
	if len(cfg.Nodes) == 0 {
		return errors.New("node: a signer needs a node to sign for")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	o, err := openOnce(cfg.Dir, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close()) }()
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the wait
	for _, n := range cfg.Nodes {
		id, address, err := parsePeer(n)
		if err != nil {
			return err
		}
		all.Go(func() { serveNode(ctx, cfg, o, link, id, address) })
	}
	<-ctx.Done()
	return nil
}

// serveNode calls a node and answers it, again and again.
func serveNode(ctx context.Context, cfg SignerConfig, o *once, key signingKey, id, address string) {
	log := cfg.Log.With("node", id)
	var failed said
	for ctx.Err() == nil {
		err := serveOnce(ctx, cfg, o, key, id, address, &failed, log)
		if ctx.Err() == nil && failed.first(err) {
			log.Warn("the node is not connected", "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(redialInterval):
		}
	}
}

// serveOnce answers a node over one connection. The node asks for the key first, and hangs up if it is not the one that it
// knows.
func serveOnce(ctx context.Context, cfg SignerConfig, o *once, key signingKey, id, address string, failed *said, log *slog.Logger) error {
	dialer := net.Dialer{Timeout: handshakeTimeout}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	link, err := authenticate(c, key, id)
	if err != nil {
		return err
	}
	for signing := false; ; {
		// A node calls every second.
		if err := link.SetDeadline(time.Now().Add(5 * pingInterval)); err != nil {
			return err
		}
		var m privvalproto.Message
		switch _, err := protoio.NewDelimitedReader(link, maxSignerMessage).ReadMsg(&m); {
		case err != nil && !signing:
			return fmt.Errorf("node: the node asks for nothing; why it does not take this signer is in its log: %w", err)
		case err != nil:
			return err
		case !signing && m.GetPubKeyRequest() == nil:
			signing = true
			failed.forget()
			log.Info("signing for the node")
		}
		answer, err := privval.DefaultValidationRequestHandler(o, m, string(cfg.Network))
		if err != nil {
			log.Warn("not signed", "error", err.Error())
			if answer.Sum == nil {
				return err
			}
		}
		if _, err := protoio.NewDelimitedWriter(link).WriteMsg(&answer); err != nil {
			return err
		}
	}
}

// once signs with one key, each step of each round once.
type once struct {
	key  signingKey
	file string
	lock *os.File

	mu sync.Mutex
	pv *privval.FilePV
}

func stateFile(dir string, key signingKey) string {
	return filepath.Join(dir, fmt.Sprintf("signed-%x.json", []byte(key.PubKey().Address())))
}

func openOnce(dir string, key signingKey) (*once, error) {
	o := &once{key: key, file: stateFile(dir, key)}
	if _, err := os.Stat(o.file); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoSignState, o.file)
	}
	var err error
	if o.lock, err = os.OpenFile(o.file+".lock", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, diskError(err)
	}
	if err := syscall.Flock(int(o.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrSignerLocked, o.file), o.lock.Close())
	}
	if o.pv, err = newPrivValidator(key, o.file); err != nil {
		return nil, errors.Join(err, o.lock.Close())
	}
	return o, nil
}

func (o *once) close() error { return o.lock.Close() }

// GetPubKey is the public half of the key.
func (o *once) GetPubKey() (crypto.PubKey, error) { return o.key.PubKey(), nil }

// SignVote signs a vote of this validator.
func (o *once) SignVote(network string, vote *cmtproto.Vote) error {
	if vote == nil || !bytes.Equal(vote.ValidatorAddress, o.key.PubKey().Address()) {
		return errors.New("node: asked to vote for another validator")
	}
	return o.sign(func(pv *privval.FilePV) error { return pv.SignVote(network, vote) })
}

// SignProposal signs a proposal.
func (o *once) SignProposal(network string, proposal *cmtproto.Proposal) error {
	if proposal == nil {
		return errors.New("node: asked to sign no proposal")
	}
	return o.sign(func(pv *privval.FilePV) error { return pv.SignProposal(network, proposal) })
}

// sign has the engine's code sign, which panics where what was signed cannot be kept. Nothing has left then, and what is on
// disk counts. The directory is synced as well: a lost rename would be a vote forgotten.
func (o *once) sign(do func(*privval.FilePV) error) (err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("node: not signed: %v", r)
			o.pv = nil
		}
	}()
	if o.pv == nil {
		if _, err := os.Stat(o.file); err != nil {
			return fmt.Errorf("%w: %w", ErrNoSignState, err)
		}
		if o.pv, err = newPrivValidator(o.key, o.file); err != nil {
			return err
		}
	}
	if err := do(o.pv); err != nil {
		return err
	}
	return diskError(durable.SyncDir(filepath.Dir(o.file)))
}

// HandOver copies what the validator keys of the node in home signed last to a signer's directory. The node must not run, and
// cannot until done is called: then it no longer has what it signed. A signer's directory that has the same or more of
// a key is left as it is. The keys are oldest first, as in [Keys].
func HandOver(home, dir string, validators []keys.Signer) (done func() error, err error) {
	done = func() error { return nil }
	h, err := openHome(home, 0)
	if err == nil {
		done = h.close
	} else if !errors.Is(err, ErrNoHome) { // one that never ran has signed nothing
		return nil, err
	}
	fail := func(err error) error { return errors.Join(err, done()) }
	var old []string
	for i, signer := range validators {
		key, err := newSigningKey(signer, "validator")
		if err != nil {
			return nil, fail(err)
		}
		from, to := stateFile(filepath.Join(home, engineDir), key), stateFile(dir, key)
		if i == 0 {
			from = filepath.Join(home, engineDir, signedFile)
		}
		if err := copyState(key, from, to); err != nil {
			return nil, fail(err)
		}
		old = append(old, from)
	}
	if err := durable.SyncDir(dir); err != nil {
		return nil, fail(diskError(err))
	}
	closeHome := done
	return func() error {
		for _, from := range old {
			if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return errors.Join(err, closeHome())
			}
		}
		return closeHome()
	}, nil
}

// NewSigned readies a signer's directory, which is made if there is none, for a key that never signed.
func NewSigned(dir string, validator keys.Signer) error {
	key, err := newSigningKey(validator, "validator")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return diskError(fmt.Errorf("node: %w", err))
	}
	if err := copyState(key, "", stateFile(dir, key)); err != nil {
		return err
	}
	return diskError(durable.SyncDir(dir))
}

func copyState(key signingKey, from, to string) error {
	was, err := newPrivValidator(key, from)
	if err != nil {
		return err
	}
	if _, err := os.Stat(to); err == nil {
		is, err := newPrivValidator(key, to)
		if err != nil {
			return err
		}
		a, b := &is.LastSignState, &was.LastSignState
		if a.Height > b.Height || a.Height == b.Height && (a.Round > b.Round || a.Round == b.Round && a.Step >= b.Step) {
			return nil
		}
	}
	raw, err := cmtjson.MarshalIndent(&was.LastSignState, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(to, raw)
}
