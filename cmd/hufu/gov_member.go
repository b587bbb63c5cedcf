package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (a *app) proposeAdmitCmd() *cobra.Command {
	var p proposer
	var name, file string
	var quota, open uint64
	c := &cobra.Command{
		Use:   "admit [DID|NAME]",
		Short: "Admit a member, with its validator if it has one",
		Long: `Admits a member by its identifier, which must be on the ledger. With the file that "hufu net candidate" made in the
organisation's home, its validator is admitted with it, under the terms in the file; it votes in consensus from the
next block but one. Its node should be running, and have caught up, before that.`,
		Example: `  hufu gov propose admit did:hufu:... --name "Hospital association"` + "\n  hufu gov propose admit --candidate museum.json",
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if (file == "") == (len(args) == 0) {
				return usagef("give an identifier or --candidate")
			}
			if file != "" {
				return a.admitCandidate(c, &p, file)
			}
			if name == "" {
				name = args[0]
			}
			return a.propose(c.Context(), &p, "Admit "+name, func(l *session) (tx.Action, error) {
				id, err := l.memberID(args[0])
				return tx.Action{AdmitMember: &tx.MemberTerms{Member: id, Name: name, Quota: quota, OpenQuota: open}}, err
			})
		},
	}
	c.Flags().StringVar(&name, "name", "", "the member's name on the record")
	c.Flags().StringVar(&file, "candidate", "", "file of an organisation that brings a validator")
	c.Flags().Uint64Var(&quota, "quota", home.DefaultQuota, "weighted bytes an epoch it may write or sponsor")
	c.Flags().Uint64Var(&open, "open-quota", 0, "weighted bytes an epoch for identifiers made without its signature")
	c.MarkFlagsMutuallyExclusive("candidate", "name")
	c.MarkFlagsMutuallyExclusive("candidate", "quota")
	c.MarkFlagsMutuallyExclusive("candidate", "open-quota")
	return p.flags(c)
}

func (a *app) admitCandidate(c *cobra.Command, p *proposer, file string) error {
	candidate, err := readCandidate(file)
	if err != nil {
		return err
	}
	return a.propose(c.Context(), p, "Admit "+candidate.Name, func(l *session) (tx.Action, error) {
		if candidate.Network != l.Network() {
			return tx.Action{}, fmt.Errorf("%s is a candidate of network %s, not of %s", candidate.Name, candidate.Network, l.Network())
		}
		terms := candidate.MemberTerms()
		return tx.Action{AdmitMember: &terms}, nil
	})
}

func (a *app) proposeValidatorKeyCmd() *cobra.Command {
	var p proposer
	var key string
	var power uint64
	c := &cobra.Command{
		Use:   "validator-key",
		Short: "Give this home's validator a new key",
		Long: `Makes the next key of the home's validator, unless it is there and not used yet, and proposes it in place of the
present one. Start the node again before the members have decided: it then has both, and the new one takes over at
the block at which the decision takes effect. A member whose validator was convicted has no power any more, and asks
for it with --power.`,
		Example: "  hufu gov propose validator-key --home ./net\n  hufu gov propose validator-key --home ./net --power 10",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.propose(c.Context(), &p, "Change a validator's key", func(l *session) (tx.Action, error) {
				id, err := l.memberID(p.as)
				if err != nil {
					return tx.Action{}, err
				}
				terms, err := memberTerms(c.Context(), l, id)
				if err != nil {
					return tx.Action{}, err
				}
				if len(terms.ValidatorKey) == 0 {
					return tx.Action{}, errors.New("the member has no validator")
				}
				if c.Flags().Changed("power") {
					terms.Power = power
				}
				if key != "" {
					terms.ValidatorKey, err = hex.DecodeString(key)
					if err == nil {
						_, err = keys.NewPublicKey(keys.Ed25519, terms.ValidatorKey)
					}
					if err != nil {
						err = usagef("--key is a validator's public key in hex, as hufu signer show prints it")
					}
					return tx.Action{SetMember: terms}, err
				}
				terms.ValidatorKey, err = l.home.NextValidatorKey(rand.Reader, terms.ValidatorKey)
				return tx.Action{SetMember: terms}, err
			})
		},
	}
	c.Flags().Uint64Var(&power, "power", 0, "voting power with the new key (default: as it is)")
	c.Flags().StringVar(&key, "key", "", "the next key, when a signer has it (hufu signer show --next), in hex")
	return p.flags(c)
}

func (a *app) proposeUpgradeCmd() *cobra.Command {
	var p proposer
	var height, in uint64
	c := &cobra.Command{
		Use:   "upgrade NAME",
		Short: "Agree on the height from which an upgrade of the rules holds",
		Long: `A release that changes the rules has a name for it. Nodes without it stop before the height that is agreed on, and
say so; those with it go on. Another proposal, decided before the height, takes the place of this one.`,
		Example: "  hufu gov propose upgrade winter --in 20000\n  hufu gov propose upgrade winter --height 120000",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if (height == 0) == (in == 0) {
				return usagef("give --height or --in")
			}
			return a.propose(c.Context(), &p, "Upgrade to "+args[0], func(l *session) (tx.Action, error) {
				at := hufu.Height(height)
				if in > 0 {
					if err := l.Read(c.Context(), func(v client.View) error {
						at = v.AsOf().Height + hufu.Height(in)
						return nil
					}); err != nil {
						return tx.Action{}, err
					}
				}
				return tx.Action{Upgrade: &tx.Upgrade{Height: at, Name: args[0]}}, nil
			})
		},
	}
	c.Flags().Uint64Var(&height, "height", 0, "the first block under the new rules")
	c.Flags().Uint64Var(&in, "in", 0, "the same, counted from now")
	return p.flags(c)
}
