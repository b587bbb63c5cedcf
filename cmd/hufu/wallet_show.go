package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/wallet"
)

func writeStock(out io.Writer, list []wallet.Stock) {
	for i, s := range list {
		from := string(s.Issuer)
		if s.Foreign {
			from += ", whom the ledger does not know"
		}
		until := ""
		if !s.Expires.IsZero() {
			until = ", until " + s.Expires.Format(time.DateOnly)
		}
		fmt.Fprintf(out, "%d  %s (%s)\n   from %s\n   %d of %d copies left%s\n", i+1, wallet.Plain(s.Type), s.Format, wallet.Plain(from), s.Left, s.Copies, until)
	}
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
			list, waiting := w.List(), w.Waiting()
			if err := w.Close(); err != nil {
				return err
			}
			return a.emit(accountOfStock(list), func(out io.Writer) {
				if len(list) == 0 {
					fmt.Fprintln(out, "no credentials yet; take up an issuer's offer with: hufu wallet accept OFFER")
				}
				writeStock(out, list)
				if waiting > 0 {
					fmt.Fprintf(out, "%d more were promised; fetch them with: hufu wallet refill\n", waiting)
				}
			})
		},
	}
}

// detailsAccount is one credential with what it says.
type detailsAccount struct {
	stockAccount
	Claims map[string]any `json:"claims"`
}

func (a *app) walletShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show what a credential says, to you and nobody else",
		Long:    "NUMBER is the credential's place in hufu wallet list. Nothing is used up by looking.",
		Example: "  hufu wallet show 1 --home alice",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return usagef("%q is no number; see: hufu wallet list", args[0])
			}
			w, _, err := a.openWallet("")
			if err != nil {
				return err
			}
			d, err := w.Details(n - 1)
			if closing := w.Close(); err == nil {
				err = closing
			}
			if err != nil {
				return hint(err, "see: hufu wallet list")
			}
			return a.emit(detailsAccount{accountOfStock([]wallet.Stock{d.Stock})[0], d.Claims}, func(out io.Writer) {
				writeStock(out, []wallet.Stock{d.Stock})
				if d.Claims == nil {
					fmt.Fprintln(out, "   every copy was shown; the wallet forgets those")
					return
				}
				var text strings.Builder
				enc := json.NewEncoder(&text)
				enc.SetEscapeHTML(false)
				enc.SetIndent("   ", "  ")
				_ = enc.Encode(d.Claims)
				for line := range strings.Lines(text.String()) {
					fmt.Fprintln(out, wallet.Plain(strings.TrimSuffix(line, "\n")))
				}
			})
		},
	}
}

func (a *app) walletLogCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "log",
		Short:   "List every request this wallet got and every offer it took up, and what came of it",
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
				for i := range visits {
					v := &visits[i]
					fmt.Fprintf(out, "%s  %s  %s\n", v.Time.Format(time.RFC3339), wallet.Plain(whoOf(v)), whatOf(v))
				}
			})
		},
	}
}

// whoOf names the other side of a log's entry.
func whoOf(v *wallet.Visit) string {
	names := []string{v.Issuer, v.Contract, string(v.Gate)}
	if v.Gate == "" { // a stranger is not the contract that it names
		names = []string{v.Issuer, v.Client, v.Contract}
	}
	for _, name := range names {
		if name != "" {
			return name
		}
	}
	return "somebody"
}

func whatOf(v *wallet.Visit) string {
	switch {
	case v.Refused == wallet.RuleDeclined:
		return "declined"
	case v.Refused != "":
		return "refused by " + string(v.Refused)
	case v.Issuer != "":
		return fmt.Sprintf("gave %d credentials", v.Got)
	case v.Gate == "":
		return "answered, a stranger"
	}
	return "answered"
}
