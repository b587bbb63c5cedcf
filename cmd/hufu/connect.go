package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
)

// keyFileEnv names the variable that names the key file, for services.
const keyFileEnv = "HUFU_KEY_FILE"

// unlock is what opens the key store, from the flags or, where they say nothing, the environment. With a
// new store, a key file that does not exist is made.
func (a *app) unlock(create bool) (keystore.Unlock, error) {
	path := a.keyFile
	if path == "" && a.passphraseFile == "" {
		path = os.Getenv(keyFileEnv)
	}
	if path != "" {
		if _, err := os.Lstat(path); create && errors.Is(err, os.ErrNotExist) {
			if err := keystore.CreateKeyFile(path); err != nil {
				return keystore.Unlock{}, err
			}
			fmt.Fprintf(a.err, "key file %s made: who has it and the home has the keys; keep a copy of it elsewhere\n", path)
		}
		return keystore.KeyFile(path), nil
	}
	phrase, err := a.passphrase(create)
	if err != nil {
		return keystore.Unlock{}, err
	}
	return keystore.Passphrase(string(phrase)), nil
}

// openHome opens --home with its keys.
func (a *app) openHome() (*home.Home, error) {
	if !home.Exists(a.home) {
		return home.Open(a.home, keystore.Unlock{}) // says that there is none, before a passphrase is asked for
	}
	u, err := a.unlock(false)
	if err != nil {
		return nil, err
	}
	return home.Open(a.home, u)
}

// session is an open home and a verified view of its network.
type session struct {
	*client.Client
	home    *home.Home
	standby *client.Standby // what is read when no node can be reached; nil: nothing
}

// Read is the client's or, with a standby, also of what is known when no node can be reached.
func (s *session) Read(ctx context.Context, f func(client.View) error) error {
	if s.standby != nil {
		return s.standby.Read(ctx, f)
	}
	return s.Client.Read(ctx, f)
}

// Staple is the client's or, with a standby, also of what was kept when no node can be reached.
func (s *session) Staple(ctx context.Context, read func(client.View) error) (*client.Staple, error) {
	if s.standby != nil {
		return s.standby.Staple(ctx, read)
	}
	return s.Client.Staple(ctx, read)
}

// prepare makes the session go on when no node can be reached, from a snapshot that is kept in the home as
// long as ctx lasts.
func (s *session) prepare(ctx context.Context) {
	s.standby = client.NewStandby(s.Client, s.home.Path(home.SnapshotFile))
	go s.standby.Keep(ctx)
}

// served is the ledger as the HTTP interface shows it: resolved live only, and ready when there is something
// to decide by.
func (s *session) served() server.Ledger {
	if s.standby == nil {
		return s.Client
	}
	return servedLedger{s}
}

type servedLedger struct{ s *session }

func (l servedLedger) Head(ctx context.Context) (hufu.AsOf, error) { return l.s.standby.Head(ctx) }

func (l servedLedger) Read(ctx context.Context, f func(client.View) error) error {
	return l.s.Client.Read(ctx, f)
}

// connect opens --home and follows its network through the running process, or through --node.
func (a *app) connect(node string, withKeys bool) (*session, error) {
	h, err := home.Peek(a.home)
	if err == nil && withKeys {
		h, err = a.openHome()
	}
	if err != nil {
		return nil, err
	}
	if node == "" {
		running, err := h.GetRunning()
		if err != nil {
			return nil, err
		}
		node = running.Node
	}
	c, err := a.dialHome(h, node)
	if err != nil {
		return nil, err
	}
	return &session{Client: c, home: h}, nil
}

// dialHome follows the network of a home from what the home trusts, and from the last header that it verified.
func (a *app) dialHome(h *home.Home, node string) (*client.Client, error) {
	trust, err := h.Trust()
	if err != nil {
		return nil, err
	}
	log := a.serverLog(slog.LevelWarn)
	return dial(node, trust, client.Options{Log: log, Store: h.Path(home.HeadersFile), Conflict: func(e *client.Evidence) {
		raw, err := e.Encode()
		if err == nil {
			_, err = h.KeepEvidence(e.Height(), raw)
		}
		if err != nil {
			log.Error("the evidence could not be kept", "err", err)
		}
	}})
}

// renewTrust replaces what a home trusts by a header that was verified from it, before it is too old to
// verify anything.
func renewTrust(ctx context.Context, h *home.Home, c *client.Client) error {
	old, err := h.TrustIsOld(time.Now())
	if err != nil || !old {
		return err
	}
	head, err := c.Head(ctx)
	if client.IsAway(err) {
		return nil // what was asked for needed no node; the trust is renewed another time
	}
	if err != nil {
		return err
	}
	checkpoint, err := c.Rebase(ctx)
	if err != nil {
		return err
	}
	return h.SetCheckpoint(home.Checkpoint{Checkpoint: checkpoint, Time: head.Time})
}

func newestCheckpoint(ctx context.Context, c *client.Client) (home.Checkpoint, error) {
	head, err := c.Head(ctx)
	if err != nil {
		return home.Checkpoint{}, err
	}
	checkpoint, err := c.Checkpoint(ctx)
	return home.Checkpoint{Checkpoint: checkpoint, Time: head.Time}, err
}

// maxNodes bounds the nodes that one client asks: each is asked for every header.
const maxNodes = 16

// dial makes a client of the nodes whose URLs are given, separated by commas: the first leads, the others
// are witnesses.
func dial(nodes string, trust client.Trust, o client.Options) (*client.Client, error) {
	urls := strings.Split(nodes, ",")
	if len(urls) > maxNodes {
		return nil, usagef("--node: at most %d nodes", maxNodes)
	}
	var all []client.Transport
	for _, url := range urls {
		transport, err := client.Dial(strings.TrimSpace(url))
		if err != nil {
			return nil, hint(err, "the URL of a node's RPC is such as http://127.0.0.1:26657")
		}
		all = append(all, transport)
	}
	o.Witnesses = all[1:]
	return client.New(trust, all[0], o)
}

// nodeUsage explains --node.
const nodeUsage = "URL of a node's RPC, or several separated by commas: the first is asked, the others bear witness and take over (default: the process that serves --home)"

// nodeFlag adds --node to a command that reads the ledger.
func nodeFlag(c *cobra.Command, node *string) *cobra.Command {
	c.Flags().StringVar(node, "node", "", nodeUsage)
	return c
}

// withSession runs f on the ledger of --home.
func (a *app) withSession(ctx context.Context, node string, withKeys bool, f func(s *session) error) error {
	s, err := a.connect(node, withKeys)
	if err != nil {
		return err
	}
	err = f(s)
	if err == nil {
		err = renewTrust(ctx, s.home, s.Client)
	}
	return errors.Join(err, s.Close())
}

// actor is the voice of one of the home's identities.
func (s *session) actor(name string) (*home.Actor, error) { return s.home.Actor(name, s.Client) }
