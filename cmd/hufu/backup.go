package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
)

func (a *app) backupCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy what a home cannot get back from others to a new directory, also while it is in use",
		Long: `Copies keys, names, settings and the SQLite databases of issuer and gates, as they are at one moment, with a manifest of their
hashes. What is secret in the home is encrypted, and is so in the backup: it opens with what opened the home when the backup was made. Keys in
a PKCS#11 token are not in it, a PostgreSQL database has its own tools (pg_dump), and a wallet has "hufu wallet backup".

The blocks are not in it: other nodes have them. A network of one validator has no others; stop it and copy its home.`,
		Example: "  hufu backup /backup/2026-11-29 --home ./net",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := home.Backup(c.Context(), a.home, args[0], time.Now())
			if err != nil {
				return err
			}
			return a.emit(m, func(w io.Writer) {
				fmt.Fprintf(w, "%d files of %s in %s\n  keep what opens the key store elsewhere\n", len(m.Files), m.Network, args[0])
			})
		},
	}
}

func (a *app) restoreCmd() *cobra.Command {
	var network string
	c := &cobra.Command{
		Use:   "restore DIR",
		Short: "Make a home of a backup, where there is none",
		Long: `Checks the backup against its manifest, opens its key store, and makes --home, whole or not at all. The world goes on after a
backup: status lists that were open are closed, so that no entry is given twice, and open requests can no longer be answered. So it is in
the PostgreSQL database that --db or HUFU_DB names: put its dump back before, and let nobody use it meanwhile. Start the home's
node with an empty database: it fetches the blocks from the others. Stop the home that this one takes the place of
for good, and wait ten minutes, as long as nonces live, before an issuer serves again.`,
		Example: "  hufu restore /backup/2026-11-29 --home ./net --key-file net.key",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.restoreHome(c.Context(), args[0], hufu.Network(network))
		},
	}
	c.Flags().StringVar(&network, "network", "", "refuse a backup of another network")
	return c
}

func (a *app) restoreHome(ctx context.Context, from string, network hufu.Network) error {
	u, err := a.unlock(false)
	if err != nil {
		return err
	}
	m, err := home.Restore(ctx, from, a.home, u, network, a.dsn())
	if errors.Is(err, home.ErrExists) {
		return hint(err, "nothing was changed; name a directory that does not exist yet with --home")
	}
	if err != nil {
		return err
	}
	return a.emit(m, func(w io.Writer) {
		fmt.Fprintf(w, "the home of network %s is as it was at %s\n", m.Network, m.Made.Format(time.RFC3339))
	})
}
