package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
)

// errDivergence ends an audit that found the ledger to be other than its rules make it.
var errDivergence = errors.New("the ledger is not what its rules make it")

// auditing is what an audit is told on the command line.
type auditing struct {
	target
	disk, from    string
	until         uint64
	html, journal string
}

func (a *app) auditCmd() *cobra.Command {
	var g auditing
	c := &cobra.Command{
		Use:   "audit",
		Short: "Replay the ledger and compare every app hash; say who changed what, by which authority",
		Long: `Replays every block through the ledger's rules into a store of its own, checks every commit, transaction
list, result and app hash against the signed headers, and says where the first thing differs.

It begins with genesis, or with the state in a snapshot file, and reads the blocks from a running node, or
with --disk from the home of one that does not run: then the state that is stored there is compared too,
record by record. --html writes a report for people, --journal a line of JSON for each transaction: who changed
what, and by which authority.`,
		Example: `  hufu audit --home ./net
  hufu audit --genesis genesis.json --node http://127.0.0.1:26657 --json
  hufu audit --genesis genesis.json --disk /srv/copy/net --html report.html --journal changes.jsonl
  hufu audit --from last-year.snapshot`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if g.disk != "" && g.node != "" {
				return usageOf(c, errors.New("--disk and --node are two places to read blocks from: give one"))
			}
			return a.runAudit(c.Context(), &g)
		},
	}
	f := c.Flags()
	f.StringVar(&g.disk, "disk", "", "read blocks from this home of a node that does not run, and compare the state in it")
	f.StringVar(&g.from, "from", "", "begin with the state in this snapshot file, not with genesis")
	f.Uint64Var(&g.until, "until", 0, "last block to replay (default: all there are)")
	f.StringVar(&g.html, "html", "", "write a report for people to this file")
	f.StringVar(&g.journal, "journal", "", "write who changed what, by which authority, to this file: a line of JSON for each transaction")
	g.flags(c)
	c.AddCommand(a.auditSnapshotCmd(), a.auditCheckpointCmd(), a.auditEvidenceCmd())
	return c
}

func (a *app) runAudit(ctx context.Context, g *auditing) (err error) {
	o := audit.Options{Until: hufu.Height(g.until)}
	if g.from != "" {
		trust, err := g.trust(a)
		if err != nil {
			return err
		}
		trust.Period = audit.TrustingPeriod
		if o.From, err = openSnapshot(g.from, trust, 0); err != nil {
			return err
		}
	}
	for _, path := range []string{g.html, g.journal} { // before an hour's work
		if err := absent(path); err != nil {
			return err
		}
	}
	var account audit.Account
	if g.html != "" {
		o.Change = account.Add
	}
	var r *audit.Replayed
	replay := func() (err error) {
		r, err = a.replayFrom(ctx, g, o)
		return err
	}
	if g.journal != "" {
		err = writeNew(g.journal, func(w io.Writer) error {
			out := bufio.NewWriter(w)
			lines := json.NewEncoder(out)
			lines.SetEscapeHTML(false)
			o.Change = func(c *audit.Change) error { return errors.Join(account.Add(c), lines.Encode(c)) }
			return errors.Join(replay(), out.Flush())
		})
	} else {
		err = replay()
	}
	if err != nil {
		return err
	}
	if g.html != "" {
		err = writeNew(g.html, func(w io.Writer) error { return audit.WriteHTML(w, r, &account, time.Now(), version) })
	}
	report := r.Report
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	if err = a.emit(report, func(w io.Writer) { writeReport(w, &report) }); err == nil && !report.AppHashMatch {
		return silentError{errDivergence}
	}
	return err
}

func writeReport(w io.Writer, r *audit.Report) {
	begun := "from genesis"
	if r.From > 0 {
		begun = fmt.Sprintf("from the state after block %d", r.From)
	}
	fmt.Fprintf(w, "network %s: %d blocks and %d transactions replayed %s, %d of them refused by a rule\n", r.Network, r.Blocks, r.Transactions, begun, r.Refused)
	if r.Divergence != nil {
		fmt.Fprintf(w, "DIVERGENCE %v\n", r.Divergence)
		return
	}
	fmt.Fprintf(w, "app hash after block %d: %s, the same as signed\n", r.Height, r.AppHash)
	if r.Disk != nil {
		fmt.Fprintf(w, "stored state of height %d: %d records, each as the blocks make it\n", r.Disk.Height, r.Disk.Records)
	}
	printConvictions(w, r.Convictions)
}

// replayFrom replays from a node or from a disk.
func (a *app) replayFrom(ctx context.Context, g *auditing, o audit.Options) (*audit.Replayed, error) {
	if g.disk == "" {
		return a.replay(ctx, &g.target, o)
	}
	genesis, err := g.readGenesis(a)
	if err != nil {
		return nil, err
	}
	dir := g.disk
	if inner := filepath.Join(dir, home.NodeDir); isDir(inner) {
		dir = inner
	}
	h, err := node.OpenHistory(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	r, err := a.replayBlocks(ctx, genesis, audit.FromHistory(h), o)
	return r, errors.Join(err, h.Close())
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// replay replays the ledger of a running node.
func (a *app) replay(ctx context.Context, t *target, o audit.Options) (*audit.Replayed, error) {
	genesis, err := t.readGenesis(a)
	if err != nil {
		return nil, err
	}
	url, err := t.url(a)
	if err != nil {
		return nil, err
	}
	transport, err := firstThatAnswers(ctx, url)
	if err != nil {
		return nil, err
	}
	r, err := a.replayBlocks(ctx, genesis, audit.FromNode(transport), o)
	return r, errors.Join(err, transport.Close())
}

// firstThatAnswers is of the nodes whose URLs are given, separated by commas, or else the last. A replay needs no witness: it
// checks all there is.
func firstThatAnswers(ctx context.Context, urls string) (*client.HTTP, error) {
	for {
		url, rest, more := strings.Cut(urls, ",")
		transport, err := client.Dial(strings.TrimSpace(url))
		if err != nil || !more {
			return transport, err
		}
		if _, err := transport.First(ctx); err == nil {
			return transport, nil
		}
		if err := transport.Close(); err != nil {
			return nil, err
		}
		urls = rest
	}
}

func (a *app) replayBlocks(ctx context.Context, genesis []byte, from audit.Source, o audit.Options) (*audit.Replayed, error) {
	var add func(int)
	done := func() {}
	o.Tick = func(height, of hufu.Height) {
		if add == nil {
			add, done = a.progress("blocks", int(of-height)+1)
		}
		add(1)
	}
	r, err := audit.Replay(ctx, genesis, from, o)
	done()
	return r, err
}
