package audit

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// MaxListed bounds the changes that an [Account] keeps: a page that a browser still shows.
const MaxListed = 5000

// Account gathers what [WriteHTML] lists. Its Add is for Options.Change.
type Account struct {
	changes []*Change
	left    int
}

// Add keeps a change, unless it is one of those that are counted alone or there are [MaxListed]. It never fails.
func (a *Account) Add(c *Change) error {
	switch {
	case c.Kind == tx.KindDIDCreate || c.Kind == tx.KindAnchorCommit:
	case len(a.changes) == MaxListed:
		a.left++
	default:
		a.changes = append(a.changes, c)
	}
	return nil
}

//go:embed report.html
var reportHTML string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"stamp": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
}).Parse(reportHTML))

// First is the first block that was replayed.
func (r *Report) First() hufu.Height { return r.From + 1 }

type memberRow struct {
	gov.Member
	DID hufu.DID
	By  string // proposal; empty: genesis
}

type kindRow struct {
	Kind  tx.Kind
	Count int
}

// WriteHTML writes the report for people: one page that needs nothing else. made and version say when and
// by what.
func WriteHTML(w io.Writer, r *Replayed, a *Account, made time.Time, version string) error {
	page := struct {
		Report  *Report
		Members []memberRow
		Kinds   []kindRow
		Changes []*Change
		Left    int
		Made    time.Time
		Version string
	}{Report: &r.Report, Changes: a.changes, Left: a.left, Made: made, Version: version}
	members, err := gov.Members(r)
	if err != nil {
		return fmt.Errorf("audit: members: %w", err)
	}
	for i := range members {
		row := memberRow{Member: members[i], DID: members[i].ID.DID(r.Report.Network)}
		if by := members[i].AdmittedBy; by != (hufu.Digest{}) {
			row.By = by.String()
		}
		page.Members = append(page.Members, row)
	}
	for _, kind := range tx.Kinds() {
		if n := r.Kinds[kind]; n > 0 {
			page.Kinds = append(page.Kinds, kindRow{kind, n})
		}
	}
	return reportPage.Execute(w, page)
}
