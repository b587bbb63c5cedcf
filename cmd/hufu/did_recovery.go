package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
)

// What a recovery waits for when its owner says nothing else: long enough to come back from a holiday, and
// an hour and more of the blocks of a quiet ledger.
const (
	defaultDelay       = 14 * 24 * time.Hour
	defaultDelayBlocks = 1000
)

// guardFlags are what hufu did guard is told.
type guardFlags struct {
	node, out string
	guardians []string
	threshold uint8
	blocks    uint64
	delay     time.Duration
	none      bool
}

func (a *app) didGuardCmd() *cobra.Command {
	var f guardFlags
	c := &cobra.Command{
		Use:   "guard NAME",
		Short: "Name the guardians who can recover an identifier together",
		Long: `Rotates to the keys committed to before, and with that names new guardians in place of any old ones. As many
of them as --threshold can give the identifier new keys when its own are lost; that takes effect after
--delay and --delay-blocks, in which the present keys can veto it. Whoever stole the present keys
cannot change guardians.

The ledger does not say who they are. One file for each is written to --out: give it to that guardian, who
needs it to approve a recovery, and keep a copy. It tells its reader who is a guardian of whom.`,
		Example: `  hufu did guard alice --guardian did:hufu:hufu-dev:z6tW... --guardian bob --threshold 2 --out openings
  hufu did guard alice --none`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return a.withActor(c.Context(), f.node, args[0], func(l *session, actor *home.Actor) error {
				if f.none {
					r, err := actor.Guard(c.Context(), new(tx.Guard))
					if err != nil {
						return err
					}
					return a.emitWritten(args[0]+" has no guardians, and new control keys", actor.DID(), r)
				}
				return a.guard(c, l, actor, args[0], &f)
			})
		},
	}
	fs := c.Flags()
	fs.StringArrayVar(&f.guardians, "guardian", nil, "DID, or name in this home, of a guardian; repeat for each")
	fs.Uint8Var(&f.threshold, "threshold", 0, "how many guardians have to approve")
	fs.DurationVar(&f.delay, "delay", defaultDelay, "how long a recovery waits, such as 336h")
	fs.Uint64Var(&f.blocks, "delay-blocks", defaultDelayBlocks, "for how many blocks it waits at least")
	fs.StringVar(&f.out, "out", "", "directory for the guardians' files, made when it is not there")
	fs.BoolVar(&f.none, "none", false, "have no guardians from now on")
	return nodeFlag(c, &f.node)
}

func (f *guardFlags) check() error {
	switch {
	case f.none && (len(f.guardians) > 0 || f.threshold > 0 || f.out != ""):
		return usagef("--none goes without guardians")
	case f.none:
		return nil
	case len(f.guardians) == 0:
		return usagef("no guardians: give --guardian for each, or --none")
	case f.threshold == 0 || int(f.threshold) > len(f.guardians):
		return usagef("--threshold is how many of the %d guardians have to approve: 1 to %d", len(f.guardians), len(f.guardians))
	case f.out == "":
		return usagef("no directory for the guardians' files: give --out")
	case f.delay%time.Second != 0 || f.delay < time.Second || f.delay/time.Second > math.MaxUint32:
		return usagef("--delay of %s: give whole seconds", f.delay)
	}
	return nil
}

// guarded is the account of naming guardians.
type guarded struct {
	written
	Openings []string `json:"openings"` // files
}

func (a *app) guard(c *cobra.Command, l *session, actor *home.Actor, name string, f *guardFlags) error {
	g := home.Guardians{Threshold: f.threshold, DelayBlocks: hufu.Height(f.blocks), DelaySeconds: uint32(f.delay / time.Second)}
	for _, n := range f.guardians {
		d, err := l.home.Resolve(n)
		if err != nil {
			return err
		}
		g.DIDs = append(g.DIDs, d)
	}
	guard, openings, err := actor.NewGuard(rand.Reader, g)
	if err != nil {
		return err
	}
	if err := actor.CheckGuardians(c.Context(), g.DIDs); err != nil {
		return err
	}
	// The files first: guardians without them would guard nothing.
	files, err := writeOpenings(f.out, openings)
	if err != nil {
		return err
	}
	r, err := actor.Guard(c.Context(), guard)
	if err != nil {
		if hufu.RuleOf(err) != "" { // it is certain that nothing happened
			for _, file := range files {
				err = errors.Join(err, os.Remove(file))
			}
		}
		return err
	}
	return a.emit(guarded{written{actor.DID(), r.TxID, r.Height}, files}, func(w io.Writer) {
		fmt.Fprintf(w, "%s has new control keys, and any %d of %d guardians can recover it after %s and %d blocks: in block %d, transaction %s\n",
			name, f.threshold, len(files), f.delay, f.blocks, r.Height, r.TxID)
		for i, file := range files {
			fmt.Fprintf(w, "give %s to %s\n", file, openings[i].Guardian)
		}
	})
}

func writeOpenings(dir string, openings []home.Opening) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files := make([]string, len(openings))
	for i := range openings {
		files[i] = filepath.Join(dir, fmt.Sprintf("guardian-%d.json", i+1))
		if err := writeNew(files[i], jsonWriter(&openings[i])); err != nil {
			for _, file := range files[:i] {
				err = errors.Join(err, os.Remove(file))
			}
			return nil, err
		}
	}
	return files, nil
}

func jsonWriter(v any) func(io.Writer) error {
	return func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
}

func (a *app) didRecoverCmd() *cobra.Command {
	return group("recover", "Get an identifier back whose keys are lost: plan it, and approve it as a guardian",
		"  hufu did recover plan alice-again --did did:hufu:hufu-dev:z6tW... --out alice.plan\n"+
			"  hufu did recover approve alice.plan --opening guardian-1.json --as bob",
		a.didRecoverPlanCmd(), a.didRecoverApproveCmd())
}

func (a *app) didRecoverPlanCmd() *cobra.Command {
	var node, of, out, suite string
	var fall bool
	c := &cobra.Command{
		Use:   "plan NAME --did DID --out FILE",
		Short: "Make new keys for a lost identifier, for its guardians to approve",
		Long: `Makes new keys in this home, under a name that only this home knows, and writes the plan for the guardians: give
it to them, and tell them its digest by a way on which they know you. With --fall, what the lost keys signed
no longer stands. When enough have approved it and the delay has passed, say: hufu did finish NAME.`,
		Example: "  hufu did recover plan alice-again --did did:hufu:hufu-dev:z6tW... --out alice.plan",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := keys.SuiteByName(suite)
			if err != nil {
				return usageError{err}
			}
			if of == "" || out == "" {
				return usagef("give the lost identifier with --did, and the plan's file with --out")
			}
			return a.withSession(c.Context(), node, true, func(l *session) error {
				d, err := l.home.Resolve(of)
				if err != nil {
					return err
				}
				p, err := l.home.PlanRecovery(c.Context(), l.Client, args[0], d, s, fall)
				if err != nil {
					return err
				}
				if err := writeNew(out, jsonWriter(&p)); err != nil {
					return err
				}
				return a.emit(p, func(w io.Writer) {
					fmt.Fprintf(w, "plan %s for %s written to %s\n", p.Digest, d, out)
				})
			})
		},
	}
	f := c.Flags()
	f.StringVar(&of, "did", "", "the identifier whose keys are lost")
	f.StringVar(&out, "out", "", "file for the plan")
	f.StringVar(&suite, "suite", keys.Ed25519.Name(), "suite of the new control keys: Ed25519, P-256 or SM2")
	f.BoolVar(&fall, "fall", false, "signatures of the lost keys no longer stand (they were stolen)")
	return nodeFlag(c, &node)
}

// speaker is who a command acts as, and who pays.
type speaker struct{ node, sponsor string }

func (s *speaker) flags(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&s.sponsor, "sponsor", "", "member of this home whose quota is charged (default: the member that brought the author in)")
	return nodeFlag(c, &s.node)
}

// pays is the sponsor, or nobody.
func (s *speaker) pays(l *session) (*home.Actor, error) {
	if s.sponsor == "" {
		return nil, nil
	}
	return l.actor(s.sponsor)
}

func (a *app) didRecoverApproveCmd() *cobra.Command {
	var s speaker
	var opening, as string
	c := &cobra.Command{
		Use:   "approve PLAN --opening FILE --as NAME",
		Short: "Approve a recovery as one of the identifier's guardians",
		Long: `Approves a plan for an identifier that NAME is a guardian of. Compare its digest with the one the owner tells
you by a way on which you know the owner: whoever made the plan gets the identifier. With the last approval
that the owner asked for, the recovery is pending. From then on the ledger shows that you are a guardian.`,
		Example: "  hufu did recover approve alice.plan --opening guardian-1.json --as bob",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if opening == "" || as == "" {
				return usagef("give the guardian's file with --opening, and its name in this home with --as")
			}
			var p home.RecoveryPlan
			var o home.Opening
			if err := errors.Join(readJSON(args[0], &p), readJSON(opening, &o)); err != nil {
				return err
			}
			return a.withActor(c.Context(), s.node, as, func(l *session, actor *home.Actor) error {
				pays, err := s.pays(l)
				if err != nil {
					return err
				}
				r, err := actor.ApproveRecovery(c.Context(), p, o, pays)
				if err != nil {
					return err
				}
				return a.emitWritten(fmt.Sprintf("%s approves plan %s for %s", as, p.Digest, p.Identifier), p.Identifier, r)
			})
		},
	}
	c.Flags().StringVar(&opening, "opening", "", "the file that the owner gave this guardian")
	c.Flags().StringVar(&as, "as", "", "name of the guardian in this home")
	return s.flags(c)
}

func (a *app) didVetoCmd() *cobra.Command {
	return a.recoveryCmd(&cobra.Command{
		Use:   "veto NAME",
		Short: "End a recovery of an identifier that its owner did not ask for",
		Long: `Ends whatever recovery is under way, with the present keys. The guardians have to begin again, and cannot for
as long as a recovery is pending. When the present keys were stolen, too: hufu did rotate NAME --fall.`,
		Example: "  hufu did veto alice",
	}, "ended the recovery of %s", func(c *cobra.Command, actor, pays *home.Actor) (client.Receipt, error) {
		return actor.Submit(c.Context(), &tx.DIDVeto{}, pays)
	})
}

func (a *app) didFinishCmd() *cobra.Command {
	return a.recoveryCmd(&cobra.Command{
		Use:   "finish NAME",
		Short: "Take an identifier back after the delay of its recovery",
		Long: `Gives the identifier the keys of its pending recovery, which this home made with: hufu did recover plan. Whether and
from when says: hufu did resolve NAME. Look through its verification methods afterwards: whoever had the old
keys may have added some.`,
		Example: "  hufu did finish alice-again",
	}, "recovered %s", func(c *cobra.Command, actor, pays *home.Actor) (client.Receipt, error) {
		return actor.FinishRecovery(c.Context(), pays)
	})
}

// recoveryCmd makes c the command of one transaction by an identity.
func (a *app) recoveryCmd(c *cobra.Command, said string, do func(c *cobra.Command, actor, pays *home.Actor) (client.Receipt, error)) *cobra.Command {
	var s speaker
	c.Args = usageArgs(cobra.ExactArgs(1))
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.withActor(c.Context(), s.node, args[0], func(l *session, actor *home.Actor) error {
			pays, err := s.pays(l)
			if err != nil {
				return err
			}
			r, err := do(c, actor, pays)
			if err != nil {
				return err
			}
			return a.emitWritten(fmt.Sprintf(said, args[0]), actor.DID(), r)
		})
	}
	return s.flags(c)
}
