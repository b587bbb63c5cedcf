package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (a *app) govCmd() *cobra.Command {
	return group("gov", "Governance: members, proposals, votes, parameters",
		"  hufu gov members\n  hufu gov propose accredit did:hufu:... --type urn:hufu:type:resident-id:1",
		a.govMembersCmd(), a.govParamsCmd(), a.govProposeCmd(), a.govListCmd(), a.govVoteCmd(), a.govShowCmd())
}

func (a *app) govMembersCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "members",
		Short:   "List the members with their voting power and quotas",
		Example: "  hufu gov members --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			type member struct {
				DID       hufu.DID `json:"did"`
				Name      string   `json:"name"`
				Power     uint64   `json:"power"`
				Quota     uint64   `json:"quota"`
				OpenQuota uint64   `json:"open_quota"`

				Convicted hufu.Height `json:"convicted,omitempty"` // block with the evidence that took its power
			}
			return a.withSession(c.Context(), node, false, func(l *session) error {
				var out []member
				if err := l.Read(c.Context(), func(v client.View) error {
					members, err := gov.Members(v)
					out = nil
					for _, m := range members {
						out = append(out, member{m.ID.DID(v.Network()), m.Name, m.Power, m.Quota, m.OpenQuota, m.Convicted})
					}
					return err
				}); err != nil {
					return err
				}
				return a.emit(out, func(w io.Writer) {
					for _, m := range out {
						fmt.Fprintf(w, "%s\n  %s\n  power %d, quota %d bytes an epoch, open quota %d\n", m.Name, m.DID, m.Power, m.Quota, m.OpenQuota)
						if m.Convicted != 0 {
							fmt.Fprintf(w, "  its validator was CONVICTED in block %d: see hufu net status\n", m.Convicted)
						}
					}
				})
			})
		},
	}
	return nodeFlag(c, &node)
}

func (a *app) govParamsCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "params",
		Short:   "Show the network's parameters",
		Example: "  hufu gov params",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withSession(c.Context(), node, false, func(l *session) error {
				var p tx.Params
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					p, err = gov.Params(v)
					return err
				}); err != nil {
					return err
				}
				return a.emit(p, func(w io.Writer) {
					fmt.Fprintf(w, "quotas start anew every %s; a proposal is open for %s and passes with %d/%d of the members\n",
						time.Duration(p.EpochSeconds)*time.Second, time.Duration(p.VotingSeconds)*time.Second, p.ThresholdNum, p.ThresholdDen)
					fmt.Fprintf(w, "recovering an identifier takes at least %s\n", time.Duration(p.RecoveryFloor())*time.Second)
				})
			})
		},
	}
	return nodeFlag(c, &node)
}

// proposer holds the flags that every proposal has.
type proposer struct {
	node, as, title string
}

func (p *proposer) flags(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&p.as, "as", founderName, "member of this home that proposes, and votes for it by that")
	c.Flags().StringVar(&p.title, "title", "", "what the proposal is called on the record")
	return nodeFlag(c, &p.node)
}

func (a *app) govProposeCmd() *cobra.Command {
	return group("propose", "Put something to the members' vote",
		"  hufu gov propose accredit agency --type urn:hufu:type:resident-id:1",
		a.proposeAdmitCmd(), a.proposeSetCmd(), a.proposeValidatorKeyCmd(), a.proposeRemoveCmd(), a.proposeUpgradeCmd(), a.proposeAccreditCmd(), a.proposeWithdrawCmd(), a.proposeParamsCmd())
}

// proposed is the account of a proposal.
type proposed struct {
	Proposal hufu.Digest `json:"proposal"`
	Height   hufu.Height `json:"height"`
	Executed bool        `json:"executed"`
}

// propose submits one action and says whether it took effect at once.
func (a *app) propose(ctx context.Context, p *proposer, title string, action func(l *session) (tx.Action, error)) error {
	if p.title != "" {
		title = p.title
	}
	return a.withActor(ctx, p.node, p.as, func(l *session, actor *home.Actor) error {
		act, err := action(l)
		if err != nil {
			return err
		}
		r, err := actor.Submit(ctx, &tx.GovPropose{Title: title, Actions: []tx.Action{act}}, nil)
		if err != nil {
			return err
		}
		out := proposed{Proposal: r.TxID, Height: r.Height}
		if out.Executed, err = executed(ctx, l, r); err != nil {
			return err
		}
		return a.emit(out, func(w io.Writer) {
			if out.Executed {
				fmt.Fprintf(w, "decided and in force since block %d: proposal %s\n", out.Height, out.Proposal)
				return
			}
			fmt.Fprintf(w, "proposed in block %d; the other members vote with\n  hufu gov vote %s\n", out.Height, out.Proposal)
		})
	})
}

func executed(ctx context.Context, l *session, r client.Receipt) (bool, error) {
	if _, err := l.Await(ctx, r.Height); err != nil {
		return false, err
	}
	var done bool
	err := l.Read(ctx, func(v client.View) error {
		p, err := gov.GetProposal(v, r.TxID)
		done = p != nil && p.Executed != 0
		return err
	})
	return done, err
}

// memberID reads a DID or a name of this home as an identifier on the ledger.
func (s *session) memberID(nameOrDID string) (hufu.ID, error) {
	d, err := s.home.Resolve(nameOrDID)
	if err != nil {
		return hufu.ID{}, err
	}
	n, id, err := d.Parse()
	if err == nil && n != s.Network() {
		err = fmt.Errorf("%s is an identifier of network %s, not of %s", d, n, s.Network())
	}
	return id, err
}

func (a *app) proposeRemoveCmd() *cobra.Command {
	var p proposer
	c := &cobra.Command{
		Use:     "remove DID|NAME",
		Short:   "End a membership",
		Example: "  hufu gov propose remove did:hufu:...",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.propose(c.Context(), &p, "Remove a member", func(l *session) (tx.Action, error) {
				id, err := l.memberID(args[0])
				return tx.Action{RemoveMember: &tx.MemberRemoval{Member: id}}, err
			})
		},
	}
	return p.flags(c)
}

// maxDays bounds an accreditation to a hundred years: what is meant to last longer is a mistake.
const maxDays = 36_500

// granter holds the flags of an accreditation.
type granter struct {
	types    []string
	delegate uint8
	days     int
}

func (g *granter) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&g.types, "type", nil, "credential type (vct) it covers; repeat for several")
	c.Flags().Uint8Var(&g.delegate, "delegate", 0, "how many further levels the subject may accredit")
	c.Flags().IntVar(&g.days, "days", 365, "for how long it holds, from now")
}

func (g *granter) grant(now time.Time) (tx.Grant, error) {
	if len(g.types) == 0 || g.days < 1 || g.days > maxDays {
		return tx.Grant{}, usagef("an accreditation needs --type, and --days from 1 to %d", maxDays)
	}
	slices.Sort(g.types)
	// A little earlier than now, so that it holds in the block it is written in.
	return tx.Grant{
		Types: g.types, Delegate: g.delegate,
		NotBefore: now.Add(-time.Minute).Unix(), NotAfter: now.AddDate(0, 0, g.days).Unix(),
	}, nil
}

func (a *app) proposeAccreditCmd() *cobra.Command {
	var p proposer
	var g granter
	c := &cobra.Command{
		Use:     "accredit DID|NAME --type VCT",
		Short:   "Accredit an agency to issue credential types, by the members together",
		Example: "  hufu gov propose accredit agency --type urn:hufu:type:resident-id:1 --days 730",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			grant, err := g.grant(time.Now())
			if err != nil {
				return err
			}
			return a.propose(c.Context(), &p, "Accredit an agency", func(l *session) (tx.Action, error) {
				id, err := l.memberID(args[0])
				return tx.Action{Accredit: &tx.TrustAccredit{Subject: id, Grant: grant}}, err
			})
		},
	}
	g.flags(c)
	return p.flags(c)
}

// withdrawer holds the flags of a withdrawal.
type withdrawer struct {
	typ   string
	from  uint64
	stand bool
}

func (wd *withdrawer) flags(c *cobra.Command) {
	c.Flags().StringVar(&wd.typ, "type", "", "credential type (vct) it is withdrawn for")
	c.Flags().Uint64Var(&wd.from, "from", 0, "height it takes effect at (0: at once)")
	c.Flags().BoolVar(&wd.stand, "stand", false, "credentials issued before keep standing")
}

func (wd *withdrawer) body(id hufu.ID) (*tx.TrustWithdraw, error) {
	if wd.typ == "" {
		return nil, usagef("a withdrawal needs --type")
	}
	return &tx.TrustWithdraw{Subject: id, Type: wd.typ, From: hufu.Height(wd.from), Stand: wd.stand}, nil
}

func (a *app) proposeWithdrawCmd() *cobra.Command {
	var p proposer
	var wd withdrawer
	c := &cobra.Command{
		Use:     "withdraw DID|NAME --type VCT",
		Short:   "Withdraw an accreditation, by the members together",
		Example: "  hufu gov propose withdraw agency --type urn:hufu:type:resident-id:1",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.propose(c.Context(), &p, "Withdraw an accreditation", func(l *session) (tx.Action, error) {
				id, err := l.memberID(args[0])
				if err != nil {
					return tx.Action{}, err
				}
				body, err := wd.body(id)
				return tx.Action{Withdraw: body}, err
			})
		},
	}
	wd.flags(c)
	return p.flags(c)
}

func (a *app) proposeParamsCmd() *cobra.Command {
	var p proposer
	c := &cobra.Command{
		Use:     "params FILE",
		Short:   "Replace the network's parameters by those of a JSON file",
		Long:    "Replaces all parameters. Start from the output of: hufu gov params --json",
		Example: "  hufu gov params --json > params.json; edit it; hufu gov propose params params.json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var params tx.Params
			if err := readJSON(args[0], &params); err != nil {
				return err
			}
			return a.propose(c.Context(), &p, "Set the parameters", func(*session) (tx.Action, error) {
				return tx.Action{SetParams: &params}, params.Validate()
			})
		},
	}
	return p.flags(c)
}

// maxInput bounds the JSON files that commands read.
const maxInput = 1 << 20

func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(io.LimitReader(f, maxInput))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: something follows the document", path)
	}
	return nil
}

func (a *app) govVoteCmd() *cobra.Command {
	var node, as string
	var no bool
	c := &cobra.Command{
		Use:     "vote PROPOSAL",
		Short:   "Vote on a proposal; a vote cannot be taken back",
		Example: "  hufu gov vote 4f3c... --as hospital-association",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var id hufu.Digest
			if err := id.UnmarshalText([]byte(args[0])); err != nil {
				return usageError{err}
			}
			return a.withActor(c.Context(), node, as, func(_ *session, actor *home.Actor) error {
				r, err := actor.Submit(c.Context(), &tx.GovVote{Proposal: id, Approve: !no}, nil)
				if err != nil {
					return err
				}
				return a.emitWritten("voted", "", r)
			})
		},
	}
	c.Flags().StringVar(&as, "as", founderName, "member of this home that votes")
	c.Flags().BoolVar(&no, "no", false, "vote against")
	return nodeFlag(c, &node)
}

func (a *app) govShowCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "show PROPOSAL",
		Short:   "Show a proposal with its votes",
		Example: "  hufu gov show 4f3c... --json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var id hufu.Digest
			if err := id.UnmarshalText([]byte(args[0])); err != nil {
				return usageError{err}
			}
			return a.withSession(c.Context(), node, false, func(l *session) error {
				var p *gov.Proposal
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					p, err = gov.GetProposal(v, id)
					return err
				}); err != nil {
					return err
				}
				if p == nil {
					return fmt.Errorf("the ledger proves that there is no proposal %s", id)
				}
				account := accountOfProposal(p, l.Network())
				return a.emit(account, func(w io.Writer) { printProposal(w, &account, p.Actions, l.Network()) })
			})
		},
	}
	return nodeFlag(c, &node)
}

func printProposal(w io.Writer, p *proposalAccount, actions []tx.Action, n hufu.Network) {
	fmt.Fprintf(w, "%s\n  proposed by %s in block %d, open until %s\n", p.Title, p.By, p.Height, p.Ends.Format(time.RFC3339))
	for i := range actions {
		fmt.Fprintf(w, "  to %s\n", audit.Sentence(&actions[i], n))
	}
	for _, v := range p.Votes {
		fmt.Fprintf(w, "  %s voted %s in block %d\n", v.Member, map[bool]string{true: "yes", false: "no"}[v.Approve], v.Height)
	}
	if p.Executed != 0 {
		fmt.Fprintf(w, "  decided and in force since block %d\n", p.Executed)
	}
}
