package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

// presentOptions are the flags of "hufu wallet present".
type presentOptions struct {
	walletNet
	yes    bool
	origin string
}

func (a *app) walletPresentCmd() *cobra.Command {
	var o presentOptions
	c := &cobra.Command{
		Use:   "present REQUEST",
		Short: "Answer a verifier's request, after showing who asks for what",
		Long: `REQUEST is a link of a verifier (OpenID4VP), as a page has it or a QR code. The wallet finds out who asks, on the
ledger, by what a gate proves of it with its request or else from --node, and what would be shown, and asks whether to
show it; --yes answers that. A verifier that the ledger knows is refused unless the request equals the contract it
published. A stranger is warned about, and gets an answer only if you say so.

REQUEST can also be a file: a signed request of a gate, which is answered only if it equals the gate's contract, and
the answer is printed, not sent; or, with --origin, a request over the Digital Credentials API as JSON with
protocol and data, as a page of that origin gave it to its browser.

Each copy is shown once. When few are left, new ones are fetched.`,
		Example: `  hufu wallet present 'openid4vp://?client_id=...&request_uri=...' --home alice --node http://127.0.0.1:26657
  hufu wallet present request.jwt --home alice --node http://127.0.0.1:26657 > answer.json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.Contains(args[0], "://") {
				return a.online(c.Context(), &o.walletNet, func(w *wallet.Wallet, l *client.Client) error {
					q, err := w.Consider(c.Context(), l, args[0])
					if err != nil {
						return err
					}
					return a.decide(c.Context(), w, l, q, &o)
				})
			}
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			if o.origin != "" {
				return a.presentDC(c.Context(), raw, &o)
			}
			return a.presentFile(c, strings.TrimSpace(string(raw)), &o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.yes, "yes", false, "show it without asking, also to a stranger")
	f.StringVar(&o.origin, "origin", "", "origin of the page that asks over the Digital Credentials API")
	return o.flags(c)
}

// presentFile answers a request object of a gate and prints the answer.
func (a *app) presentFile(c *cobra.Command, token string, o *presentOptions) error {
	var answer *wallet.Answer
	if err := a.online(c.Context(), &o.walletNet, func(w *wallet.Wallet, l *client.Client) (err error) {
		answer, err = w.Present(c.Context(), l, token)
		return err
	}); err != nil {
		return err
	}
	token2, err := answer.Response.VPToken.Encode()
	if err != nil {
		return err
	}
	a.warnLow(answer.Low)
	return json.NewEncoder(a.out).Encode(answerFile{State: answer.Response.State, VPToken: token2})
}

func (a *app) warnLow(low []wallet.Stock) {
	for _, s := range low {
		fmt.Fprintf(a.err, "only %d copies of %s are left: fetch new ones soon\n", s.Left, s.Type)
	}
}

// presentDC answers a request over the Digital Credentials API.
func (a *app) presentDC(ctx context.Context, raw []byte, o *presentOptions) error {
	var d oid4vp.DCRequest
	if err := json.Unmarshal(raw, &d); err != nil {
		return usagef("the request is no JSON object with protocol and data: %w", err)
	}
	return a.online(ctx, &o.walletNet, func(w *wallet.Wallet, l *client.Client) error {
		q, err := w.ConsiderDC(ctx, l, o.origin, d)
		if err != nil {
			return err
		}
		return a.decide(ctx, w, l, q, o)
	})
}

// decide shows the person what is asked, and does what the person says.
func (a *app) decide(ctx context.Context, w *wallet.Wallet, l *client.Client, q *wallet.Inquiry, o *presentOptions) error {
	a.describe(a.err, q)
	if !o.yes {
		said, err := a.ask("Show it? [y/N] ")
		if err != nil {
			return err
		}
		if !strings.EqualFold(said, "y") && !strings.EqualFold(said, "yes") {
			if err := w.Decline(ctx, q); err != nil {
				fmt.Fprintf(a.err, "the verifier was not told: %v\n", message(err))
			}
			return hint(errors.New("nothing was shown"), "to show it, answer y, or run it with --yes")
		}
	}
	out, err := w.Agree(ctx, l, q)
	if err != nil {
		return err
	}
	return a.reportOutcome(q, out)
}

// describe tells a person who asks for what.
func (a *app) describe(to io.Writer, q *wallet.Inquiry) {
	switch {
	case q.Known():
		fmt.Fprintf(to, "Who asks:  %s, on the ledger\n", q.Verifier)
	default:
		fmt.Fprintf(to, "WARNING: a stranger asks: %s\n", wallet.Plain(q.ClientID))
	}
	for _, warning := range q.Warnings {
		fmt.Fprintf(to, "WARNING: %s\n", wallet.Plain(warning))
	}
	if q.ReplyTo != "" {
		fmt.Fprintf(to, "Goes to:   %s\n", wallet.Plain(q.ReplyTo))
	}
	if c := q.Contract; c != nil && q.Known() { // what a stranger says of itself is in the warnings, and is no promise of anybody
		fmt.Fprintf(to, "Contract:  %s, version %d: %s\n", c.ID(), c.Version, contract.In(c.Title, language()))
		fmt.Fprintf(to, "For what:  %s\n", contract.In(c.Purpose, language()))
		fmt.Fprintf(to, "Kept:      %s\n", contract.In(c.Retention, language()))
	}
	for _, s := range q.Show {
		fmt.Fprintf(to, "Shown:     %s from %s (%s)\n", wallet.Plain(s.Type), wallet.Plain(s.Issuer), s.Format)
		if len(s.Claims) == 0 {
			fmt.Fprintln(to, "             that you have one, and nothing in it")
		}
		for _, c := range s.Claims {
			value, err := json.Marshal(c.Value)
			if err != nil {
				value = []byte("?")
			}
			fmt.Fprintf(to, "             %s = %s\n", wallet.Plain(c.Path), wallet.Plain(string(value)))
		}
	}
	for _, statement := range q.Consent {
		fmt.Fprintf(to, "You agree: %q\n", statement)
	}
}

// language is that of the person's settings, as far as contracts have texts in it.
func language() string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		value := os.Getenv(name)
		switch {
		case value == "":
			continue
		case strings.HasPrefix(value, "zh_TW"), strings.HasPrefix(value, "zh_HK"):
			return "zh-Hant"
		case strings.HasPrefix(value, "zh"):
			return "zh-Hans"
		}
		tag, _, _ := strings.Cut(value, "_")
		return tag
	}
	return "en"
}

// outcomeAccount is what came of an answer. What was shown is named, not repeated.
type outcomeAccount struct {
	Verifier string          `json:"verifier,omitempty"` // DID on the ledger
	Client   string          `json:"client_id"`
	Contract string          `json:"contract,omitempty"`
	Known    bool            `json:"known"`
	Shown    []shownAccount  `json:"shown"`
	Decision string          `json:"decision,omitempty"` // of the receipt, if one came
	Receipt  bool            `json:"receipt"`            // came, was right and is kept
	Redirect string          `json:"redirect_uri,omitempty"`
	DC       json.RawMessage `json:"data,omitempty"` // for the page
	Low      []stockAccount  `json:"low"`
	Refilled []stockAccount  `json:"refilled"`
}

func (a *app) reportOutcome(q *wallet.Inquiry, out *wallet.Outcome) error {
	account := outcomeAccount{
		Verifier: string(q.Verifier), Client: q.ClientID, Known: q.Known(), Redirect: out.Redirect, DC: out.DC, Receipt: out.Receipt != nil,
		Shown: []shownAccount{}, Low: accountOfStock(out.Low), Refilled: accountOfStock(out.Refilled),
	}
	if q.Contract != nil {
		account.Contract = q.Contract.ID().String()
	}
	for _, s := range q.Show {
		shown := shownAccount{Type: s.Type, Claims: []string{}}
		for _, c := range s.Claims {
			shown.Claims = append(shown.Claims, c.Path)
		}
		account.Shown = append(account.Shown, shown)
	}
	if out.Receipt != nil {
		account.Decision = out.Receipt.Decision.String()
	}
	if out.ReceiptError != nil {
		fmt.Fprintf(a.err, "the gate's receipt is wrong and was not kept: %v\n", message(out.ReceiptError))
	}
	if out.Refill != nil {
		fmt.Fprintf(a.err, "copies run low and new ones could not be fetched: %v\n", message(out.Refill))
	}
	a.warnLow(out.Low)
	return a.emit(account, func(w io.Writer) {
		fmt.Fprintln(w, "shown")
		if out.Receipt != nil {
			fmt.Fprintf(w, "decision: %s; the receipt is kept\n", out.Receipt.Decision)
		}
		if out.Redirect != "" {
			fmt.Fprintf(w, "go on at: %s\n", wallet.Plain(out.Redirect))
		}
		if out.DC != nil {
			fmt.Fprintf(w, "%s\n", out.DC)
		}
		for _, s := range out.Refilled {
			fmt.Fprintf(w, "fetched new copies of %s: %d left\n", s.Type, s.Left)
		}
	})
}
