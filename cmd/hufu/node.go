package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
)

func (a *app) nodeCmd() *cobra.Command {
	return group("node", "The node of a network's member", "  hufu node start --home ./harbour/node1", a.nodeStartCmd())
}

func (a *app) nodeStartCmd() *cobra.Command {
	var verbose, signAgain bool
	var signers []string
	c := &cobra.Command{
		Use:   "start",
		Short: "Run the validator of --home and nothing else",
		Long: `Runs the node of --home, which "hufu net init" or "hufu net genesis" made ready, until it is told to stop. Where it
listens and whom it connects to is in node.json, and for how long it keeps blocks ("retain": "all" or days, such as
"365d"). With "metrics": "127.0.0.1:9090" there, /metrics, /healthz and /readyz are served at that address. A home without blocks that does not keep all begins with a snapshot of its peers. It catches up with the
others by itself. Issuers and gates run beside it ("hufu issuer serve", "hufu gate serve"), or all in one process
with "hufu up".

A validator that was restored from a backup, or finds votes of its own on the ledger that its disk does not know
of, does not sign until the others have made a block after its start. When they cannot without it, and all agree
that nothing it signed since is in use, --sign-again lets it.`,
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
			return a.nodeStart(c.Context(), h, remote, verbose, signAgain)
		},
	}
	remoteSignerFlag(c, &signers)
	c.Flags().BoolVar(&verbose, "verbose", false, "log what the engine does")
	c.Flags().BoolVar(&signAgain, "sign-again", false, "sign at once although it is not known what was signed last: the members made sure that it was nothing that counts")
	return c
}

func (a *app) nodeStart(ctx context.Context, h *home.Home, remote []node.RemoteSigner, verbose, signAgain bool) (err error) {
	defer node.Dedicate(1)()
	l, err := listenMetrics(ctx, h)
	if err != nil {
		return err
	}
	if l != nil {
		defer l.Close()
	}
	n, err := a.startNode(ctx, h, "", remote, verbose, signAgain)
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
	up := map[string]any{"network": h.Network(), "node": n.URL(), "peers": n.AddressP2P(), "id": n.ID(), "home": a.home}
	if l != nil {
		up["metrics"] = metricsURL(l)
	}
	if err := a.emit(up, func(w io.Writer) {
		fmt.Fprintf(w, "node %s of network %s is up\n  node %s\n  peers %s\n", n.ID(), h.Network(), n.URL(), n.AddressP2P())
		if l != nil {
			fmt.Fprintf(w, "  metrics %s\n", metricsURL(l))
		}
	}); err != nil {
		return err
	}
	return serveUntil(ctx, n, func(ctx context.Context) error {
		if l != nil {
			return a.serveMetrics(ctx, l, n, c, verbose)
		}
		<-ctx.Done()
		return nil
	})
}

// listenMetrics listens where the home's settings want the node's metrics, or is nil.
func listenMetrics(ctx context.Context, h *home.Home) (net.Listener, error) {
	settings, err := h.NodeSettings()
	if err != nil || settings.Metrics == "" {
		return nil, err
	}
	l, err := server.Listen(ctx, settings.Metrics, false)
	if err != nil {
		return nil, fmt.Errorf("%s, metrics: %w", home.NodeSettingsFile, err)
	}
	return l, nil
}

func metricsURL(l net.Listener) string { return "http://" + l.Addr().String() + "/metrics" }

// serveMetrics serves what a node says of itself, and what its client verified.
func (a *app) serveMetrics(ctx context.Context, l net.Listener, n *node.Node, c *client.Client, verbose bool) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(append(ledgerMetrics(c), nodeMetrics(n)...)...)
	return server.Serve(ctx, l, server.Routes(server.Parts{Ledger: c, Metrics: registry}), server.Options{Log: a.engineLog(verbose), Metrics: registry})
}

// startNode starts the node of a home where its settings say, or with its RPC at another address.
func (a *app) startNode(ctx context.Context, h *home.Home, rpc string, remote []node.RemoteSigner, verbose, signAgain bool) (*node.Node, error) {
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
	cfg := node.Config{
		Home: h.Path(home.NodeDir), Network: h.Network(), ListenRPC: rpc, ListenP2P: settings.Listen, Peers: settings.Peers,
		SnapshotEvery: settings.SnapshotEvery, Log: a.engineLog(verbose), SignAgain: signAgain, RemoteSigners: remote,
	}
	if cfg.Retain, err = settings.Retain.Duration(node.LeastRetain); err != nil {
		return nil, err
	}
	if cfg.Retain > 0 && len(cfg.Peers) > 0 {
		if cfg.StateSync, err = stateSync(h); err != nil {
			return nil, err
		}
	}
	n, err := node.Start(ctx, cfg, node.Keys{Validator: k.Validator, Successors: k.Successors, Node: k.Node})
	if err == nil && cfg.StateSync != nil {
		go trustSynced(ctx, cfg.Log, h, n)
	}
	return n, err
}

// stateSync is what a node that begins with a snapshot believes: what the home's clients do.
func stateSync(h *home.Home) (*node.StateSync, error) {
	t, err := h.Trust()
	if err != nil {
		return nil, err
	}
	s := &node.StateSync{Period: client.DefaultPeriod}
	if t.Checkpoint != nil {
		s.Height, s.Hash = t.Checkpoint.Height, t.Checkpoint.Hash
	}
	return s, nil
}

// trustSynced lets the home's clients begin where its node's blocks do, once the node has begun with a snapshot:
// it cannot show them older ones.
func trustSynced(ctx context.Context, log *slog.Logger, h *home.Home, n *node.Node) {
	s, err := n.AwaitSynced(ctx)
	if s == nil {
		return
	}
	if err == nil {
		err = h.SetCheckpoint(home.Checkpoint{Checkpoint: client.Checkpoint{Height: s.Height, Hash: s.Hash}, Time: s.Time})
	}
	if err != nil {
		log.Error("what the home's clients trust is older than the node's first block", "error", err)
		return
	}
	log.Warn("this node has blocks from here on; the ones before it are at nodes that keep all", "height", s.Height)
	if s.Missing > 0 {
		log.Warn("none of its peers had the headers up to here, of which evidence still counts: this node cannot judge it; if that is to be mended, begin anew with peers that keep more",
			"height", s.Missing)
	}
}
