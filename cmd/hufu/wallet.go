package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys/keystore"
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
	return group("wallet", "A person's wallet: get credentials from issuers, show them to verifiers",
		"  hufu wallet accept 'openid-credential-offer://?credential_offer=...' --home alice --genesis net/genesis.json --node http://127.0.0.1:26657",
		a.walletAcceptCmd(), a.walletPresentCmd(), a.walletListCmd(), a.walletShowCmd(), a.walletLogCmd(), a.walletReceiptsCmd(), a.walletRefillCmd(),
		a.walletBackupCmd(), a.walletRestoreCmd(), a.walletKeygenCmd())
}

// openWallet opens the wallet of --home; with a genesis file, it makes the home first if there is none.
func (a *app) openWallet(genesisFile string) (*wallet.Wallet, *home.Home, error) {
	return a.openWalletWith(genesisFile, nil)
}

// openWalletWith opens the wallet with an HTTP client for issuers and verifiers.
func (a *app) openWalletWith(genesisFile string, c *http.Client) (*wallet.Wallet, *home.Home, error) {
	var h *home.Home
	var err error
	if !home.Exists(a.home) && genesisFile != "" {
		var genesis []byte
		if genesis, err = os.ReadFile(genesisFile); err == nil {
			h, err = a.newHome(genesis, keystore.TokenURI{})
		}
	} else {
		h, err = a.openHome()
	}
	if errors.Is(err, home.ErrNoHome) {
		return nil, nil, hint(err, "make the wallet with: hufu wallet keygen --home DIR --genesis GENESIS.json, or with the first: hufu wallet accept OFFER")
	}
	if err == nil && genesisFile != "" {
		err = sameGenesis(h, genesisFile)
	}
	if err != nil {
		return nil, nil, err
	}
	st, err := openWalletStore(h)
	if err != nil {
		return nil, nil, err
	}
	w, err := wallet.Open(wallet.Config{Store: st, HTTP: c})
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

// openWalletStore opens the sealed file of a wallet's home, whose key is made when there is none.
func openWalletStore(h *home.Home) (wallet.Store, error) {
	key, err := h.Keys().DataKey(walletKey)
	if err != nil {
		if key, err = h.Keys().GenerateDataKey(rand.Reader, walletKey); err != nil {
			return nil, err
		}
	}
	return wallet.OpenFile(h.Path(walletFile), key)
}

// newHome makes --home for the network of a genesis, with nothing in it but what it trusts.
func (a *app) newHome(genesis []byte, token keystore.TokenURI) (*home.Home, error) {
	trust, err := client.ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	u, err := a.unlock(true)
	if err != nil {
		return nil, err
	}
	return home.CreateWith(a.home, u, trust.Network, func(h *home.Home) error {
		return errors.Join(h.Keys().UseToken(token), h.SetGenesis(genesis))
	})
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
	o := walletNet{node: node}
	return a.online(c.Context(), &o, func(w *wallet.Wallet, l *client.Client) error {
		return l.Read(c.Context(), func(v client.View) error { return f(w, v) })
	})
}

// walletNet is how a wallet reaches the ledger, and issuers and verifiers.
type walletNet struct {
	node, genesis, authorities string
}

// flags adds --node, and --tls-ca for issuers and verifiers with certificates of their own making.
func (o *walletNet) flags(c *cobra.Command) *cobra.Command {
	walletNode(c, &o.node)
	c.Flags().StringVar(&o.authorities, "tls-ca", "", "file of further certificates (PEM) to trust for HTTPS, such as that of hufu up --tls self-signed")
	return c
}

// client is the HTTP client for issuers and verifiers; nil: the wallet's own.
func (o *walletNet) client() (*http.Client, error) {
	if o.authorities == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(o.authorities)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", o.authorities)
	}
	const limit = 30 * time.Second // as of the wallet's own client
	return &http.Client{Timeout: limit, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}, nil
}

// online runs f on the wallet of --home and its network.
func (a *app) online(ctx context.Context, o *walletNet, f func(*wallet.Wallet, *client.Client) error) error {
	hc, err := o.client()
	if err != nil {
		return err
	}
	w, h, err := a.openWalletWith(o.genesis, hc)
	if err != nil {
		return err
	}
	l, err := a.dialHome(h, o.node)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	if err = f(w, l); err == nil {
		err = renewTrust(ctx, h, l)
	}
	return errors.Join(err, l.Close(), w.Close())
}
