package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/wallet"
)

// backupPassphrase reads a backup's passphrase from a file or, twice for a new backup, the terminal.
func (a *app) backupPassphrase(path string, twice bool) (string, error) {
	if path != "" {
		word, err := passphraseFrom(path)
		return string(word), err
	}
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usagef("no passphrase for the backup: give --backup-passphrase-file, or run in a terminal")
	}
	read := func(prompt string) ([]byte, error) {
		fmt.Fprint(a.err, prompt)
		word, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		return word, err
	}
	first, err := read("Passphrase of the backup: ")
	if err != nil {
		return "", err
	}
	if twice {
		second, err := read("The same again: ")
		if err != nil {
			return "", err
		}
		if !bytes.Equal(first, second) {
			return "", errors.New("the two passphrases differ; nothing was made")
		}
	}
	if len(first) == 0 {
		return "", errors.New("an empty passphrase protects nothing")
	}
	return string(first), nil
}

func (a *app) walletBackupCmd() *cobra.Command {
	var passphraseFile string
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything the wallet holds to a new file, encrypted under a passphrase",
		Long: `The file holds the keys too: whoever has it and its passphrase is you. It is an age file, and is never written
over another.`,
		Example: "  hufu wallet backup alice.backup --home alice",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			word, err := a.backupPassphrase(passphraseFile, true)
			if err != nil {
				return err
			}
			w, h, err := a.openWallet("")
			if err != nil {
				return err
			}
			genesis, err := h.Genesis()
			if err == nil {
				err = writeNew(args[0], func(out io.Writer) error { return w.Backup(out, word, 0, genesis) })
			}
			if err = errors.Join(err, w.Close()); err != nil {
				return err
			}
			return a.emit(map[string]string{"backup": args[0]}, func(out io.Writer) {
				fmt.Fprintf(out, "backup written to %s; keep it and its passphrase apart\n", args[0])
			})
		},
	}
	c.Flags().StringVar(&passphraseFile, "backup-passphrase-file", "", "read the backup's passphrase from this file (first line)")
	return c
}

// writeNew writes a file that must not be there, mode 0600, all of it or none.
func writeNew(path string, write func(io.Writer) error) error {
	if err := absent(path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*") // mode 0600
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // fails if somebody made one meanwhile
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// absent refuses to write to a file that is there.
func absent(path string) error {
	if _, err := os.Lstat(path); path != "" && err == nil {
		return hint(fmt.Errorf("%s is there already", path), "nothing was written: an existing file is never overwritten; name another")
	}
	return nil
}

func (a *app) walletRestoreCmd() *cobra.Command {
	var passphraseFile string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a wallet from a backup, where there is none",
		Long: `Makes --home with what was in the backup. A wallet that is there is never touched. Copies from the backup may
have been shown by the lost wallet since: they are shown only when there are no others, and new ones are fetched with
hufu wallet refill, or at the next answer.`,
		Example: "  hufu wallet restore alice.backup --home alice-again",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			word, err := a.backupPassphrase(passphraseFile, false)
			if err != nil {
				return err
			}
			in, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			b, err := wallet.OpenBackup(in, word)
			if err != nil {
				return err
			}
			if err := a.restore(b); err != nil {
				return err
			}
			return a.emit(map[string]string{"made": b.Made.Format(time.RFC3339)}, func(out io.Writer) {
				fmt.Fprintf(out, "the wallet is as it was at %s\n", b.Made.Format(time.RFC3339))
			})
		},
	}
	c.Flags().StringVar(&passphraseFile, "backup-passphrase-file", "", "read the backup's passphrase from this file (first line)")
	return c
}

// restore puts a backup into --home, which is made if there is none.
func (a *app) restore(b *wallet.Backup) error {
	var h *home.Home
	var err error
	if home.Exists(a.home) {
		if h, err = a.openHome(); err != nil {
			return err
		}
		trust, err := client.ParseGenesis(b.Genesis)
		if err != nil {
			return err
		}
		if h.Network() != trust.Network {
			return fmt.Errorf("the backup is of the network %s, the home of %s", trust.Network, h.Network())
		}
	} else if h, err = a.newHome(b.Genesis, keystore.TokenURI{}); err != nil {
		return err
	}
	st, err := openWalletStore(h)
	if err != nil {
		return err
	}
	return errors.Join(b.Restore(st), st.Close())
}
