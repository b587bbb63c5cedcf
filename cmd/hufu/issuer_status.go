package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/tx"
)

// reasons are the codes that a change of status may give.
func reasons() []string {
	return []string{
		tx.ReasonSuperseded, tx.ReasonKeyCompromise, tx.ReasonCessation, tx.ReasonError,
		tx.ReasonFraud, tx.ReasonRequested, tx.ReasonUnspecified,
	}
}

func (a *app) issuerStatusCmd() *cobra.Command {
	var node, as, set, reason, file string
	var people []string
	c := &cobra.Command{
		Use:   "status (--person NUMBER | --entries FILE) --set valid|suspended|revoked",
		Short: "Suspend, revoke or reinstate what people hold, one or a million, in one go",
		Long: `Sets the status of every copy that people hold, of every copy whose status entry a file names, or both.
A suspension can be lifted; a revocation is final.

A file of entries has one line for each: LIST,INDEX, or LIST,FIRST-LAST for all of these that were given to
credentials. LIST is the number of one of the issuer's status lists, or its URI; both LIST and INDEX are in the
credential (status.status_list.uri and idx). Nothing is changed unless every line, and every resident number,
is known; those that are not are listed.

Large changes take several transactions, many of which are on the way at a time. When the command is
cut off, some of them are on the ledger: run it again, and it goes on with what is left.`,
		Example: `  hufu issuer status --person 99...X --set suspended --reason requested
  hufu issuer status --person - --set revoked --reason cessation < moved-away.txt
  hufu issuer status --entries stolen.csv --set revoked --reason key-compromise`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			status, ok := map[string]hufu.Status{"valid": hufu.StatusValid, "suspended": hufu.StatusSuspended, "revoked": hufu.StatusRevoked}[set]
			switch {
			case !ok:
				return usagef("--set must be valid, suspended or revoked")
			case !slices.Contains(reasons(), reason):
				return usagef("--reason must be one of %s", strings.Join(reasons(), ", "))
			case len(people) == 0 && file == "":
				return usagef("say whose status with --person or --entries")
			case file == "-" && slices.Contains(people, "-"):
				return usagef("--person and --entries cannot both be read from standard input")
			}
			residents, err := a.residents(people)
			if err != nil {
				return err
			}
			entries, err := a.entries(file)
			if err != nil {
				return err
			}
			return a.withIssuer(c.Context(), node, as, func(_ *session, s *issuer.Service) error {
				req := issuer.StatusRequest{Status: status, Reason: reason}
				for _, p := range residents {
					req.People = append(req.People, s.Ref(p.text))
				}
				var bad badLines
				for _, e := range entries {
					r, err := s.ParseEntries(e.text)
					bad.add(e, err)
					req.Entries = append(req.Entries, r)
				}
				if len(bad) > 0 {
					return bad.error()
				}
				var result issuer.StatusResult
				a.follow(&req, func() { result, err = s.SetStatus(c.Context(), req) })
				var unknown *issuer.BadSubjectsError
				if errors.As(err, &unknown) {
					for _, b := range unknown.People {
						bad.add(residents[b.At], b.Refusal)
					}
					for _, b := range unknown.Entries {
						bad.add(entries[b.At], b.Refusal)
					}
					return bad.error()
				}
				if err != nil && result.Entries+result.Unknown == 0 {
					return err
				}
				told := a.emit(result, func(w io.Writer) { printStatus(w, status, &result) })
				if err != nil {
					return hint(err, "the same command goes on from there")
				}
				return told
			})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&people, "person", nil, "resident number; repeat for several"+personHelp)
	f.StringVar(&file, "entries", "", "file of status entries, LIST,INDEX or LIST,FIRST-LAST a line (- is standard input)")
	f.StringVar(&set, "set", "", "valid, suspended or revoked")
	f.StringVar(&reason, "reason", tx.ReasonUnspecified, "reason code: "+strings.Join(reasons(), ", "))
	_ = c.MarkFlagRequired("set")
	return issuerFlags(c, &node, &as)
}

// entries reads a file of status entries, if there is one.
func (a *app) entries(file string) ([]subject, error) {
	switch file {
	case "":
		return nil, nil
	case "-":
		return someEntries(readSubjects(a.in, "standard input"))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return someEntries(readSubjects(f, file))
}

func someEntries(entries []subject, err error) ([]subject, error) {
	if err == nil && len(entries) == 0 {
		err = usagef("--entries: the file names none")
	}
	return entries, err
}

// follow shows how far work on a request is.
func (a *app) follow(req *issuer.StatusRequest, work func()) {
	var add func(int)
	end, before := func() {}, 0
	req.Progress = func(done, all int) {
		if add == nil {
			add, end = a.progress("entries", all)
		}
		add(done - before)
		before = done
	}
	work()
	end()
}

// maxBadLines is how many bad lines are shown: from them one sees what is wrong with the file.
const maxBadLines = 20

// badLines are those that keep a command from doing anything.
type badLines []error

func (b *badLines) add(s subject, err error) {
	if err != nil {
		*b = append(*b, fmt.Errorf("%s: %w", s.where, err))
	}
}

func (b badLines) error() error {
	if more := len(b) - maxBadLines; more > 0 {
		b = append(b[:maxBadLines:maxBadLines], fmt.Errorf("and %d more", more))
	}
	return errors.Join(append(b, errors.New("nothing was changed"))...)
}

func printStatus(w io.Writer, status hufu.Status, r *issuer.StatusResult) {
	if r.Entries+r.Already+r.Final+r.Unknown+r.Left == 0 {
		fmt.Fprintln(w, "nothing to change: nothing has been issued to them")
		return
	}
	fmt.Fprintf(w, "%d status entries are %s", r.Entries, status)
	if n := len(r.Receipts); n > 0 {
		fmt.Fprintf(w, " since block %d", r.Receipts[n-1].Height)
	}
	for _, more := range []struct {
		n    int
		what string
	}{
		{r.Already, "were so before"},
		{r.Final, "stay revoked, which is final"},
		{r.Unknown, "were sent, and may be or not"},
		{r.Left, "are not"},
	} {
		if more.n > 0 {
			fmt.Fprintf(w, "; %d %s", more.n, more.what)
		}
	}
	fmt.Fprintln(w)
}
