package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// openAccount is a proposal that is open, and how it stands.
type openAccount struct {
	proposalAccount
	Approvals int `json:"approvals"` // of present members
	Needed    int `json:"needed"`    // approvals, of as many members as there are now
	Members   int `json:"members"`

	actions []tx.Action
}

func (a *app) govListCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the proposals on which members can vote",
		Long: `Lists every proposal that is neither in force nor past its time: what it would do, who proposed it, who has voted, how
many approvals it has and needs, and until when votes count. That there are no others is proven like all else.`,
		Example: "  hufu gov list\n  hufu gov list --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withSession(c.Context(), node, false, func(l *session) error {
				var out []openAccount
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					out, err = openAccounts(v)
					return err
				}); err != nil {
					return err
				}
				return a.emit(out, func(w io.Writer) {
					if len(out) == 0 {
						fmt.Fprintln(w, "no proposal is open")
					}
					for i := range out {
						p := &out[i]
						printProposal(w, &p.proposalAccount, p.actions, l.Network())
						fmt.Fprintf(w, "  %d of the %d approvals that it needs; vote with: hufu gov vote %s\n", p.Approvals, p.Needed, p.Proposal)
					}
				})
			})
		},
	}
	return nodeFlag(c, &node)
}

func openAccounts(v client.View) ([]openAccount, error) {
	open, err := gov.OpenProposals(v, v.AsOf().Time.Unix())
	if err != nil {
		return nil, err
	}
	roster, err := gov.GetRoster(v)
	if err != nil {
		return nil, err
	}
	params, err := gov.Params(v)
	if err != nil {
		return nil, err
	}
	out := make([]openAccount, len(open))
	for i := range open {
		p, members := &open[i], len(roster.Seats)
		out[i] = openAccount{accountOfProposal(p, v.Network()), p.Approvals(roster), gov.Needed(params, members), members, p.Actions}
	}
	return out, nil
}
