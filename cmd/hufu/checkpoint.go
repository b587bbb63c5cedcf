package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
)

func (a *app) auditCheckpointCmd() *cobra.Command {
	var t target
	var file string
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest verified header, or make one what --home trusts",
		Long: `Clients verify from the genesis, or from a header they verified since. Commands renew that by themselves;
a home that was not used for months no longer can, and needs a header from somebody it trusts. Compare the
hash with them before you give it to --trust.`,
		Example: "  hufu audit checkpoint --json > checkpoint.json\n  hufu audit checkpoint --trust checkpoint.json --home ./net",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var point home.Checkpoint
			if file != "" {
				h, err := home.Peek(a.home)
				if err != nil {
					return err
				}
				if err := readJSON(file, &point); err != nil {
					return err
				}
				if err := h.Settle(point); err != nil {
					return err
				}
			} else {
				l, err := t.dial(a)
				if err != nil {
					return err
				}
				defer l.Close() //nolint:errcheck // only read
				if point, err = newestCheckpoint(c.Context(), l); err != nil {
					return err
				}
			}
			return a.emit(point, func(w io.Writer) {
				fmt.Fprintf(w, "height %d, %s\n  hash %s\n", point.Height, point.Time.Format(time.RFC3339), point.Hash)
				if file != "" {
					fmt.Fprintf(w, "%s trusts it from now on\n", a.home)
				}
			})
		},
	}
	c.Flags().StringVar(&file, "trust", "", "make the checkpoint in this file what --home trusts")
	return t.flags(c)
}

// trustInterval is how often a running node looks whether its trust has to be renewed.
const trustInterval = 24 * time.Hour

// keepTrust renews what the home trusts for as long as the process runs.
func keepTrust(ctx context.Context, log *slog.Logger, h *home.Home, c *client.Client) {
	tick := time.NewTicker(trustInterval)
	defer tick.Stop()
	for {
		if err := renewTrust(ctx, h, c); err != nil && ctx.Err() == nil {
			log.Error("what this home trusts could not be renewed; it is tried again in a day", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
