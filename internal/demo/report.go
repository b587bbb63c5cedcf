package demo

import (
	"fmt"

	"github.com/hufu-id/hufu"
)

// Report is the machine-readable account of one demonstration.
type Report struct {
	People     int     `json:"people"`          // people enrolled
	PeopleMdoc int     `json:"people_mdoc"`     // of them, who hold mdocs
	Copies     int     `json:"copies"`          // credential copies issued
	IssuePerS  float64 `json:"issue_per_s"`     // copies per second, from the offer to the wallet's having checked them
	Decisions  int     `json:"decisions"`       // doors tried by everybody
	Wrong      int     `json:"decisions_wrong"` // decisions that differ from the roster's answer
	Allowed    int     `json:"decisions_allow"`
	VerifyPerS float64 `json:"verify_per_s"`   // presentations per second, from the door's asking to the wallet's having checked the receipt
	Exchanges  int64   `json:"http_exchanges"` // requests that wallets made, and answers to them

	Attacks map[string]hufu.Rule `json:"attacks"` // attack: the rule that refused it

	Revoked           int     `json:"revoked"`              // people revoked in one batch
	RevokedCopies     int     `json:"revoked_copies"`       // status entries in that batch
	RevokeToRefusalMS float64 `json:"revoke_to_refusal_ms"` // transaction sent → the gate refuses

	LedgerTxTotal  int `json:"ledger_tx_total"`
	LedgerTxDuring int `json:"ledger_tx_during_verification"`

	Restart struct {
		Acknowledged int `json:"acknowledged"` // transactions acknowledged before the kill
		Lost         int `json:"lost"`
	} `json:"restart"`
	Offline struct {
		StalenessS float64       `json:"staleness_s"`
		Decision   hufu.Decision `json:"decision"`
	} `json:"offline"`
	Audit struct {
		Blocks       int  `json:"blocks"`
		AppHashMatch bool `json:"app_hash_match"`
	} `json:"audit"`
	Leaks   int `json:"leaks"`
	Needles int `json:"needles"` // identifying values searched for, in all their forms

	Heights struct {
		First hufu.Height `json:"first"`
		Last  hufu.Height `json:"last"`
	} `json:"heights"`
	WallMS float64 `json:"wall_ms"`

	Failures []string `json:"failures"` // what is not as it must be; empty when all is well
}

// must records a failure unless ok.
func (r *Report) must(ok bool, format string, args ...any) {
	if !ok {
		r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
	}
}

// judge checks what only the whole report can show.
func (r *Report) judge(wantDecisions int) {
	r.must(r.Decisions == wantDecisions, "%d decisions were made, not %d", r.Decisions, wantDecisions)
	r.must(r.Wrong == 0, "%d decisions differ from the roster's answer", r.Wrong)
	r.must(r.Allowed > 0 && r.Allowed < r.Decisions, "every door gave everybody the same answer")
	r.must(r.LedgerTxDuring == 0, "%d transactions were written while people were verified", r.LedgerTxDuring)
	r.must(r.Restart.Acknowledged > 0, "the node was killed before it acknowledged anything")
	r.must(r.Restart.Lost == 0, "%d acknowledged transactions were lost by the kill", r.Restart.Lost)
	r.must(r.Revoked > 0, "nobody was revoked")
	r.must(r.Offline.Decision == hufu.Allow, "the offline verification did not let the right person in")
	r.must(r.Audit.AppHashMatch && r.Audit.Blocks > 0, "the audit did not reach the ledger's app hash")
	r.must(r.Needles > 0, "no identifying value was searched for")
	r.must(r.Leaks == 0, "%d identifying values of the roster were found in the ledger", r.Leaks)
	for _, name := range attackNames {
		r.must(r.Attacks[name] != "", "the attack %q was not refused", name)
	}
}
