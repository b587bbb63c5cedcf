package main

import (
	"bufio"
	"context"
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
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
)

func (a *app) issuerCmd() *cobra.Command {
	return group("issuer", "An agency's work: enrol people, issue to them, set the status of what they hold",
		"  hufu issuer enrol roster.csv --as agency\n  hufu issuer status --person 99...X --set revoked --reason requested --as agency",
		a.issuerEnrolCmd(), a.issuerNonceCmd(), a.issuerIssueCmd(), a.issuerStatusCmd(), a.issuerAccessCmd(), a.issuerEraseCmd(), a.issuerOfferCmd(), a.issuerPasscodeCmd(), a.issuerReleaseCmd(), a.issuerAnchorCmd(), a.issuerServeCmd())
}

// openIssuer opens the issuer of one of the home's identities, whose status lists are served at base, or where
// the process that serves the home serves them. more, if not nil, adds to the configuration.
func (a *app) openIssuer(ctx context.Context, l *session, name, base string, more func(*issuer.Config, roleKey) error) (*issuer.Service, error) {
	actor, err := l.actor(name)
	if err != nil {
		return nil, err
	}
	key, err := l.roleKey(ctx, name, home.IssuingMethod)
	if err != nil {
		return nil, err
	}
	master, err := l.home.PeopleKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if base == "" {
		base = "http://127.0.0.1:8080"
		if r, err := l.home.GetRunning(); err == nil {
			base = r.Listen
		}
	}
	c := issuer.Config{
		DID: actor.DID(), Signer: key.signer, Fragment: key.fragment, MasterKey: master,
		Store: a.database(l.home, home.IssuerFile), Ledger: l.Client,
		Sign:       actor.Sign,
		StatusBase: base, Zone: time.Local, Since: key.since,
	}
	if more != nil {
		if err := more(&c, key); err != nil {
			return nil, err
		}
	}
	return issuer.Open(ctx, c)
}

// withIssuer runs f on the issuer of --as.
func (a *app) withIssuer(ctx context.Context, node, as string, f func(*session, *issuer.Service) error) error {
	return a.withSession(ctx, node, true, func(l *session) error {
		s, err := a.openIssuer(ctx, l, as, "", nil)
		if err != nil {
			return err
		}
		return errors.Join(f(l, s), s.Close())
	})
}

func issuerFlags(c *cobra.Command, node, as *string) *cobra.Command {
	c.Flags().StringVar(as, "as", "agency", "identity of this home that issues")
	return nodeFlag(c, node)
}

func (a *app) issuerEnrolCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:   "enrol ROSTER.csv",
		Short: "Enrol the people of a resident register, encrypted one by one",
		Long: `Reads a register in the shape that "hufu roster" writes. Bad rows are reported with line and column and
left out; the rest are enrolled. Enrolling the same file again changes nothing.`,
		Example: "  hufu issuer enrol roster.csv --as agency",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return a.withIssuer(c.Context(), node, as, func(_ *session, s *issuer.Service) error {
				lines, err := countLines(args[0])
				if err != nil {
					return err
				}
				add, done := a.progress("rows", lines)
				before := 0
				report, err := s.Enrol(c.Context(), f, func(rows int) { add(rows - before); before = rows })
				done()
				var header *roster.RowError
				if errors.As(err, &header) {
					return hint(rowError(args[0], header), "nobody was enrolled; the first line names the columns: %s", strings.Join(roster.Columns(), ","))
				}
				if err != nil {
					return hint(err, "%d people were enrolled before it; the same command goes on from there", report.Enrolled+report.Updated)
				}
				return a.emitEnrolled(args[0], &report)
			})
		},
	}
	return issuerFlags(c, &node, &as)
}

// errRejected ends an enrolment that left rows out.
var errRejected = errors.New("rows were rejected")

func (a *app) emitEnrolled(file string, r *issuer.Report) error {
	err := a.emit(r, func(w io.Writer) {
		for _, bad := range r.Rejected {
			fmt.Fprintln(w, rowError(file, bad))
		}
		fmt.Fprintf(w, "%d enrolled, %d updated, %d unchanged, %d rejected\n", r.Enrolled, r.Updated, r.Unchanged, len(r.Rejected))
	})
	if err == nil && len(r.Rejected) > 0 {
		return silentError{errRejected}
	}
	return err
}

// rowError says where in a file a row is bad, in the form that editors jump to.
func rowError(file string, bad *roster.RowError) error {
	if bad.Column == "" {
		return fmt.Errorf("%s:%d: %s", file, bad.Line, bad.Reason)
	}
	return fmt.Errorf("%s:%d: %s: %s", file, bad.Line, bad.Column, bad.Reason)
}

func countLines(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	s := bufio.NewScanner(f)
	for s.Scan() {
		n++
	}
	return n, nil // a line too long for the scanner only shortens the progress bar
}

func (a *app) issuerNonceCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:     "nonce",
		Short:   "Give a nonce that a wallet proves its keys under, good once and for five minutes",
		Example: "  hufu issuer nonce --as agency",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withIssuer(c.Context(), node, as, func(_ *session, s *issuer.Service) error {
				n, err := s.Nonce()
				if err != nil {
					return err
				}
				return a.emit(oid4vci.NonceResponse{Nonce: n}, func(w io.Writer) { fmt.Fprintln(w, n) })
			})
		},
	}
	return issuerFlags(c, &node, &as)
}

// proofsFile is what "hufu wallet keygen" writes and the issuer reads.
type proofsFile struct {
	Proofs oid4vci.Proofs `json:"proofs"`
}

func (a *app) issuerIssueCmd() *cobra.Command {
	var node, as, person, proofs string
	var types []string
	c := &cobra.Command{
		Use:   "issue --person NUMBER --proofs FILE",
		Short: "Issue copies of credentials to the keys that a wallet has proven",
		Long: `Issues one copy of each credential the person is entitled to for every key in the proofs file, each with
salts and a status entry of its own, and prints them for the wallet to accept. That whoever brought the
proofs is the person is for the office that runs this command to know.`,
		Example: `  hufu wallet keygen --copies 8 --audience did:hufu:... --nonce $(hufu issuer nonce) --home alice > proofs.json
  hufu issuer issue --person 99... --proofs proofs.json --as agency > credentials.json
  hufu wallet accept credentials.json --home alice`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var in proofsFile
			if err := readJSON(proofs, &in); err != nil {
				return err
			}
			person, err := a.resident(person)
			if err != nil {
				return err
			}
			return a.withIssuer(c.Context(), node, as, func(_ *session, s *issuer.Service) error {
				issued, err := s.Issue(c.Context(), s.Ref(person), issuer.IssueRequest{Types: types, Proofs: in.Proofs.JWT})
				if err != nil {
					return err
				}
				var all []string
				for _, i := range issued {
					all = append(all, i.Copies...)
				}
				// The credentials are the output in either form: they are for a program to read.
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				return enc.Encode(oid4vci.NewCredentialResponse(all))
			})
		},
	}
	f := c.Flags()
	f.StringVar(&person, "person", "", "resident number of the person"+personHelp)
	f.StringVar(&proofs, "proofs", "", "the wallet's key proofs, as hufu wallet keygen writes them")
	f.StringArrayVar(&types, "type", nil, "credential type; default: all that the person is entitled to")
	_ = c.MarkFlagRequired("person")
	_ = c.MarkFlagRequired("proofs")
	return issuerFlags(c, &node, &as)
}

// personHelp says how a resident number stays out of the shell's history and the list of processes.
const personHelp = " (- reads it from standard input)"

// subject is one line of what a command is told on its command line or in a file, and where that was.
type subject struct{ text, where string }

// residents reads resident numbers from the command line, or from standard input, one a line, for "-".
func (a *app) residents(args []string) (out []subject, err error) {
	for i, arg := range args {
		if arg != "-" {
			out = append(out, subject{arg, fmt.Sprintf("--person, number %d", i+1)})
		}
	}
	if len(out) == len(args) {
		return out, nil
	}
	lines, err := readSubjects(a.in, "standard input")
	if err == nil && len(lines)+len(out) == 0 {
		err = usagef("--person -: standard input names nobody")
	}
	return append(out, lines...), err
}

// readSubjects reads a file of one thing a line, of which blank ones are none.
func readSubjects(r io.Reader, name string) (out []subject, err error) {
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		if text := strings.TrimSpace(lines.Text()); text != "" {
			if out = append(out, subject{text, fmt.Sprintf("%s:%d", name, n)}); len(out) > issuer.MaxStatusEntries {
				return nil, fmt.Errorf("%s: more than %d lines; split it", name, issuer.MaxStatusEntries)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// resident reads one resident number.
func (a *app) resident(arg string) (string, error) {
	all, err := a.residents([]string{arg})
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", usagef("--person: one resident number is needed, not %d", len(all))
	}
	return all[0].text, nil
}

func (a *app) issuerAccessCmd() *cobra.Command {
	var node, as, person string
	c := &cobra.Command{
		Use:     "access --person NUMBER",
		Short:   "List when and for what purpose a person's file was read",
		Example: "  hufu issuer access --person 99...X",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			person, err := a.resident(person)
			if err != nil {
				return err
			}
			return a.withIssuer(c.Context(), node, as, func(_ *session, s *issuer.Service) error {
				list, err := s.Accesses(c.Context(), s.Ref(person))
				if err != nil {
					return err
				}
				if len(list) == 0 {
					list = []issuer.Access{}
				}
				return a.emit(list, func(w io.Writer) {
					if len(list) == 0 {
						fmt.Fprintln(w, "no file of this person has ever been read")
					}
					for _, x := range list {
						fmt.Fprintf(w, "%s  %s\n", x.Time.Format(time.RFC3339), x.Purpose)
					}
				})
			})
		},
	}
	c.Flags().StringVar(&person, "person", "", "resident number of the person"+personHelp)
	_ = c.MarkFlagRequired("person")
	return issuerFlags(c, &node, &as)
}

func (a *app) issuerEraseCmd() *cobra.Command {
	var node, as, person string
	var yes bool
	c := &cobra.Command{
		Use:     "erase --person NUMBER --yes",
		Short:   "Revoke what a person holds and destroy the key of their file",
		Example: "  hufu issuer erase --person 99...X --yes",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				return usagef("this cannot be undone: say --yes if you mean it")
			}
			person, err := a.resident(person)
			if err != nil {
				return err
			}
			return a.withIssuer(c.Context(), node, as, func(_ *session, s *issuer.Service) error {
				if err := s.Erase(c.Context(), s.Ref(person), tx.ReasonRequested); err != nil {
					return err
				}
				return a.emit(map[string]bool{"erased": true}, func(w io.Writer) { fmt.Fprintln(w, "the person's file is erased") })
			})
		},
	}
	c.Flags().StringVar(&person, "person", "", "resident number of the person"+personHelp)
	c.Flags().BoolVar(&yes, "yes", false, "confirm")
	_ = c.MarkFlagRequired("person")
	return issuerFlags(c, &node, &as)
}
