package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/node"
)

func (a *app) signerCmd() *cobra.Command {
	return group("signer", "A validator's keys in a process of their own, away from its node",
		"  hufu signer init --home ./signer --from ./net\n  hufu signer start --home ./signer --node ID@node.harbour.example:26659",
		a.signerInitCmd(), a.signerStartCmd(), a.signerKeysCmd())
}

func (a *app) signerInitCmd() *cobra.Command {
	var from string
	var source app
	c := &cobra.Command{
		Use:   "init --from HOME",
		Short: "Take the validator's keys out of its node's home into one of the signer",
		Long: `Makes --home, unless it is there, with a key by which nodes know the signer, and moves the validator's keys of the node's home
into it, together with what they signed last. The node must be stopped. Keys in a PKCS#11 token stay there; give the
machine of the signer the token. A command that was cut off is run again. Then bring --home to the machine of the signer.

What the keys signed last is in --home from now on. Never restore it from a copy: a validator that forgot what it signed may
sign twice, which costs it its power.`,
		Example: "  hufu signer init --home ./signer --key-file signer.key --from ./net --from-key-file net.key",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			source.in, source.out, source.err, source.home = a.in, a.out, a.err, from
			src, err := source.openHome()
			if err != nil {
				return err
			}
			validators, err := src.Validators()
			if err != nil {
				return err
			}
			var h *home.Home
			if home.Exists(a.home) {
				if h, err = a.openHome(); err == nil && h.Network() != src.Network() {
					err = fmt.Errorf("%w: the signer's home is of %s, the node's of %s", node.ErrWrongNetwork, h.Network(), src.Network())
				}
			} else {
				u, failed := a.unlock(true)
				if failed != nil {
					return failed
				}
				h, err = home.Create(a.home, u, src.Network())
			}
			if err != nil {
				return err
			}
			if err := h.ReadySigner(); err != nil {
				return err
			}
			_, held, err := h.Signer()
			if err != nil {
				return err
			}
			if len(validators) == 0 && len(held) == 0 {
				return errors.New("there are no validator's keys in " + from)
			}
			done, err := node.HandOver(src.Path(home.NodeDir), h.Path(home.SignerDir), validators)
			if err != nil {
				return err
			}
			if err := errors.Join(src.MoveValidator(h), done()); err != nil {
				return err
			}
			k, err := src.NodeSigners()
			if err != nil {
				return err
			}
			return a.emitSigner(h, node.KeyID(k.Node.Public()))
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "home of the node")
	f.StringVar(&source.keyFile, "from-key-file", "", "key file of the node's home")
	f.StringVar(&source.passphraseFile, "from-passphrase-file", "", "passphrase file of the node's home")
	_ = c.MarkFlagRequired("from")
	return c
}

// emitSigner says what a signer's home is, and the id of the node that it was made for, if that is known.
func (a *app) emitSigner(h *home.Home, nodeID string) error {
	connection, validators, err := h.Signer()
	if err != nil {
		return err
	}
	id := node.KeyID(connection.Public())
	public := []string{}
	for _, v := range validators {
		public = append(public, hex.EncodeToString(v.Public().Raw()))
	}
	out := map[string]any{"id": id, "network": h.Network(), "validator_keys": public}
	if nodeID != "" {
		out["node"] = nodeID
	}
	return a.emit(out, func(w io.Writer) {
		fmt.Fprintf(w, "signer %s of network %s\n", id, h.Network())
		for i, k := range public {
			fmt.Fprintf(w, "  validator's key %d: %s\n", i+1, k)
		}
		fmt.Fprintf(w, "start the node with\n  --remote-signer %s@LISTEN:PORT\n", id)
		if nodeID != "" {
			fmt.Fprintf(w, "and the signer with\n  --node %s@HOST:PORT\n", nodeID)
		}
	})
}

func (a *app) signerKeysCmd() *cobra.Command {
	var next bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Say by what nodes know the signer, and which keys it has; make the next one",
		Long: `With --next, makes the validator's next key. Propose it with "hufu gov propose validator-key --key", start a second
signer for it with --key, and the node with a second --remote-signer, before the members have decided.`,
		Example: "  hufu signer show --home ./signer",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			h, err := a.openHome()
			if err != nil {
				return err
			}
			if next {
				_, validators, err := h.Signer()
				if err != nil {
					return err
				}
				if len(validators) == 0 {
					return home.ErrNoSigner
				}
				if _, err := h.NextValidatorKey(rand.Reader, validators[len(validators)-1].Public().Raw()); err != nil {
					return err
				}
				if _, validators, err = h.Signer(); err != nil {
					return err
				}
				if err := node.NewSigned(h.Path(home.SignerDir), validators[len(validators)-1]); err != nil {
					return err
				}
			}
			return a.emitSigner(h, "")
		},
	}
	c.Flags().BoolVar(&next, "next", false, "make the validator's next key")
	return c
}

func (a *app) signerStartCmd() *cobra.Command {
	var nodes []string
	var number int
	var verbose bool
	c := &cobra.Command{
		Use:   "start --node ID@HOST:PORT",
		Short: "Sign for the validator's node until told to stop",
		Long: `Connects to the node, which waits for it there ("hufu node start --remote-signer"), and signs what it may: never two
different votes for one step, whoever asks, also after a crash. The connection is encrypted, and each end proves its key to the other. A
node that is away is called again and again. Several nodes of one validator may stand by for each other: give --node
for each.`,
		Example: "  hufu signer start --home ./signer --key-file signer.key --node 0ed9f81f11c4055f08a91905a836970265770217@node.harbour.example:26659",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, n := range nodes {
				if _, err := node.ParseRemoteSigner(n); err != nil {
					return usageError{err}
				}
			}
			h, err := a.openHome()
			if err != nil {
				return err
			}
			return a.signerStart(c.Context(), h, nodes, number, verbose)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&nodes, "node", nil, "node to sign for, its id (hufu signer init prints it) and where it waits for the signer")
	f.IntVar(&number, "key", 1, "which of the validator's keys")
	f.BoolVar(&verbose, "verbose", false, "log connections")
	_ = c.MarkFlagRequired("node")
	return c
}

func (a *app) signerStart(ctx context.Context, h *home.Home, nodes []string, number int, verbose bool) error {
	connection, validators, err := h.Signer()
	if err != nil {
		return err
	}
	if number < 1 || number > len(validators) {
		return usagef("--key is from 1 to %d here", len(validators))
	}
	if err := a.emit(map[string]any{"id": node.KeyID(connection.Public()), "network": h.Network(), "nodes": nodes}, func(w io.Writer) {
		fmt.Fprintf(w, "signer %s of network %s is up\n", node.KeyID(connection.Public()), h.Network())
	}); err != nil {
		return err
	}
	return node.RunSigner(ctx, node.SignerConfig{
		Network: h.Network(), Dir: h.Path(home.SignerDir), Nodes: nodes, Log: a.engineLog(verbose),
	}, validators[number-1], connection)
}

func remoteSignerFlag(c *cobra.Command, to *[]string) {
	c.Flags().StringSliceVar(to, "remote-signer", nil,
		"the validator's key is with this signer, ID@HOST:PORT of its id (hufu signer show) and where this node waits for it; of several keys the oldest first")
}

func parseRemoteSigners(texts []string) (out []node.RemoteSigner, err error) {
	for _, text := range texts {
		r, err := node.ParseRemoteSigner(text)
		if err != nil {
			return nil, usageError{err}
		}
		out = append(out, r)
	}
	return out, nil
}
