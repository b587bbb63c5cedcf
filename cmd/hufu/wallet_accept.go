package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/wallet"
)

// acceptOptions are the flags of "hufu wallet accept".
type acceptOptions struct {
	walletNet
	txCode  string
	copies  int
	foreign bool
}

func (a *app) walletAcceptCmd() *cobra.Command {
	var o acceptOptions
	c := &cobra.Command{
		Use:   "accept OFFER",
		Short: "Take credentials from an issuer, after checking each against the ledger",
		Long: `OFFER is a link with a credential offer (OpenID4VCI), as an issuer shows it or has it in a QR code; or a file
with credentials that an issuer made out by hand. The wallet makes a new key for each copy, proves it, checks what comes
against the ledger and keeps it. Where the issuer wants the person to sign in, it prints the address to open
in a browser on this machine, and waits.

With --genesis, a wallet that does not exist yet is made, trusting that network.`,
		Example: `  hufu wallet accept 'openid-credential-offer://?credential_offer_uri=...' --tx-code 1234 --home alice --node http://127.0.0.1:26657
  hufu wallet accept credentials.json --home alice --node http://127.0.0.1:26657`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if !strings.Contains(args[0], "://") {
				return a.acceptFile(c, o.node, args[0])
			}
			return a.online(c.Context(), &o.walletNet, func(w *wallet.Wallet, l *client.Client) error {
				return a.acceptOffer(c.Context(), w, l, args[0], &o)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.txCode, "tx-code", "", "the transaction code that the issuer sent by another way")
	f.IntVar(&o.copies, "copies", wallet.DefaultCopies, "how many copies of each credential; each is shown once")
	f.BoolVar(&o.foreign, "foreign", false, "take credentials of an issuer that the ledger does not know")
	f.StringVar(&o.genesis, "genesis", "", "genesis file of the network, to make a new wallet for it")
	return o.flags(c)
}

// acceptFile takes credentials that came as a file.
func (a *app) acceptFile(c *cobra.Command, node, path string) error {
	raw, err := os.ReadFile(path)
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
}

// receivedAccount is what came of taking up an offer.
type receivedAccount struct {
	Issuer   string         `json:"issuer"`
	DID      string         `json:"did,omitempty"` // who vouches for the issuer's address, on the ledger
	Accepted int            `json:"accepted"`
	Deferred int            `json:"deferred"`
	Stock    []stockAccount `json:"stock"`
}

func (a *app) acceptOffer(ctx context.Context, w *wallet.Wallet, l *client.Client, link string, o *acceptOptions) error {
	inv, err := w.Invited(ctx, l, link)
	if err != nil {
		return err
	}
	who := "the ledger does not know who answers there; it checks what comes"
	if inv.DID != "" {
		who = "on the ledger: " + string(inv.DID)
	}
	fmt.Fprintf(a.err, "%s (%s) offers; %s\n", orUnnamed(inv.Name), wallet.Plain(inv.Issuer), who)
	for _, c := range inv.Credentials {
		fmt.Fprintf(a.err, "  %s (%s)\n", wallet.Plain(c.Name), c.Format)
	}
	accept := wallet.Acceptance{TxCode: o.txCode, Copies: o.copies, Foreign: o.foreign}
	if inv.TxCode != nil && o.txCode == "" {
		if accept.TxCode, err = a.ask("Transaction code: "); err != nil {
			return err
		}
	}
	if inv.SignIn {
		stop, err := a.signIn(ctx, &accept)
		if err != nil {
			return err
		}
		defer stop()
	}
	got, err := w.Receive(ctx, l, inv, accept)
	if err != nil {
		return err
	}
	account := receivedAccount{Issuer: inv.Issuer, DID: string(inv.DID), Accepted: got.Copies, Deferred: got.Deferred, Stock: accountOfStock(got.Credentials)}
	return a.emit(account, func(out io.Writer) {
		fmt.Fprintf(out, "%d credentials accepted\n", got.Copies)
		writeStock(out, got.Credentials)
		if got.Deferred > 0 {
			fmt.Fprintf(out, "%d more come later; fetch them with: hufu wallet refill\n", got.Deferred)
		}
	})
}

func orUnnamed(name string) string {
	if name == "" {
		return "An issuer without a name"
	}
	return name
}

// ask asks the person at the terminal; where there is none, the answer is empty.
func (a *app) ask(question string) (string, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", nil
	}
	fmt.Fprint(a.err, question)
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// signInTime bounds how long the wallet waits for the person's browser to come back.
const signInTime = 10 * time.Minute

// signIn prepares for the person's browser to come back to this machine.
func (a *app) signIn(ctx context.Context, accept *wallet.Acceptance) (stop func(), err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// Only who was sent here knows where: another page of the same browser cannot come first.
	secret, err := oauth.NewID(rand.Reader)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	path := "/signed-in/" + secret
	back := make(chan string, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, "Done. Go back to the wallet; this page can be closed.")
		select {
		case back <- accept.RedirectURI + "?" + r.URL.RawQuery:
		default: // the first counts
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with stop
	accept.RedirectURI = "http://" + listener.Addr().String() + path
	accept.SignIn = func(ctx context.Context, address string) (string, error) {
		fmt.Fprintf(a.err, "Open this address in a browser on this machine, and sign in there:\n  %s\n", wallet.Plain(address))
		ctx, cancel := context.WithTimeout(ctx, signInTime)
		defer cancel()
		select {
		case came := <-back:
			return came, nil
		case <-ctx.Done():
			return "", fmt.Errorf("nobody came back from signing in: %w", ctx.Err())
		}
	}
	return func() { _ = server.Close() }, nil
}

func (a *app) walletRefillCmd() *cobra.Command {
	var o walletNet
	c := &cobra.Command{
		Use:   "refill",
		Short: "Fetch new copies of what runs low, and credentials that were promised for later",
		Long: `Copies are shown once. When few are left, the wallet fetches new ones by itself after each answer, from issuers
that allowed it; this does the same now, and asks for what issuers promised for later.`,
		Example: "  hufu wallet refill --home alice --node http://127.0.0.1:26657",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.online(c.Context(), &o, func(w *wallet.Wallet, l *client.Client) error {
				late, err := w.Collect(c.Context(), l)
				if err != nil {
					return err
				}
				fresh, err := w.Refill(c.Context(), l)
				if err != nil {
					return err
				}
				got := slices.Concat(late.Credentials, fresh)
				account := struct {
					Stock    []stockAccount `json:"stock"`
					Deferred int            `json:"deferred"`
				}{accountOfStock(got), late.Deferred}
				return a.emit(account, func(out io.Writer) {
					if len(got) == 0 {
						fmt.Fprintln(out, "nothing runs low that can be fetched")
					}
					writeStock(out, got)
					if late.Deferred > 0 {
						fmt.Fprintf(out, "%d are still to come\n", late.Deferred)
					}
				})
			})
		},
	}
	return o.flags(c)
}
