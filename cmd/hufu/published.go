package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
)

// contractAccount is a published contract and what became of it.
type contractAccount struct {
	Contract string      `json:"contract"`
	Version  uint32      `json:"version"`
	Latest   uint32      `json:"latest"`
	Retired  hufu.Height `json:"retired,omitempty"` // since this height
	Hash     hufu.Digest `json:"hash"`              // of the text
	Height   hufu.Height `json:"height"`
	Text     string      `json:"text"`
}

func (a *app) gateShowCmd() *cobra.Command {
	var node string
	var version uint32
	c := &cobra.Command{
		Use:   "show OWNER CONTRACT",
		Short: "Print a published contract as it is on the ledger, with its proof checked",
		Long: `Prints the text of a contract, by its owner (a DID, or a name of this home) and its id, to be read, or
compared with a file. A contract that was retired is still shown.`,
		Example: "  hufu gate show did:hufu:... reading-room\n  hufu gate show library reading-room --version 1 --json",
		Args:    usageArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withSession(c.Context(), node, false, func(l *session) error {
				owner, err := l.memberID(args[0])
				if err != nil {
					return err
				}
				var r *contracts.Record
				if err := l.Read(c.Context(), func(v client.View) (err error) {
					r, err = contracts.Get(v, owner, args[1], version)
					return err
				}); err != nil {
					return err
				}
				id := hufu.ContractID{Owner: owner.DID(l.Network()), Name: args[1]}
				if r == nil {
					return fmt.Errorf("the ledger proves that there is no such version of %s", id)
				}
				return a.emit(contractAccount{id.String(), r.Version, r.Latest, r.Retired, r.Hash, r.Height, r.Text}, func(w io.Writer) {
					fmt.Fprint(w, r.Text)
					if r.IsRetired() {
						fmt.Fprintf(a.err, "retired since block %d: its door stays shut\n", r.Retired)
					} else if r.Version != r.Latest {
						fmt.Fprintf(a.err, "version %d; the latest is %d\n", r.Version, r.Latest)
					}
				})
			})
		},
	}
	c.Flags().Uint32Var(&version, "version", 0, "which version (0: the latest)")
	return nodeFlag(c, &node)
}
