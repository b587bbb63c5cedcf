package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (a *app) trustCmd() *cobra.Command {
	return group("trust", "Credential types and who may issue them",
		"  hufu trust publish examples/types/resident-id.json\n  hufu trust chain agency urn:hufu:type:resident-id:1",
		a.trustPublishCmd(), a.trustTypeCmd(), a.trustAccreditCmd(), a.trustWithdrawCmd(), a.trustChainCmd())
}

func (a *app) trustPublishCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:     "publish FILE",
		Short:   "Publish a credential type, or its next version, from a JSON file",
		Example: "  hufu trust publish examples/types/resident-id.json --as member",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var t tx.TrustType
			if err := readJSON(args[0], &t); err != nil {
				return err
			}
			if err := t.Validate(); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return a.withActor(c.Context(), node, as, func(_ *session, actor *home.Actor) error {
				r, err := actor.Submit(c.Context(), &t, nil)
				if err != nil {
					return err
				}
				return a.emitWritten("published "+t.VCT, "", r)
			})
		},
	}
	c.Flags().StringVar(&as, "as", founderName, "member of this home that publishes it")
	return nodeFlag(c, &node)
}

func (a *app) trustTypeCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "type VCT",
		Short:   "Show a published credential type",
		Example: "  hufu trust type urn:hufu:type:resident-id:1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withSession(c.Context(), node, false, func(l *session) error {
				var t *trust.TypeRecord
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					t, err = trust.GetType(v, args[0])
					return err
				}); err != nil {
					return err
				}
				if t == nil {
					return fmt.Errorf("the ledger proves that there is no credential type %s", args[0])
				}
				return a.emit(accountOfType(t, l.Network()), func(w io.Writer) {
					fmt.Fprintf(w, "%s, version %d, assurance %s\n", t.VCT, t.Version, t.Assurance)
					for _, cl := range t.Claims {
						fmt.Fprintf(w, "  %-32s %s\n", joinPath(cl.Path), cl.Type)
					}
				})
			})
		},
	}
	return nodeFlag(c, &node)
}

func joinPath(path []string) string {
	out := ""
	for i, p := range path {
		if i > 0 {
			out += "."
		}
		out += p
	}
	return out
}

func (a *app) trustAccreditCmd() *cobra.Command {
	var node, as string
	var g granter
	c := &cobra.Command{
		Use:   "accredit DID|NAME --type VCT --as NAME",
		Short: "Pass on an accreditation, within one's own",
		Long: `Lets an accredited identity of this home accredit another, within its own types and validity. The
members' own accreditations are decided with: hufu gov propose accredit`,
		Example: "  hufu trust accredit branch-office --type urn:hufu:type:resident-id:1 --as agency",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			grant, err := g.grant(time.Now())
			if err != nil {
				return err
			}
			return a.withActor(c.Context(), node, as, func(l *session, actor *home.Actor) error {
				id, err := l.memberID(args[0])
				if err != nil {
					return err
				}
				r, err := actor.Submit(c.Context(), &tx.TrustAccredit{Subject: id, Grant: grant}, nil)
				if err != nil {
					return err
				}
				return a.emitWritten("accredited", id.DID(l.Network()), r)
			})
		},
	}
	g.flags(c)
	c.Flags().StringVar(&as, "as", "", "accredited identity of this home")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}

func (a *app) trustWithdrawCmd() *cobra.Command {
	var node, as string
	var wd withdrawer
	c := &cobra.Command{
		Use:     "withdraw DID|NAME --type VCT --as NAME",
		Short:   "Take back an accreditation that one passed on",
		Example: "  hufu trust withdraw branch-office --type urn:hufu:type:resident-id:1 --as agency",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withActor(c.Context(), node, as, func(l *session, actor *home.Actor) error {
				id, err := l.memberID(args[0])
				if err != nil {
					return err
				}
				body, err := wd.body(id)
				if err != nil {
					return err
				}
				r, err := actor.Submit(c.Context(), body, nil)
				if err != nil {
					return err
				}
				return a.emitWritten("withdrawn", id.DID(l.Network()), r)
			})
		},
	}
	wd.flags(c)
	c.Flags().StringVar(&as, "as", "", "identity of this home that had accredited it")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}

func (a *app) trustChainCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "chain DID|NAME VCT",
		Short:   "Show by whose authority an issuer may issue a type now",
		Example: "  hufu trust chain agency urn:hufu:type:resident-id:1",
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withSession(c.Context(), node, false, func(l *session) error {
				id, err := l.memberID(args[0])
				if err != nil {
					return err
				}
				var chain []trust.Link
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					chain, err = trust.Chain(v, id, args[1], v.AsOf().Time.Unix(), v.AsOf())
					return err
				}); err != nil {
					return err
				}
				return a.emit(accountOfChain(chain, l.Network()), func(w io.Writer) { printChain(w, chain, l.Network()) })
			})
		},
	}
	return nodeFlag(c, &node)
}

func printChain(w io.Writer, chain []trust.Link, n hufu.Network) {
	for _, link := range chain {
		by := "the members together, proposal " + link.Grant.Proposal.String()
		if !link.Grant.Root() {
			by = string(link.Grant.By.DID(n))
		}
		fmt.Fprintf(w, "%s\n  accredited by %s in block %d, until %s\n", link.Subject.DID(n), by,
			link.Grant.Height, time.Unix(link.Grant.NotAfter, 0).UTC().Format(time.DateOnly))
	}
}
