package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/admin"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
)

// The verbs by which commands reach the gates of the running process.
const (
	verbGateRequest = "gate/request"
	verbGateResult  = "gate/result"
)

// sessionAsked is what "hufu gate request" asks the process for. The contract in it may be a full
// identifier, which says which gate; else Gate does, unless there is only one.
type sessionAsked struct {
	Gate string `json:"gate,omitempty"`
	gate.SessionInput
}

// stateAsked names a session.
type stateAsked struct {
	State string `json:"state"`
}

// gates are the gates that a process serves, by name.
type gates map[string]*gate.Gate

func (g gates) verbs() admin.Verbs {
	return admin.Verbs{
		verbGateRequest: admin.Verb(g.request),
		verbGateResult: admin.Verb(func(ctx context.Context, in stateAsked) (*gate.SessionResult, error) {
			for _, door := range g { // they share a store
				return door.ResultByState(ctx, in.State)
			}
			return nil, errNoGate
		}),
	}
}

var errNoGate = errors.New("the process serves no gate that owns this contract")

func (g gates) request(ctx context.Context, in sessionAsked) (*gate.SessionOutput, error) {
	door := g[in.Gate]
	id, err := hufu.ParseContractID(in.Contract)
	switch {
	case err == nil:
		in.Contract, door = id.Name, nil
		for _, d := range g {
			if d.DID == id.Owner {
				door = d
			}
		}
	case in.Gate == "" && len(g) == 1:
		for _, d := range g {
			door = d
		}
	case in.Gate == "":
		return nil, errors.New("the process serves several gates: name the contract by its full identifier, or the gate with --as")
	}
	if door == nil {
		return nil, errNoGate
	}
	return door.OpenSession(ctx, in.SessionInput)
}

// addGates opens the home's gates, on one database, and what reaches them.
func (a *app) addGates(ctx context.Context, l *session, g *origin, p *served) error {
	names := l.home.With(home.GateMethod)
	if len(names) == 0 {
		return nil
	}
	st, err := gate.OpenStore(ctx, a.database(l.home, home.GateFile))
	if err != nil {
		return err
	}
	p.closers = append(p.closers, st.Close)
	if err := l.home.EnsureGateKeys(rand.Reader, names...); err != nil { // each write of the store has its price
		return err
	}
	doors, services := gates{}, map[string]server.ServiceDoor{}
	for _, name := range names {
		door, err := newGate(ctx, l, st, name, gateURL(g.url, name), g.roles.ofGate(name))
		if errors.Is(err, errNoRole) {
			continue // its key is not on the ledger yet, or no longer
		}
		if err != nil {
			return err
		}
		if door.Log, err = a.openLog(ctx, l, name, gate.LogName); err != nil {
			return err
		}
		if door.Log != nil {
			p.keepLog(ctx, l, g, door.Log, gateLog(l, name, door))
		}
		token, err := l.home.GateToken(rand.Reader, name, false)
		if err != nil {
			return err
		}
		doors[name] = door
		p.Gates[name] = door.Handler()
		services[name] = server.ServiceDoor{Door: door, Token: sha256.Sum256([]byte(token))}
	}
	p.API = server.API(services, version, g.options.Log)
	maps.Copy(p.verbs, doors.verbs())
	return nil
}

// gateCertificate makes the certificate by which a gate is known to wallets that read no ledger, if its
// identity has an authority: see [home.AuthorityMethod].
func gateCertificate(ctx context.Context, l *session, name string, did hufu.DID, responseURI string) (*gate.Certificate, error) {
	authority, err := l.roleKey(ctx, name, home.AuthorityMethod)
	if errors.Is(err, errNoRole) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(responseURI)
	if err != nil {
		return nil, err
	}
	var dns []string
	if host := u.Hostname(); host != "" && net.ParseIP(host) == nil {
		dns = []string{host}
	}
	// Wallets' clocks may be behind, but no certificate begins before its authority's key was on the ledger.
	from := time.Now().Add(-gate.ClockSkew)
	if from.Before(authority.since) {
		from = authority.since
	}
	return gate.Certify(rand.Reader, did, authority.signer, name, dns, from)
}

// sessionFlags are the ways of asking.
type sessionFlags struct {
	in       gate.SessionInput
	contract string
	data     []string
}

func (s *sessionFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.contract, "contract", "", "contract to ask for, by name or full identifier: opens a session at the running process")
	f.StringVar(&s.in.Format, "format", "", "credential format: dc+sd-jwt (default) or mso_mdoc")
	f.StringVar(&s.in.ResponseMode, "response-mode", "", "direct_post.jwt (default), direct_post, dc_api.jwt or dc_api")
	f.StringVar(&s.in.ClientIDPrefix, "client-id-prefix", "", "decentralized_identifier (default), x509_san_dns, x509_hash, redirect_uri, or none")
	f.StringVar(&s.in.RequestURIMethod, "request-uri-method", "", "how wallets fetch the request: get (default) or post")
	f.BoolVar(&s.in.CrossDevice, "cross-device", false, "the wallet is on another device: gives the address of a page with a QR code")
	f.StringVar(&s.in.ReturnURI, "return-uri", "", "where the visitor's browser is sent afterwards")
	f.StringArrayVar(&s.in.Origins, "origin", nil, "origin of a page that asks over the Digital Credentials API; repeat for several")
	f.StringArrayVar(&s.data, "transaction-data", nil, "JSON object of a transaction to consent to; repeat for several")
}

// askSession opens a session at the running process.
func (a *app) askSession(c *cobra.Command, as string, s *sessionFlags) error {
	for _, text := range s.data {
		if !json.Valid([]byte(text)) {
			return usagef("--transaction-data is a JSON object")
		}
		s.in.TransactionData = append(s.in.TransactionData, json.RawMessage(text))
	}
	s.in.Contract = s.contract
	out, err := admin.Call[gate.SessionOutput](c.Context(), a.home, verbGateRequest, sessionAsked{as, s.in})
	if err != nil {
		return err
	}
	return a.emit(out, func(w io.Writer) {
		if out.URI != "" {
			fmt.Fprintf(w, "%s\n", out.URI)
		}
		if out.Page != "" {
			fmt.Fprintf(w, "  page to show   %s\n", out.Page)
		}
		fmt.Fprintf(w, "  open until     %s\n  result         hufu gate result %s\n", out.ExpiresAt.Format(time.RFC3339), out.State)
	})
}

func (a *app) gateResultCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "result STATE",
		Short:   "Say what came of a session: open, or the decision and its receipt",
		Example: "  hufu gate result $(hufu gate request --contract reading-room --json | jq -r .state)",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			out, err := admin.Call[gate.SessionResult](c.Context(), a.home, verbGateResult, stateAsked{args[0]})
			if err != nil {
				return err
			}
			return a.emit(out, func(w io.Writer) {
				if out.Decision == nil {
					fmt.Fprintln(w, out.Status)
					return
				}
				fmt.Fprintf(w, "%s\n", *out.Decision)
				if out.Rule != "" {
					fmt.Fprintf(w, "  %s %s\n", out.Rule, out.Reason)
				}
				if out.Grant != nil {
					fmt.Fprintf(w, "  by %v, until %s\n", out.Policies, out.Grant.Until.Format(time.RFC3339))
				}
			})
		},
	}
}

func (a *app) gateTokenCmd() *cobra.Command {
	var as string
	var anew bool
	c := &cobra.Command{
		Use:   "token --as NAME",
		Short: "Print the token with which the service behind a gate calls its API",
		Long: `The API is described at /openapi.json of the running process. A token made anew holds from the next start of
the process on, and the one before no longer.`,
		Example: "  hufu gate token --as library",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			h, err := a.openHome()
			if err != nil {
				return err
			}
			if _, err := h.Identity(as); err != nil {
				return err
			}
			if len(h.Methods(as, home.GateMethod)) == 0 {
				return noRole(as, home.GateMethod)
			}
			token, err := h.GateToken(rand.Reader, as, anew)
			if err != nil {
				return err
			}
			return a.emit(map[string]string{"token": token}, func(w io.Writer) { fmt.Fprintln(w, token) })
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home whose gate it is")
	c.Flags().BoolVar(&anew, "new", false, "make a new one")
	_ = c.MarkFlagRequired("as")
	return c
}
