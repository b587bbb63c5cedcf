package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (a *app) proposeSetCmd() *cobra.Command {
	var p proposer
	var want tx.MemberTerms
	c := &cobra.Command{
		Use:   "set DID|NAME",
		Short: "Change a member's name, quotas or voting power",
		Long:  "Changes what is given and leaves the member's other terms as they are when it is proposed.",
		Example: "  hufu gov propose set did:hufu:... --quota 4294967296\n" +
			"  hufu gov propose set member --name \"City of Harbour\"",
		Args: usageArgs(cobra.ExactArgs(1)),
	}
	f := c.Flags()
	f.StringVar(&want.Name, "name", "", "the member's name on the record")
	f.Uint64Var(&want.Quota, "quota", 0, "weighted bytes an epoch it may write or sponsor")
	f.Uint64Var(&want.OpenQuota, "open-quota", 0, "weighted bytes an epoch for identifiers made without its signature")
	f.Uint64Var(&want.Power, "power", 0, "voting power of its validator in consensus; 0 takes the validator out")
	c.RunE = func(c *cobra.Command, args []string) error {
		changed := c.Flags().Changed
		if !changed("name") && !changed("quota") && !changed("open-quota") && !changed("power") {
			return usagef("nothing to do: give --name, --quota, --open-quota or --power")
		}
		return a.propose(c.Context(), &p, "Change a member's terms", func(l *session) (tx.Action, error) {
			id, err := l.memberID(args[0])
			if err != nil {
				return tx.Action{}, err
			}
			terms, err := memberTerms(c.Context(), l, id)
			if err != nil {
				return tx.Action{}, err
			}
			if changed("name") {
				terms.Name = want.Name
			}
			if changed("quota") {
				terms.Quota = want.Quota
			}
			if changed("open-quota") {
				terms.OpenQuota = want.OpenQuota
			}
			if changed("power") {
				terms.Power = want.Power
			}
			return tx.Action{SetMember: terms}, terms.Validate()
		})
	}
	return p.flags(c)
}

// memberTerms are a member's terms as they are now.
func memberTerms(ctx context.Context, l *session, id hufu.ID) (*tx.MemberTerms, error) {
	var m *gov.Member
	if err := l.Read(ctx, func(v client.View) (err error) {
		m, err = gov.GetMember(v, id)
		return err
	}); err != nil {
		return nil, err
	}
	if m == nil {
		return nil, hint(fmt.Errorf("the ledger proves that %s is no member", id.DID(l.Network())), "see: hufu gov members")
	}
	return &tx.MemberTerms{
		Member: m.ID, Name: m.Name, ValidatorKey: m.ValidatorKey, Power: m.Power, Quota: m.Quota, OpenQuota: m.OpenQuota,
	}, nil
}
