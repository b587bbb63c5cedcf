package main

import (
	"errors"
	"fmt"
	"os"

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
	genesis, err := h.Genesis()
	if err != nil {
		return nil, err
	}
	c, err := dial(node, genesis)
	if err != nil {
		return nil, err
	}
	return &session{c, h}, nil
}

func dial(node string, genesis []byte) (*client.Client, error) {
	trust, err := client.ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	transport, err := client.Dial(node)
	if err != nil {
		return nil, err
	}
	return client.New(trust, transport, client.Options{})
}

// nodeFlag adds --node to a command that reads the ledger.
func nodeFlag(c *cobra.Command, node *string) *cobra.Command {
	c.Flags().StringVar(node, "node", "", "URL of a node's RPC (default: the process that serves --home)")
	return c
}

// withSession runs f on the ledger of --home.
func (a *app) withSession(node string, withKeys bool, f func(s *session) error) error {
	s, err := a.connect(node, withKeys)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Close())
}

// actor is the voice of one of the home's identities.
func (s *session) actor(name string) (*home.Actor, error) { return s.home.Actor(name, s.Client) }
