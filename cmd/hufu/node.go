package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/node"
)

func (a *app) nodeCmd() *cobra.Command {
	return group("node", "The node of a network's member", "  hufu node start --home ./harbour/node1", a.nodeStartCmd())
}

func (a *app) nodeStartCmd() *cobra.Command {
	var verbose bool
	var signers []string
	c := &cobra.Command{
		Use:   "start",
		Short: "Run the validator of --home and nothing else",
		Long: `Runs the node of --home, which "hufu net init" or "hufu net genesis" made ready, until it is told to stop. Where it
listens and whom it connects to is in node.json. It catches up with the others by itself. Issuers and gates run
beside it ("hufu issuer serve", "hufu gate serve"), or all in one process with "hufu up".`,
		Example: "  hufu node start --home ./harbour/node1 --key-file ./harbour/node1.key",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			remote, err := parseRemoteSigners(signers)
			if err != nil {
				return err
			}
			h, err := a.openHome()
			if err != nil {
				return err
			}
			return a.nodeStart(c.Context(), h, remote, verbose)
		},
	}
	remoteSignerFlag(c, &signers)
	c.Flags().BoolVar(&verbose, "verbose", false, "log what the engine does")
	return c
}

func (a *app) nodeStart(ctx context.Context, h *home.Home, remote []node.RemoteSigner, verbose bool) (err error) {
	n, err := a.startNode(ctx, h, "", remote, verbose)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	c, err := a.dialHome(h, n.URL())
	if err != nil {
		return err
	}
	defer c.Close()
	go keepTrust(ctx, a.engineLog(verbose), h, c)
	if err := h.SetRunning(&home.Running{PID: os.Getpid(), Node: n.URL()}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.SetRunning(nil)) }()
	if err := a.emit(map[string]any{"network": h.Network(), "node": n.URL(), "peers": n.AddressP2P(), "id": n.ID(), "home": a.home}, func(w io.Writer) {
		fmt.Fprintf(w, "node %s of network %s is up\n  node %s\n  peers %s\n", n.ID(), h.Network(), n.URL(), n.AddressP2P())
	}); err != nil {
		return err
	}
	return serveUntil(ctx, n, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
}

// startNode starts the node of a home where its settings say, or with its RPC at another address.
func (a *app) startNode(ctx context.Context, h *home.Home, rpc string, remote []node.RemoteSigner, verbose bool) (*node.Node, error) {
	genesis, err := h.Genesis()
	if err != nil {
		return nil, noGenesis(err)
	}
	settings, err := h.NodeSettings()
	if err != nil {
		return nil, err
	}
	k, err := h.NodeSigners()
	if errors.Is(err, keystore.ErrNotFound) {
		return nil, hint(err, "this home has no node's keys, as a wallet's has none: name another with --home")
	}
	if err != nil {
		return nil, err
	}
	switch {
	case k.Validator == nil && len(remote) == 0:
		return nil, hint(errors.New("the validator's key is not in this home"), "it is with its signer: start with --remote-signer ID@HOST:PORT")
	case k.Validator != nil && len(remote) > 0:
		return nil, hint(errors.New("the validator's key is in this home"), "give it to the signer first: hufu signer init --from %s", a.home)
	}
	if err := node.InitHome(h.Path(home.NodeDir), genesis); err != nil && !errors.Is(err, node.ErrExists) {
		return nil, err
	}
	if rpc == "" {
		rpc = settings.RPC
	}
	return node.Start(ctx, node.Config{
		Home: h.Path(home.NodeDir), Network: h.Network(), ListenRPC: rpc, ListenP2P: settings.Listen, Peers: settings.Peers,
		RemoteSigners: remote, Log: a.engineLog(verbose),
	}, node.Keys{Validator: k.Validator, Successors: k.Successors, Node: k.Node})
}
