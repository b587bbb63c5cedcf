package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/admin"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/node"
)

// founderName is the identity of the member that a new home makes.
const founderName = "member"

// upOptions are the flags of "hufu up".
type upOptions struct {
	originOptions
	issuerOptions
	network, rpc, token string
	signers             []string
}

func (a *app) upCmd() *cobra.Command {
	var o upOptions
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a validator, by itself a network of one, with issuer and gate in one process",
		Long: `Runs the node of --home, and with it the services of the identities whose keys are there: status lists
of an issuer (a verification method called "issuing") and gates (one called "gate"). A home that does
not exist yet is made: keys, one founding member called "member", and a network with this one validator.

HTTP on --listen: /healthz /readyz /metrics /1.0/identifiers/{did} /statuslists/{did}/{n} /gates/{name}/gate/...
Plain HTTP on loopback only; elsewhere with --tls self-signed, or --tls-cert and --tls-key. The node's RPC, for
clients and auditors, on --rpc, on loopback only. Commands such as "hufu gate result" talk to the process
through a socket in the home.`,
		Example: "  hufu up --home ./net --network hufu-dev",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !hufu.Network(o.network).Valid() {
				return usagef("--network: a name has 1 to %d characters of a-z, 0-9 and -", hufu.MaxNetworkLen)
			}
			if err := o.check(); err != nil {
				return err // before anything is made
			}
			if err := server.CheckLoopback(o.rpc); err != nil {
				return err
			}
			remote, err := parseRemoteSigners(o.signers)
			if err != nil {
				return err
			}
			token, err := parseToken(o.token)
			if err != nil {
				return err
			}
			h, err := a.openOrFound(hufu.Network(o.network), c.Flags().Changed("network"), token)
			if err != nil {
				return err
			}
			settings, err := h.NodeSettings()
			if err != nil {
				return err
			}
			if settings.RPC != "" && !c.Flags().Changed("rpc") {
				o.rpc = settings.RPC
			}
			return a.up(c.Context(), h, &o, remote)
		},
	}
	f := c.Flags()
	f.StringVar(&o.network, "network", "hufu-dev", "name of the network that a new home founds")
	tokenFlag(c, &o.token)
	remoteSignerFlag(c, &o.signers)
	f.StringVar(&o.rpc, "rpc", "127.0.0.1:26657", "address of the node's RPC (of a network of several: as node.json says)")
	o.originOptions.add(c, "127.0.0.1:8080")
	o.issuerOptions.add(c)
	return c
}

// openOrFound opens --home, or makes it and founds a network of one.
func (a *app) openOrFound(network hufu.Network, named bool, token keystore.TokenURI) (*home.Home, error) {
	if home.Exists(a.home) {
		if token != (keystore.TokenURI{}) {
			return nil, errTokenOfHome()
		}
		h, err := a.openHome()
		if err == nil && named && h.Network() != network {
			return nil, fmt.Errorf("%w: it is of %s, and %s was asked for", node.ErrWrongNetwork, h.Network(), network)
		}
		return h, err
	}
	u, err := a.unlock(true)
	if err != nil {
		return nil, err
	}
	return home.CreateWith(a.home, u, network, func(h *home.Home) error {
		if err := h.Keys().UseToken(token); err != nil {
			return err
		}
		if err := node.CheckRoom(a.home); err != nil {
			return err // before there is a home whose node cannot start
		}
		doc, err := h.Found(rand.Reader, home.DefaultParams(), home.Founder{Identity: founderName, Name: "Founding member", Power: 10})
		if err != nil {
			return err
		}
		genesis, err := node.NewGenesis(doc, time.Now())
		if err != nil {
			return err
		}
		return h.SetGenesis(genesis)
	})
}

func (a *app) up(ctx context.Context, h *home.Home, o *upOptions, remote []node.RemoteSigner) (err error) {
	n, err := a.startNode(ctx, h, o.rpc, remote, o.verbose, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	// After the node, which holds the home's lock: of two processes for one home, the second is told so.
	g, err := a.openOrigin(ctx, a.home, &o.originOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	c, err := a.dialHome(h, n.URL())
	if err != nil {
		return err
	}
	defer c.Close()
	go keepTrust(ctx, a.engineLog(o.verbose), h, c)
	if err := h.SetRunning(&home.Running{PID: os.Getpid(), Listen: g.url, Node: n.URL()}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.SetRunning(nil)) }()
	g.registry.MustRegister(ledgerMetrics(c)...)
	g.registry.MustRegister(nodeMetrics(n)...)
	l := &session{Client: c, home: h}
	l.prepare(ctx)
	parts, err := a.parts(ctx, l, g, rolesServed{issuer: &o.issuerOptions, gates: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.close()) }()
	s, err := admin.Listen(ctx, a.home, admin.Whole, parts.verbs)
	if err != nil {
		return err
	}
	if err := a.emit(map[string]any{"network": h.Network(), "listen": g.url, "node": n.URL(), "home": a.home}, func(w io.Writer) {
		fmt.Fprintf(w, "network %s is up\n  HTTP %s\n  node %s\n  home %s\n", h.Network(), g.url, n.URL(), a.home)
		g.sayTrust(w)
	}); err != nil {
		return err
	}
	return serveUntil(ctx, n, func(ctx context.Context) error { return g.serve(ctx, server.Routes(parts.Parts), s) })
}

// serveUntil serves until ctx ends or the node can no longer go on.
func serveUntil(ctx context.Context, n *node.Node, serve func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-n.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return errors.Join(serve(ctx), n.Err())
}
