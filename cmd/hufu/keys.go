package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/keys/keystore"
)

func (a *app) keysCmd() *cobra.Command {
	return group("keys", "The key store of a home: what is in it, what opens it, where new keys are made",
		"  hufu keys list --home ./net\n  hufu keys passphrase --new-key-file ./net.key",
		a.keysListCmd(), a.keysPassphraseCmd(), a.keysTokenCmd())
}

func (a *app) keysListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "Names, suites and public halves of the keys, and where each is",
		Example: "  hufu keys list --home ./net",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			h, err := a.openHome()
			if err != nil {
				return err
			}
			type line struct {
				Name   string `json:"name"`
				Suite  string `json:"suite,omitempty"` // of a signing key
				Public string `json:"public,omitempty"`
				Token  string `json:"token,omitempty"` // label of the PKCS#11 token it is in
			}
			out := []line{}
			for _, e := range h.Keys().List() {
				l := line{Name: e.Name, Token: e.Token}
				if e.Suite != nil {
					l.Suite, l.Public = e.Suite.Name(), e.Public.Multibase()
				}
				out = append(out, l)
			}
			return a.emit(out, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				for _, l := range out {
					where := "key store"
					if l.Token != "" {
						where = "token " + l.Token
					}
					if l.Suite == "" {
						l.Suite = "data key"
					}
					fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Name, l.Suite, where, l.Public)
				}
				_ = t.Flush()
			})
		},
	}
}

func (a *app) keysPassphraseCmd() *cobra.Command {
	var passphraseFile, keyFile string
	c := &cobra.Command{
		Use:   "passphrase",
		Short: "Change what opens the key store: another passphrase, or a key file",
		Long: `Encrypts the key store anew, for a passphrase from the terminal or from --new-passphrase-file, or for
--new-key-file, which is made when there is none. What opened it before does no more, but opens every copy and backup made
before. If the machine stops meanwhile, the store is as it was or as it is to be. Start running processes again afterwards.`,
		Example: "  hufu keys passphrase --home ./net\n  hufu keys passphrase --home ./net --key-file old.key --new-key-file new.key",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if passphraseFile != "" && keyFile != "" {
				return usagef("give --new-passphrase-file or --new-key-file, not both")
			}
			h, err := a.openHome()
			if err != nil {
				return err
			}
			b := &app{in: a.in, out: a.out, err: a.err, passphraseFile: passphraseFile, keyFile: keyFile}
			var u keystore.Unlock
			if passphraseFile == "" && keyFile == "" {
				fmt.Fprintln(a.err, "The new one:")
				phrase, err := b.askPassphrase(true)
				if err != nil {
					return err
				}
				u = keystore.Passphrase(string(phrase))
			} else if u, err = b.unlock(true); err != nil {
				return err
			}
			if err := h.Keys().Relock(u); err != nil {
				return err
			}
			return a.emit(map[string]bool{"changed": true}, func(w io.Writer) {
				fmt.Fprintln(w, "the key store opens with the new one alone; older copies and backups still open with the one before")
			})
		},
	}
	c.Flags().StringVar(&passphraseFile, "new-passphrase-file", "", "read the new passphrase from this file (first line)")
	c.Flags().StringVar(&keyFile, "new-key-file", "", "unlock with this key file from now on; made when there is none")
	return c
}

const tokenHelp = "pkcs11:token=LABEL?module-path=/PATH/OF/LIBRARY.so&pin-source=file:/PATH/OF/PIN"

func (a *app) keysTokenCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "token [URI|none]",
		Short: "Have new signing keys made in a PKCS#11 token, or say where they are made",
		Long: `Signing keys that the home makes from now on are made in the token (RFC 7512) and never leave it: control keys, next ones
too, issuing and gate keys, validators' keys. They are Ed25519 or P-256; SM2 is in no PKCS#11 standard. The PIN is the first line
of a file that nobody else may read, or of a descriptor (file:/dev/fd/3); systemd's LoadCredential= is made for this. With the URI
of a token that is in use already it says how to reach it from now on. With "none", new keys are made in the key store.

Keys that are there stay where they are: rotate an identifier twice, and give its roles new keys, to have all of
them in the token. The program needs to be built with: make pkcs11`,
		Example: "  hufu keys token 'pkcs11:token=hufu?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/hufu/pin' --home ./net",
		Args:    usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			var u keystore.TokenURI
			if len(args) == 1 && args[0] != "none" {
				var err error
				if u, err = keystore.ParseTokenURI(args[0]); err != nil {
					return usageError{hint(err, "a token's URI is such as %s", tokenHelp)}
				}
			}
			h, err := a.openHome()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if err := h.Keys().UseToken(u); err != nil {
					return err
				}
			}
			text := ""
			if u, ok := h.Keys().Token(); ok {
				text = u.String()
			}
			return a.emit(map[string]string{"token": text}, func(w io.Writer) {
				if text == "" {
					text = "the key store of the home"
				}
				fmt.Fprintf(w, "new signing keys are made in %s\n", text)
			})
		},
	}
}

// parseToken reads --token of a command that makes a home.
func parseToken(text string) (u keystore.TokenURI, err error) {
	if text == "" {
		return u, nil
	}
	if u, err = keystore.ParseTokenURI(text); err != nil {
		return u, usageError{hint(err, "a token's URI is such as %s", tokenHelp)}
	}
	return u, nil
}

func tokenFlag(c *cobra.Command, text *string) {
	c.Flags().StringVar(text, "token", "", "make the signing keys of a new home in this PKCS#11 token: "+tokenHelp)
}

// errTokenOfHome refuses --token for a home that is there already.
func errTokenOfHome() error {
	return usageError{hint(errors.New("--token is for a home that does not exist yet"), "of one that does: hufu keys token URI")}
}
