package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/wallet"
)

// Names within a wallet's home.
const (
	walletFile = "wallet.sealed"
	walletKey  = "wallet/seal"
)

func (a *app) walletCmd() *cobra.Command {
	return group("wallet", "A person's wallet: make keys, accept credentials, show them",
		"  hufu wallet keygen --home alice --genesis net/genesis.json --audience did:hufu:... --nonce N > proofs.json",
		a.walletKeygenCmd(), a.walletAcceptCmd(), a.walletListCmd(), a.walletPresentCmd(), a.walletLogCmd())
}

// openWallet opens the wallet of --home; with a genesis file, it makes the home first if there is none.
func (a *app) openWallet(genesisFile string) (*wallet.Wallet, *home.Home, error) {
	var h *home.Home
	var err error
	if !home.Exists(a.home) && genesisFile != "" {
		h, err = a.newWalletHome(genesisFile)
	} else {
		h, err = a.openHome()
	}
	if errors.Is(err, home.ErrNoHome) {
		return nil, nil, hint(err, "make the wallet with: hufu wallet keygen --home DIR --genesis GENESIS.json")
	}
	if err == nil && genesisFile != "" {
		err = sameGenesis(h, genesisFile)
	}
	if err != nil {
		return nil, nil, err
	}
	key, err := h.Keys().DataKey(walletKey)
	if err != nil {
		if key, err = h.Keys().GenerateDataKey(rand.Reader, walletKey); err != nil {
			return nil, nil, err
		}
	}
	st, err := wallet.OpenFile(h.Path(walletFile), key)
	if err != nil {
		return nil, nil, err
	}
	w, err := wallet.Open(wallet.Config{Store: st})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return w, h, nil
}

// sameGenesis refuses to go on with a wallet of another network than the one that was named.
func sameGenesis(h *home.Home, file string) error {
	genesis, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := h.SetGenesis(genesis); err != nil {
		return hint(err, "this wallet trusts the network it was made for; make one for another network in a home of its own")
	}
	return nil
}

func (a *app) newWalletHome(genesisFile string) (*home.Home, error) {
	genesis, err := os.ReadFile(genesisFile)
	if err != nil {
		return nil, err
	}
	trust, err := client.ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	u, err := a.unlock(true)
	if err != nil {
		return nil, err
	}
	h, err := home.Create(a.home, u, trust.Network)
	if err != nil {
		return nil, err
	}
	return h, h.SetGenesis(genesis)
}

func (a *app) walletKeygenCmd() *cobra.Command {
	var genesis, audience, nonce string
	var copies int
	c := &cobra.Command{
		Use:   "keygen",
		Short: "Make keys for copies of credentials, and prove them to an issuer",
		Long: `Makes one key for each copy that an issuer is to issue, and prints the proofs for the issuer. With --genesis,
a wallet that does not exist yet is made, trusting that network.`,
		Example: "  hufu wallet keygen --home alice --genesis net/genesis.json --copies 8 --audience did:hufu:... --nonce N > proofs.json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			switch {
			case audience == "" || nonce == "":
				return usagef("--audience and --nonce are what the issuer gave, not empty")
			case copies < 1 || copies > wallet.MaxKeys:
				return usagef("--copies must be from 1 to %d", wallet.MaxKeys)
			}
			w, _, err := a.openWallet(genesis)
			if err != nil {
				return err
			}
			public, err := w.Keygen(copies)
			var proofs []string
			if err == nil {
				proofs, err = w.Prove(public, audience, nonce)
			}
			if err = errors.Join(err, w.Close()); err != nil {
				return err
			}
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			return enc.Encode(proofsFile{oid4vci.Proofs{JWT: proofs}})
		},
	}
	f := c.Flags()
	f.StringVar(&genesis, "genesis", "", "genesis file of the network, to make a new wallet for it")
	f.StringVar(&audience, "audience", "", "the issuer's DID")
	f.StringVar(&nonce, "nonce", "", "the nonce that the issuer gave")
	f.IntVar(&copies, "copies", 8, "how many keys")
	_ = c.MarkFlagRequired("audience")
	_ = c.MarkFlagRequired("nonce")
	return c
}

// walletNode adds the flag by which a wallet finds the ledger.
func walletNode(c *cobra.Command, node *string) *cobra.Command {
	c.Flags().StringVar(node, "node", "", "URL of a node's RPC; nothing it says is believed without proof")
	_ = c.MarkFlagRequired("node")
	return c
}

// withWallet runs f on the wallet of --home and a verified view of the ledger.
func (a *app) withWallet(c *cobra.Command, node string, f func(*wallet.Wallet, client.View) error) error {
	w, h, err := a.openWallet("")
	if err != nil {
		return err
	}
	l, err := dialHome(h, node)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	err = l.Read(c.Context(), func(v client.View) error { return f(w, v) })
	if err == nil {
		err = renewTrust(c.Context(), h, l)
	}
	return errors.Join(err, l.Close(), w.Close())
}

func (a *app) walletAcceptCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:     "accept FILE",
		Short:   "Take credentials from an issuer, after checking each against the ledger",
		Example: "  hufu wallet accept credentials.json --home alice --node http://127.0.0.1:26657",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			response, err := oid4vci.ParseCredentialResponse(raw)
			if err != nil {
				return err
			}
			var all []string
			for _, i := range response.Credentials {
				all = append(all, i.Credential)
			}
			if err := a.withWallet(c, node, func(w *wallet.Wallet, v client.View) error { return w.Accept(v, all) }); err != nil {
				return err
			}
			return a.emit(map[string]int{"accepted": len(all)}, func(w io.Writer) { fmt.Fprintf(w, "%d credentials accepted\n", len(all)) })
		},
	}
	return walletNode(c, &node)
}

func (a *app) walletListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the credentials held, and how many copies are left",
		Example: "  hufu wallet list --home alice",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			w, _, err := a.openWallet("")
			if err != nil {
				return err
			}
			list := w.List()
			if err := w.Close(); err != nil {
				return err
			}
			return a.emit(accountOfStock(list), func(out io.Writer) {
				if len(list) == 0 {
					fmt.Fprintln(out, "no credentials yet; make keys for an issuer with: hufu wallet keygen")
				}
				for _, s := range list {
					fmt.Fprintf(out, "%s\n  from %s\n  %d of %d copies left, until %s\n", s.Type, s.Issuer, s.Left, s.Copies, s.Expires.Format(time.DateOnly))
				}
			})
		},
	}
}

func (a *app) walletPresentCmd() *cobra.Command {
	var node string
	c := &cobra.Command{
		Use:   "present REQUEST",
		Short: "Answer a gate's request, if it asks for what its contract on the ledger asks for",
		Long: `Checks who asks, on the ledger, and that the request equals the contract it published; refuses anything
else. Prints the answer for the gate. Each copy is shown once.`,
		Example: "  hufu wallet present request.jwt --home alice --node http://127.0.0.1:26657 > answer.json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			var answer *wallet.Answer
			if err := a.withWallet(c, node, func(w *wallet.Wallet, v client.View) (err error) {
				answer, err = w.Present(v, strings.TrimSpace(string(raw)))
				return err
			}); err != nil {
				return err
			}
			token, err := answer.Response.VPToken.Encode()
			if err != nil {
				return err
			}
			for _, s := range answer.Low {
				fmt.Fprintf(a.err, "only %d copies of %s are left: fetch new ones soon\n", s.Left, s.Type)
			}
			return json.NewEncoder(a.out).Encode(answerFile{State: answer.Response.State, VPToken: token})
		},
	}
	return walletNode(c, &node)
}

func (a *app) walletLogCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "log",
		Short:   "List every request this wallet got and what came of it",
		Example: "  hufu wallet log --home alice",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			w, _, err := a.openWallet("")
			if err != nil {
				return err
			}
			visits := w.Log()
			if err := w.Close(); err != nil {
				return err
			}
			return a.emit(accountOfVisits(visits), func(out io.Writer) {
				if len(visits) == 0 {
					fmt.Fprintln(out, "no gate has asked yet")
				}
				for _, v := range visits {
					what := "answered"
					if v.Refused != "" {
						what = "refused by " + string(v.Refused)
					}
					fmt.Fprintf(out, "%s  %s  %s\n", v.Time.Format(time.RFC3339), v.Contract, what)
				}
			})
		},
	}
}
