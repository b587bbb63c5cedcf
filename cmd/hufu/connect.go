package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
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
	home *home.Home
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
	c, err := dialHome(h, node)
	if err != nil {
		return nil, err
	}
	return &session{c, h}, nil
}

// dialHome follows the network of a home from what the home trusts.
func dialHome(h *home.Home, node string) (*client.Client, error) {
	trust, err := h.Trust()
	if err != nil {
		return nil, err
	}
	return dial(node, trust)
}

// renewTrust replaces what a home trusts by a header that was verified from it, before it is too old to
// verify anything. It is called when the ledger could be read.
func renewTrust(ctx context.Context, h *home.Home, c *client.Client) error {
	old, err := h.TrustIsOld(time.Now())
	if err != nil || !old {
		return err
	}
	checkpoint, err := newestCheckpoint(ctx, c)
	if err != nil {
		return err
	}
	return h.SetCheckpoint(checkpoint)
}

func newestCheckpoint(ctx context.Context, c *client.Client) (home.Checkpoint, error) {
	head, err := c.Head(ctx)
	if err != nil {
		return home.Checkpoint{}, err
	}
	checkpoint, err := c.Checkpoint(ctx)
	return home.Checkpoint{Checkpoint: checkpoint, Time: head.Time}, err
}

func dial(node string, trust client.Trust) (*client.Client, error) {
	transport, err := client.Dial(node)
	if err != nil {
		return nil, hint(err, "the URL of a node's RPC is such as http://127.0.0.1:26657")
	}
	return client.New(trust, transport, client.Options{})
}

// nodeFlag adds --node to a command that reads the ledger.
func nodeFlag(c *cobra.Command, node *string) *cobra.Command {
	c.Flags().StringVar(node, "node", "", "URL of a node's RPC (default: the process that serves --home)")
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
