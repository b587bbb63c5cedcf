package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

func (a *app) gateCmd() *cobra.Command {
	return group("gate", "A service's door: check, publish and show its contract, ask, decide, replay",
		"  hufu gate check reading-room.toml\n  hufu gate publish reading-room.toml --as library",
		a.gateCheckCmd(), a.gatePublishCmd(), a.gateShowCmd(), a.gateRetireCmd(),
		a.gateRequestCmd(), a.gateResultCmd(), a.gateDecideCmd(), a.gateReplayCmd(), a.gateTokenCmd(), a.gateAnchorCmd(), a.gateReportCmd(), a.gateServeCmd())
}

// contractProblem is one mistake in a contract's file.
type contractProblem struct {
	File    string    `json:"file"`
	Line    int       `json:"line"`
	Column  int       `json:"column"`
	Rule    hufu.Rule `json:"rule"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

// errContract ends a check whose problems have been printed.
var errContract = errors.New("the contract has problems")

func (a *app) gateCheckCmd() *cobra.Command {
	var node string
	var typeFiles []string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Explain what is wrong with an access contract, with line and column",
		Long: `Checks everything that publication checks. Credential types are read from JSON files given with --type,
else from the ledger of --home, else only the text itself is checked, and the command says so.`,
		Example: "  hufu gate check examples/contracts/clinic.toml --type examples/types/resident-id.json --type examples/types/guardianship.json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readContract(args[0])
			if err != nil {
				return err
			}
			types, from, done, err := a.typeSource(c.Context(), node, typeFiles)
			if err != nil {
				return err
			}
			defer done()
			problems, err := checkContract(text, types)
			if err != nil {
				return err
			}
			return a.reportProblems(args[0], problems, from)
		},
	}
	c.Flags().StringArrayVar(&typeFiles, "type", nil, "JSON file of a credential type; repeat for several")
	return nodeFlag(c, &node)
}

func readContract(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, contract.MaxText+1)) // one more byte than allowed is refused with the limit's own words
}

type typeLookup = func(vct string) (*contract.Type, error)

// typeSource finds published types: in files, on the ledger, or nowhere.
func (a *app) typeSource(ctx context.Context, node string, files []string) (types typeLookup, from string, done func(), err error) {
	done = func() {}
	if len(files) > 0 {
		known := map[string]*contract.Type{}
		for _, f := range files {
			var t tx.TrustType
			if err := readJSON(f, &t); err != nil {
				return nil, "", done, err
			}
			ct := &contract.Type{VCT: t.VCT, Assurance: t.Assurance}
			for _, cl := range t.Claims {
				ct.Claims = append(ct.Claims, contract.Claim{Path: cl.Path, Type: cl.Type})
			}
			known[t.VCT] = ct
		}
		return func(vct string) (*contract.Type, error) { return known[vct], nil }, "the given files", done, nil
	}
	s, err := a.connect(node, false)
	if errors.Is(err, home.ErrNoHome) || errors.Is(err, home.ErrNotRunning) {
		return nil, "", done, nil
	}
	if err != nil {
		return nil, "", done, err
	}
	return ledgerTypes(ctx, s), "the ledger", func() { _ = s.Close() }, nil
}

// ledgerTypes finds types as they are published now.
func ledgerTypes(ctx context.Context, s *session) typeLookup {
	return func(vct string) (t *contract.Type, err error) {
		err = s.Read(ctx, func(v client.View) error {
			t, err = trust.ContractTypes(v)(vct)
			return err
		})
		return t, err
	}
}

// checkContract returns what is wrong with a text; types may be nil. A text whose owner is still "self"
// is checked as publication will see it, with a DID in its place.
func checkContract(text []byte, types typeLookup) (contract.Problems, error) {
	if owned, err := contract.SetOwner(text, (hufu.ID{1}).DID("check")); err == nil {
		text = owned
	}
	c, err := contract.Parse(text)
	var problems contract.Problems
	switch {
	case errors.As(err, &problems):
		// Of a text too wrong to have its owner set, that is the least.
		return slices.DeleteFunc(problems, func(p contract.Problem) bool { return p.Rule == contract.RuleSelf }), nil
	case err != nil || types == nil:
		return nil, err
	}
	return contract.Check(c, types)
}

func (a *app) reportProblems(file string, problems contract.Problems, typesFrom string) error {
	out := make([]contractProblem, 0, len(problems))
	for _, p := range problems {
		out = append(out, contractProblem{file, p.Line, p.Column, p.Rule, p.Message, p.Hint})
	}
	err := a.emit(out, func(w io.Writer) {
		for _, p := range out {
			fmt.Fprintf(w, "%s:%d:%d: %s\n", p.File, p.Line, p.Column, p.Message)
			if p.Hint != "" {
				fmt.Fprintf(w, "    %s\n", p.Hint)
			}
		}
		switch {
		case len(out) > 0:
		case typesFrom == "":
			fmt.Fprintf(w, "%s: the text is right; claims were not checked (no --type files, no running ledger)\n", file)
		default:
			fmt.Fprintf(w, "%s: right, checked against the types of %s\n", file, typesFrom)
		}
	})
	if err == nil && len(out) > 0 {
		return silentError{errContract}
	}
	return err
}

func (a *app) gatePublishCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:   "publish FILE --as NAME",
		Short: "Publish an access contract on the ledger",
		Long: `Publishes the text of the file as it is, except that owner = "self" becomes the DID of the identity that
publishes. The ledger checks it again and refuses what "hufu gate check" refuses.`,
		Example: "  hufu gate publish examples/contracts/reading-room.toml --as library",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readContract(args[0])
			if err != nil {
				return err
			}
			return a.withActor(c.Context(), node, as, func(l *session, actor *home.Actor) error {
				owned, err := contract.SetOwner(text, actor.DID())
				var wrong contract.Problems
				if errors.As(err, &wrong) {
					if problems, err := checkContract(text, nil); err != nil || len(problems) > 0 {
						return errors.Join(err, a.reportProblems(args[0], problems, ""))
					}
					return a.reportProblems(args[0], wrong, "") // right, but somebody else's
				}
				if err != nil {
					return err
				}
				text := owned
				// The ledger would refuse the same, but can only name the first mistake.
				problems, err := checkContract(text, ledgerTypes(c.Context(), l))
				if err != nil {
					return err
				}
				if len(problems) > 0 {
					return a.reportProblems(args[0], problems, "the ledger")
				}
				parsed, err := contract.Parse(text)
				if err != nil {
					return err
				}
				r, err := actor.Submit(c.Context(), &tx.ContractPublish{Name: parsed.Name, Version: parsed.Version, Text: string(text)}, nil)
				if err != nil {
					return err
				}
				return a.emitWritten(fmt.Sprintf("published %s version %d", parsed.ID(), parsed.Version), actor.DID(), r)
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home that owns the contract")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}

func (a *app) gateRetireCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:     "retire NAME --as NAME",
		Short:   "Retire a contract: its door stays shut from the next block on",
		Example: "  hufu gate retire reading-room --as library",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withActor(c.Context(), node, as, func(_ *session, actor *home.Actor) error {
				r, err := actor.Submit(c.Context(), &tx.ContractRetire{Name: args[0]}, nil)
				if err != nil {
					return err
				}
				return a.emitWritten("retired "+args[0], actor.DID(), r)
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home that owns the contract")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}

// openGate makes the gate of one of the home's identities, on the home's database.
func (a *app) openGate(ctx context.Context, l *session, name, responseURI string) (*gate.Gate, func() error, error) {
	st, err := gate.OpenStore(ctx, a.database(l.home, home.GateFile))
	if err != nil {
		return nil, nil, err
	}
	g, err := newGate(ctx, l, st, name, responseURI, func(*gate.Config) {})
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return g, st.Close, nil
}

// newGate makes the gate of one of the home's identities. more adds to its configuration.
func newGate(ctx context.Context, l *session, st gate.Store, name, responseURI string, more func(*gate.Config)) (*gate.Gate, error) {
	d, err := l.home.Identity(name)
	if err != nil {
		return nil, err
	}
	key, err := l.roleKey(ctx, name, home.GateMethod)
	if err != nil {
		return nil, err
	}
	seal, err := l.home.GateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := gateCertificate(ctx, l, name, d, responseURI)
	if err != nil {
		return nil, err
	}
	c := gate.Config{
		DID: d, Fragment: key.fragment, Signer: key.signer, Ledger: l, Stapler: l, Store: st, ResponseURI: responseURI, Certificate: certificate, Seal: seal,
	}
	more(&c)
	return gate.New(c)
}

// gateURL is where wallets post their answers to the gate of that name, on the origin of "hufu up".
func gateURL(origin, name string) string { return origin + "/gates/" + name + "/gate/response" }

func (a *app) gateRequestCmd() *cobra.Command {
	var node, as, uri string
	var asked sessionFlags
	c := &cobra.Command{
		Use:   "request --contract ID",
		Short: "Ask for what a published contract asks for, once",
		Long: `With --contract, opens a session at the process that serves --home and prints the link that invokes a
wallet; "hufu gate result" says what came of it. With a contract's name as argument and --as, needs no such
process: prints the signed request itself, whose answer "hufu gate decide" judges.`,
		Example: `  hufu gate request --contract reading-room --json
  hufu gate request reading-room --as library > request.jwt`,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case asked.contract != "" && len(args) == 0:
				return a.askSession(c, as, &asked)
			case asked.contract != "" || len(args) == 0:
				return usageOf(c, errors.New("name the contract with --contract, or as the argument"))
			case as == "":
				return usageOf(c, errors.New("--as says whose contract it is"))
			}
			return a.withSession(c.Context(), node, true, func(l *session) error {
				if uri == "" {
					uri = gateURL("http://127.0.0.1", as)
					if r, err := l.home.GetRunning(); err == nil {
						uri = gateURL(r.Listen, as)
					}
				}
				g, done, err := a.openGate(c.Context(), l, as, uri)
				if err != nil {
					return err
				}
				request, err := g.Request(c.Context(), hufu.ContractID{Owner: g.DID, Name: args[0]})
				if err = errors.Join(err, done()); err != nil {
					return err
				}
				return a.emit(map[string]string{"request": request}, func(w io.Writer) { fmt.Fprintln(w, request) })
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home that owns the contract")
	c.Flags().StringVar(&uri, "response-uri", "", "where wallets post their answers to a request that is printed")
	asked.add(c)
	return nodeFlag(c, &node)
}

// answerFile is an answer as "hufu wallet present" writes it and the gate reads it.
type answerFile struct {
	State   string          `json:"state"`
	VPToken json.RawMessage `json:"vp_token"`
}

func readAnswer(path string) (oid4vp.Response, error) {
	var f answerFile
	if err := readJSON(path, &f); err != nil {
		return oid4vp.Response{}, err
	}
	token, err := oid4vp.ParseVPToken(f.VPToken)
	return oid4vp.Response{VPToken: token, State: f.State}, err
}

func (a *app) gateDecideCmd() *cobra.Command {
	var node, as, out string
	c := &cobra.Command{
		Use:     "decide ANSWER --as NAME",
		Short:   "Judge a wallet's answer and keep the signed receipt",
		Example: "  hufu gate decide answer.json --as library --receipt receipt.jwt",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			answer, err := readAnswer(args[0])
			if err != nil {
				return err
			}
			return a.withSession(c.Context(), node, true, func(l *session) error {
				g, done, err := a.openGate(c.Context(), l, as, "")
				if err != nil {
					return err
				}
				o, err := g.Respond(c.Context(), answer)
				if err = errors.Join(err, done()); err != nil {
					return err
				}
				if out != "" {
					if err := os.WriteFile(filepath.Clean(out), []byte(o.Token+"\n"), 0o600); err != nil {
						return err
					}
				}
				return a.reportDecision(o)
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home whose gate asked")
	c.Flags().StringVar(&out, "receipt", "", "also write the signed receipt to this file")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}

// errDenied ends a command whose decision, already printed, is deny.
var errDenied = errors.New("denied")

func (a *app) reportDecision(o *gate.Outcome) error {
	r := &o.Receipt
	err := a.emit(accountOfDecision(r, o.Token), func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", o.Decision)
		if o.Decision == hufu.Allow {
			fmt.Fprintf(w, "  by %v, until %s\n", r.Policies, r.Until.Format(time.RFC3339))
		} else {
			fmt.Fprintf(w, "  %s %s\n", r.Rule, r.Reason)
		}
		fmt.Fprintf(w, "  on the ledger at height %d, %s old\n", r.AsOf.Height, r.Staleness)
	})
	if err == nil && o.Decision != hufu.Allow {
		return silentError{errDenied}
	}
	return err
}
