package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/didres"
)

func (a *app) didCmd() *cobra.Command {
	return group("did", "Identifiers: create, resolve, rotate, update, recover, deactivate",
		"  hufu did create agency --method issuing:assertion\n  hufu did resolve agency",
		a.didCreateCmd(), a.didShowCmd(), a.didListCmd(), a.didRotateCmd(), a.didUpdateCmd(),
		a.didGuardCmd(), a.didRecoverCmd(), a.didVetoCmd(), a.didFinishCmd(), a.didDeactivateCmd())
}

// written is the account of one transaction.
type written struct {
	DID    hufu.DID    `json:"did,omitempty"`
	Tx     hufu.Digest `json:"tx"`
	Height hufu.Height `json:"height"`
}

func (a *app) emitWritten(what string, d hufu.DID, r client.Receipt) error {
	return a.emit(written{d, r.TxID, r.Height}, func(w io.Writer) {
		fmt.Fprintf(w, "%s: in block %d, transaction %s\n", what, r.Height, r.TxID)
	})
}

const methodHelp = "a verification method as FRAGMENT:PURPOSE[+PURPOSE][:SUITE]; purposes are authentication, assertion, agreement"

func (a *app) didCreateCmd() *cobra.Command {
	var node, suite, sponsor, open, genesis, token string
	var methods []string
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make keys and put a new identifier on the ledger",
		Long: `Makes the keys of a new identifier in the key store of --home, commits to the next ones, and puts the
identifier on the ledger under a name that only this home knows. A member of this home pays for it with
its quota, or one elsewhere with its open quota (--open). Repeating the command after a failure goes on where it stopped.

An issuer or a gate needs no node. With --genesis, a home that does not exist yet is made for it, trusting that network.`,
		Example: "  hufu did create agency --method issuing:assertion:P-256 --sponsor member\n" +
			"  hufu did create library --method gate:authentication+assertion --home library --genesis genesis.json --open did:hufu:... --node http://127.0.0.1:26657",
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := keys.SuiteByName(suite)
			if err != nil {
				return usageError{err}
			}
			specs, err := parseMethods(methods)
			if err != nil {
				return err
			}
			if err := a.homeFor(genesis, token); err != nil {
				return err
			}
			return a.withSession(c.Context(), node, true, func(l *session) error {
				d, _, err := l.home.NewIdentity(rand.Reader, args[0], s, specs...)
				if err != nil {
					return err
				}
				actor, err := l.actor(args[0])
				if err != nil {
					return err
				}
				if err := l.create(c.Context(), actor, sponsor, open); err != nil {
					return err
				}
				return a.emit(map[string]any{"name": args[0], "did": d}, func(w io.Writer) {
					fmt.Fprintf(w, "%s is %s\n", args[0], d)
					l.tellServed(w, args[0])
				})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&suite, "suite", keys.Ed25519.Name(), "suite of the control keys: Ed25519, P-256 or SM2")
	f.StringVar(&sponsor, "sponsor", founderName, "member of this home whose quota is charged")
	f.StringVar(&open, "open", "", "DID of a member anywhere whose open quota is charged instead")
	f.StringArrayVar(&methods, "method", nil, methodHelp)
	f.StringVar(&genesis, "genesis", "", "genesis file of the network, to make a home for it")
	tokenFlag(c, &token)
	return nodeFlag(c, &node)
}

// homeFor makes --home of a genesis file and a token, unless it is there, or checks that it is of that network.
func (a *app) homeFor(genesisFile, tokenURI string) error {
	token, err := parseToken(tokenURI)
	if err != nil {
		return err
	}
	there := home.Exists(a.home)
	switch {
	case tokenURI != "" && there:
		return errTokenOfHome()
	case tokenURI != "" && genesisFile == "":
		return usagef("--token goes with --genesis")
	case genesisFile == "":
		return nil
	}
	genesis, err := os.ReadFile(genesisFile)
	if err != nil {
		return err
	}
	if !there {
		_, err = a.newHome(genesis, token)
		return err
	}
	h, err := home.Peek(a.home)
	if err == nil {
		err = h.SetGenesis(genesis)
	}
	return err
}

// create puts an actor's identifier on the ledger, at the cost of a sponsor of this home or of the open quota
// of a member.
func (s *session) create(ctx context.Context, actor *home.Actor, sponsor, open string) error {
	if open != "" {
		member, err := s.memberID(open)
		if err != nil {
			return err
		}
		return actor.Create(ctx, nil, &member)
	}
	pays, err := s.actor(sponsor)
	if err != nil {
		return err
	}
	return actor.Create(ctx, pays, nil)
}

func parseMethods(specs []string) ([]home.MethodSpec, error) {
	out := make([]home.MethodSpec, 0, len(specs))
	for _, s := range specs {
		m, err := parseMethod(s)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func parseMethod(spec string) (home.MethodSpec, error) {
	parts := strings.SplitN(spec, ":", 3)
	if len(parts) < 2 {
		return home.MethodSpec{}, usagef("%q is no verification method: %s", spec, methodHelp)
	}
	m := home.MethodSpec{Fragment: parts[0], Suite: keys.P256}
	for p := range strings.SplitSeq(parts[1], "+") {
		bit, ok := map[string]uint8{
			"authentication": tx.PurposeAuthentication, "assertion": tx.PurposeAssertion, "agreement": tx.PurposeAgreement,
		}[p]
		if !ok {
			return m, usagef("%q is no purpose of a key: use authentication, assertion or agreement", p)
		}
		m.Purposes |= bit
	}
	if len(parts) == 3 {
		var err error
		if m.Suite, err = keys.SuiteByName(parts[2]); err != nil {
			return m, usageError{err}
		}
	}
	return m, nil
}

func (a *app) didShowCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "resolve DID|NAME",
		Aliases: []string{"show"},
		Short:   "Resolve an identifier, with its proof checked",
		Example: "  hufu did resolve did:hufu:hufu-dev:z6tW... --json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withSession(c.Context(), node, false, func(l *session) error {
				d, err := l.home.Resolve(args[0])
				if err != nil {
					return err
				}
				var result didres.Result
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					result, err = didres.Resolve(v, v.Network(), v.AsOf(), string(d), didres.Options{})
					return err
				}); err != nil {
					return err
				}
				if p := result.ResolutionMetadata.Error; p != nil {
					return fmt.Errorf("%s: %s", d, p.Title)
				}
				return a.emit(result, func(w io.Writer) { printDocument(w, &result) })
			})
		},
	}
	return nodeFlag(c, &node)
}

func printDocument(w io.Writer, r *didres.Result) {
	if r.DocumentMetadata.Deactivated {
		fmt.Fprintf(w, "deactivated %s; proven at height %d\n", r.DocumentMetadata.Updated, r.ResolutionMetadata.Ledger.Height)
		return
	}
	raw, err := json.MarshalIndent(r.Document, "", "  ")
	if err != nil {
		return
	}
	fmt.Fprintf(w, "%s\n\nversion %s, created %s, updated %s; proven at height %d\n",
		raw, r.DocumentMetadata.VersionID, r.DocumentMetadata.Created, r.DocumentMetadata.Updated, r.ResolutionMetadata.Ledger.Height)
	if rc := r.DocumentMetadata.Recovery; rc != nil && rc.Plan != nil {
		fmt.Fprintf(w, "a recovery by %d guardians is pending since %s, plan %s: it can be finished from %s and block %d, and vetoed until it is\n",
			rc.Approvals, rc.Since, rc.Plan, rc.NotBefore, rc.NotBeforeHeight)
	} else if rc != nil {
		fmt.Fprintf(w, "%d of %d guardians wanted have approved a recovery\n", rc.Approvals, rc.Threshold)
	}
}

func (a *app) didListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the identifiers this home has keys for",
		Example: "  hufu did list",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			h, err := home.Peek(a.home)
			if err != nil {
				return err
			}
			dids := map[string]hufu.DID{}
			for _, n := range h.Identities() {
				if dids[n], err = h.Identity(n); err != nil {
					return err
				}
			}
			return a.emit(dids, func(w io.Writer) {
				for _, n := range h.Identities() {
					fmt.Fprintf(w, "%-20s %s\n", n, dids[n])
				}
			})
		},
	}
}

func (a *app) didRotateCmd() *cobra.Command {
	var node string
	var fall bool
	c := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace an identifier's control keys by the ones it committed to",
		Long: `Replaces the control keys by the ones committed to before, and commits to new ones. Whoever stole the
present keys cannot do this. With --fall, what the old keys signed no longer stands.`,
		Example: "  hufu did rotate agency",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withActor(c.Context(), node, args[0], func(l *session, actor *home.Actor) error {
				r, err := actor.Rotate(c.Context(), fall)
				if err != nil {
					return err
				}
				return a.emitWritten(args[0]+" has new control keys", actor.DID(), r)
			})
		},
	}
	c.Flags().BoolVar(&fall, "fall", false, "signatures of the old keys no longer stand (they were stolen)")
	return nodeFlag(c, &node)
}

func (a *app) didUpdateCmd() *cobra.Command {
	var node, add, remove string
	var fall bool
	c := &cobra.Command{
		Use:   "update NAME",
		Short: "Add or end a verification method, such as an issuer's signing key",
		Example: `  hufu did update agency --add issuing-2:assertion --remove issuing
  hufu did update agency --remove issuing --fall`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if add == "" && remove == "" {
				return usagef("nothing to do: give --add, --remove or both")
			}
			return a.withActor(c.Context(), node, args[0], func(l *session, actor *home.Actor) error {
				if add == "" {
					r, err := actor.Submit(c.Context(), &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: remove, Fall: fall}}}, nil)
					if err != nil {
						return err
					}
					return a.emitUpdated(l, args[0], actor.DID(), r)
				}
				m, err := parseMethod(add)
				if err != nil {
					return err
				}
				r, err := actor.ReplaceMethod(c.Context(), remove, m.Fragment, m.Suite, m.Purposes, fall)
				if err != nil {
					return err
				}
				return a.emitUpdated(l, args[0], actor.DID(), r)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&add, "add", "", methodHelp)
	f.StringVar(&remove, "remove", "", "fragment of a method to end")
	f.BoolVar(&fall, "fall", false, "signatures of the ended method no longer stand")
	return nodeFlag(c, &node)
}

func (a *app) emitUpdated(l *session, name string, d hufu.DID, r client.Receipt) error {
	err := a.emitWritten(name+" was updated", d, r)
	if err == nil && !a.json {
		l.tellServed(a.out, name)
	}
	return err
}

// tellServed says that a running process serves the roles it found keys for when it started.
func (s *session) tellServed(w io.Writer, name string) {
	if _, err := s.home.GetRunning(); err != nil || len(s.home.Methods(name, home.GateMethod))+len(s.home.Methods(name, home.IssuingMethod)) == 0 {
		return
	}
	fmt.Fprintf(w, "start hufu up again when you want it to serve %s over HTTP; commands can use its keys now\n", name)
}

func (a *app) didDeactivateCmd() *cobra.Command {
	var node string
	var yes bool
	c := &cobra.Command{
		Use:     "deactivate NAME --yes",
		Short:   "End an identifier for good",
		Example: "  hufu did deactivate agency --yes",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if !yes {
				return usagef("this cannot be undone: say --yes if you mean it")
			}
			return a.withActor(c.Context(), node, args[0], func(_ *session, actor *home.Actor) error {
				r, err := actor.Submit(c.Context(), &tx.DIDDeactivate{}, nil)
				if err != nil {
					return err
				}
				return a.emitWritten(args[0]+" is deactivated", actor.DID(), r)
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "confirm")
	return nodeFlag(c, &node)
}

// withActor runs f as one of the home's identities.
func (a *app) withActor(ctx context.Context, node, name string, f func(*session, *home.Actor) error) error {
	return a.withSession(ctx, node, true, func(l *session) error {
		actor, err := l.actor(name)
		if err != nil {
			return err
		}
		return f(l, actor)
	})
}
