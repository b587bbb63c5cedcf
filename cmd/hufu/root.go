package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/database"
)

// app is what every command shares: the streams and the flags of the root command.
type app struct {
	in  io.Reader
	out io.Writer
	err io.Writer

	json           bool
	home           string
	passphraseFile string
	keyFile        string
	db             string
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "hufu",
		Short: "An identity network: prove who you are once, enter wherever the contracts allow",
		Long: `Hufu is an identity network. Organisations run a ledger together, accredited agencies issue
credentials, people hold them in a wallet, and services publish access contracts that say who may
enter. Everything trust rests on is on the ledger and can be checked by anybody; nothing about a
person is.

See all of it at work:   hufu demo
Run a network of one:    hufu up --home ./net`,
		Example:       "  hufu demo\n  hufu up --home ./net\n  hufu did create --help",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		// Cobra checks this by itself, but later, and not as wrong usage.
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := c.ValidateRequiredFlags(); err != nil {
				return usageOf(c, err)
			}
			if dsn := a.dsn(); dsn != "" && !database.IsPostgres(dsn) {
				return usagef("--db and %s name a PostgreSQL database: postgres://USER@HOST/NAME", databaseEnv)
			}
			return nil
		},
	}
	c.CompletionOptions.HiddenDefaultCmd = true
	c.SetFlagErrorFunc(usageOf)
	c.SetHelpCommand(helpCmd())
	f := c.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print one JSON document instead of text")
	f.StringVar(&a.home, "home", defaultHome(), "directory of keys, databases and settings")
	f.StringVar(&a.passphraseFile, "passphrase-file", "", "read the key store's passphrase from this file (first line; /dev/fd/N works)")
	f.StringVar(&a.keyFile, "key-file", "", "unlock the key store with this key file instead of a passphrase; made with a new home when there is none")
	f.StringVar(&a.db, "db", "", "postgres:// DSN of the database of issuer and gates, instead of SQLite files in the home (or the environment's HUFU_DB)")
	c.AddCommand(
		a.demoCmd(), a.upCmd(), a.netCmd(), a.nodeCmd(), a.signerCmd(), a.rosterCmd(),
		a.didCmd(), a.keysCmd(), a.govCmd(), a.trustCmd(),
		a.issuerCmd(), a.gateCmd(), a.walletCmd(),
		a.backupCmd(), a.restoreCmd(), a.verifyCmd(), a.auditCmd(), a.benchCmd(), a.versionCmd(),
	)
	return c
}

// defaultHome is $HUFU_HOME, else ~/.hufu, else ./hufu where there is no home directory.
func defaultHome() string {
	if h := os.Getenv("HUFU_HOME"); h != "" {
		return h
	}
	if h, err := os.UserHomeDir(); err == nil {
		return filepath.Join(h, ".hufu")
	}
	return "hufu"
}

func helpCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Example: "  hufu help issuer enrol",
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				if found == nil || len(rest) == 0 {
					found, rest = c.Root(), args
				}
				return unknownCommand(found, rest[0])
			}
			return found.Help()
		},
	}
}

// group makes a command that only holds others.
func group(use, short, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(children...)
	return c
}
