package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/tlog"
)

const (
	defaultAnchorEvery = 10 * time.Minute
	minAnchorEvery     = time.Minute     // an anchor is for ever: more often is no use to anybody
	followEvery        = 2 * time.Second // how long a receipt may wait for its log
	askTime            = 5 * time.Second // how long the ledger is asked what it has of a log
)

// openLog opens the log of one of the home's identities. It is nil when the identity has no key that signs
// checkpoints.
func (a *app) openLog(ctx context.Context, l *session, as, name string) (*tilelog.Log, error) {
	actor, err := l.home.Actor(as, l) // which key it is can also be read in an outage
	if err != nil {
		return nil, err
	}
	signer, err := actor.CheckpointSigner(ctx)
	if errors.Is(err, home.ErrNoCheckpointKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return tilelog.Open(ctx, l.home.Path(filepath.Join(home.LogsDir, as, name)), tlog.Origin(actor.DID(), name), signer)
}

// keptLog is a log that a process keeps.
type keptLog struct {
	as, name string
	follow   func(context.Context, *anchors.Log) (uint64, error)
	anchor   func(context.Context, *anchors.Log) (*client.Receipt, error) // nil: there was nothing new

	asked bool         // the ledger, what it has of the log. Before, nothing is added: the database may be an older one
	had   *anchors.Log // its answer; what it has since came from here
	held  bool         // the database is an older one
	told  string       // the last warning, which is not repeated until it follows again
}

func gateLog(l *session, as string, g *gate.Gate) keptLog {
	return keptLog{as: as, name: gate.LogName, follow: g.FollowLog, anchor: func(ctx context.Context, last *anchors.Log) (*client.Receipt, error) {
		body, err := g.Log.Anchor(ctx, last)
		if err != nil || body == nil {
			return nil, err
		}
		actor, err := l.actor(as)
		if err != nil {
			return nil, err
		}
		r, err := actor.Submit(ctx, body, nil)
		return &r, err
	}}
}

func issuerLog(as string, s *issuer.Service) keptLog {
	return keptLog{as: as, name: issuer.LogName, follow: s.FollowLog, anchor: s.AnchorLog}
}

// last reads what the ledger has of the log. A node must answer.
func (k *keptLog) last(ctx context.Context, l *session) (last *anchors.Log, err error) {
	d, err := l.home.Identity(k.as)
	if err != nil {
		return nil, err
	}
	_, id, err := d.Parse()
	if err != nil {
		return nil, err
	}
	err = l.Client.Read(ctx, func(v client.View) (err error) {
		fork, err := anchors.GetFork(v, id, k.name)
		if err != nil {
			return err
		}
		if fork != nil {
			return hufu.Refuse(anchors.RuleForked, "the ledger has evidence since block %d that the log contradicted itself", fork.Height)
		}
		last, err = anchors.Get(v, id, k.name)
		return err
	})
	return last, err
}

// keep follows the log's service and anchors it on schedule, until ctx ends. What fails is tried again.
func (k *keptLog) keep(ctx context.Context, log *slog.Logger, l *session, every time.Duration) {
	follow := time.NewTicker(followEvery)
	defer follow.Stop()
	look := time.NewTicker(minAnchorEvery)
	defer look.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-follow.C:
			k.bringUp(ctx, log, l)
		case <-look.C:
			if every > 0 && !k.held {
				k.warn(ctx, log, "the log was not anchored", k.anchorIfDue(ctx, l, every, began))
			}
		}
	}
}

// bringUp puts into the log what is new, unless that would contradict what the ledger has of it.
func (k *keptLog) bringUp(ctx context.Context, log *slog.Logger, l *session) {
	if k.held {
		return
	}
	err := k.ask(ctx, l)
	if err == nil {
		_, err = k.follow(ctx, k.had)
	}
	if k.held = hufu.RuleOf(err) == tilelog.RuleBehind; k.held {
		log.Error("the log gets no more entries, as with the next it would contradict its checkpoint on the ledger: stop, and restore a newer copy of the database",
			"identity", k.as, "log", k.name, "error", err.Error())
		return
	}
	if err == nil {
		k.told = ""
	}
	k.warn(ctx, log, "the log does not follow", err)
}

// ask asks the ledger what it has of the log, until it answers once.
func (k *keptLog) ask(ctx context.Context, l *session) error {
	if k.asked {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	last, err := k.last(ctx, l)
	if err != nil && hufu.RuleOf(err) != anchors.RuleForked { // which nothing can make worse
		return err
	}
	k.asked, k.had = true, last
	return nil
}

func (k *keptLog) warn(ctx context.Context, log *slog.Logger, what string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	if text := what + err.Error(); text != k.told {
		k.told = text
		log.Warn(what, "identity", k.as, "log", k.name, "error", err.Error())
	}
}

// anchorIfDue anchors when the last anchor, or the process's beginning if there is none, was long enough ago.
func (k *keptLog) anchorIfDue(ctx context.Context, l *session, every time.Duration, began time.Time) error {
	last, err := k.last(ctx, l)
	if err != nil {
		return err
	}
	if last != nil {
		began = time.Unix(last.Time, 0)
	}
	if time.Since(began) < every {
		return nil
	}
	_, err = k.anchor(ctx, last)
	return err
}

// keepLog starts keeping a log, and has it end with what s serves, before its service does. It is brought up before it is
// served: one that is made again, as after a restore, would lack entries that its anchor covers, and wallets would accuse it.
func (s *served) keepLog(ctx context.Context, l *session, g *origin, opened *tilelog.Log, k keptLog) {
	k.bringUp(ctx, g.options.Log, l)
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { k.keep(ctx, g.options.Log, l, g.anchorEvery) })
	s.closers = append(s.closers, func() error {
		cancel()
		done.Wait()
		return opened.Close()
	})
}

// anchorAccount is a log and what the ledger has of it.
type anchorAccount struct {
	Origin string      `json:"origin"`
	Size   uint64      `json:"size"`
	Root   hufu.Digest `json:"root"`
	Height hufu.Height `json:"height"`
	New    bool        `json:"new"` // this command put it there
}

var errNoLog = errors.New("no log")

// anchorNow brings a log up and anchors it.
func (a *app) anchorNow(ctx context.Context, l *session, opened *tilelog.Log, k keptLog) error {
	if opened == nil {
		return hint(fmt.Errorf("%s has %w", k.as, errNoLog), "a log's checkpoints are signed with an Ed25519 control key")
	}
	last, err := k.last(ctx, l)
	if err != nil {
		return err
	}
	if _, err := k.follow(ctx, last); err != nil {
		return err
	}
	r, err := k.anchor(ctx, last)
	if err != nil {
		return err
	}
	if r != nil {
		if last, err = k.last(ctx, l); err != nil {
			return err
		}
	}
	if last == nil {
		return a.emit(anchorAccount{}, func(w io.Writer) { fmt.Fprintln(w, "the log is empty: there is nothing to anchor") })
	}
	origin := tlog.Origin(last.Owner.DID(l.Network()), last.Name)
	return a.emit(anchorAccount{origin, last.Size, last.Root, last.Height, r != nil}, func(w io.Writer) {
		if r == nil {
			fmt.Fprintf(w, "%s: size %d, anchored since block %d\n", origin, last.Size, last.Height)
			return
		}
		fmt.Fprintf(w, "%s: size %d, anchored in block %d\n", origin, last.Size, last.Height)
	})
}

func (a *app) gateAnchorCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:   "anchor --as NAME",
		Short: "Put the checkpoint of a gate's log of receipts on the ledger now",
		Long: `Every receipt is an entry of the gate's log, as a digest that says nothing to whoever does not have the receipt.
The process that serves the gate puts the log's checkpoint on the ledger on a schedule (--anchor-every); this
command does it now. It does nothing when the log has not grown since.`,
		Example: "  hufu gate anchor --as library",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withSession(c.Context(), node, true, func(l *session) error {
				g, done, err := a.openGate(c.Context(), l, as, "")
				if err != nil {
					return err
				}
				if g.Log, err = a.openLog(c.Context(), l, as, gate.LogName); err != nil {
					return errors.Join(err, done())
				}
				err = a.anchorNow(c.Context(), l, g.Log, gateLog(l, as, g))
				if g.Log != nil {
					err = errors.Join(err, g.Log.Close())
				}
				return errors.Join(err, done())
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home whose gate it is")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}

func (a *app) issuerAnchorCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:   "anchor",
		Short: "Put the checkpoint of the log of looks at people's files on the ledger now",
		Long: `Every reading of a person's file is an entry of the issuer's log, as a salted digest that says nothing to whoever
does not have the record. The process that serves the issuer puts the log's checkpoint on the ledger on a
schedule (--anchor-every); this command does it now. It does nothing when the log has not grown since.`,
		Example: "  hufu issuer anchor --as agency",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withSession(c.Context(), node, true, func(l *session) error {
				opened, err := a.openLog(c.Context(), l, as, issuer.LogName)
				if err != nil {
					return err
				}
				s, err := a.openIssuer(c.Context(), l, as, "", func(x *issuer.Config, _ roleKey) error {
					x.AccessLog = opened
					return nil
				})
				if err == nil {
					err = errors.Join(a.anchorNow(c.Context(), l, opened, issuerLog(as, s)), s.Close())
				}
				if opened != nil {
					err = errors.Join(err, opened.Close())
				}
				return err
			})
		},
	}
	return issuerFlags(c, &node, &as)
}
