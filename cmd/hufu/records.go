package main

import (
	"encoding/hex"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/wallet"
)

// The accounts below are what --json prints of the ledger's records: identifiers as DIDs and times as
// RFC 3339, where the ledger has 32 bytes and seconds.

func unix(s int64) time.Time { return time.Unix(s, 0).UTC() }

// proposalAccount is a proposal with its votes.
type proposalAccount struct {
	Proposal hufu.Digest     `json:"proposal"`
	Title    string          `json:"title"`
	By       hufu.DID        `json:"by"`
	Height   hufu.Height     `json:"height"`
	Ends     time.Time       `json:"ends"`
	Actions  []actionAccount `json:"actions"`
	Votes    []voteAccount   `json:"votes"`
	Executed hufu.Height     `json:"executed,omitempty"`
}

type voteAccount struct {
	Member  hufu.DID    `json:"member"`
	Approve bool        `json:"approve"`
	Height  hufu.Height `json:"height"`
}

// actionAccount is one thing that members decide; what an action does not have is left out.
type actionAccount struct {
	Action    string      `json:"action"`
	Subject   hufu.DID    `json:"subject,omitempty"`
	Name      string      `json:"name,omitempty"`
	Power     uint64      `json:"power,omitempty"`
	Validator string      `json:"validator_key,omitempty"` // hexadecimal
	Quota     uint64      `json:"quota,omitempty"`
	OpenQuota uint64      `json:"open_quota,omitempty"`
	Types     []string    `json:"types,omitempty"`
	Delegate  uint8       `json:"delegate,omitempty"`
	NotBefore *time.Time  `json:"not_before,omitempty"`
	NotAfter  *time.Time  `json:"not_after,omitempty"`
	From      hufu.Height `json:"from,omitempty"`
	Stand     *bool       `json:"stand,omitempty"`
	Params    *tx.Params  `json:"params,omitempty"`
}

func accountOfProposal(p *gov.Proposal, n hufu.Network) proposalAccount {
	out := proposalAccount{
		Proposal: p.ID, Title: p.Title, By: p.By.DID(n), Height: p.Height, Ends: unix(p.Ends), Executed: p.Executed,
		Actions: []actionAccount{}, Votes: []voteAccount{},
	}
	for i := range p.Actions {
		out.Actions = append(out.Actions, accountOfAction(&p.Actions[i], n))
	}
	for _, v := range p.Votes {
		out.Votes = append(out.Votes, voteAccount{v.Member.DID(n), v.Approve, v.Height})
	}
	return out
}

func accountOfAction(a *tx.Action, n hufu.Network) actionAccount {
	terms := func(action string, m *tx.MemberTerms) actionAccount {
		return actionAccount{
			Action: action, Subject: m.Member.DID(n), Name: m.Name, Power: m.Power, Quota: m.Quota, OpenQuota: m.OpenQuota,
			Validator: hex.EncodeToString(m.ValidatorKey),
		}
	}
	switch {
	case a.AdmitMember != nil:
		return terms("admit", a.AdmitMember)
	case a.SetMember != nil:
		return terms("set", a.SetMember)
	case a.RemoveMember != nil:
		return actionAccount{Action: "remove", Subject: a.RemoveMember.Member.DID(n)}
	case a.SetParams != nil:
		return actionAccount{Action: "params", Params: a.SetParams}
	case a.Accredit != nil:
		g := &a.Accredit.Grant
		from, to := unix(g.NotBefore), unix(g.NotAfter)
		return actionAccount{
			Action: "accredit", Subject: a.Accredit.Subject.DID(n), Types: g.Types, Delegate: g.Delegate, NotBefore: &from, NotAfter: &to,
		}
	case a.Withdraw != nil:
		w := a.Withdraw
		return actionAccount{Action: "withdraw", Subject: w.Subject.DID(n), Types: []string{w.Type}, From: w.From, Stand: &w.Stand}
	case a.Upgrade != nil:
		return actionAccount{Action: "upgrade", Name: a.Upgrade.Name, From: a.Upgrade.Height}
	}
	return actionAccount{Action: "unknown"}
}

// typeAccount is a published credential type.
type typeAccount struct {
	VCT       string         `json:"vct"`
	Version   uint32         `json:"version"`
	Assurance string         `json:"assurance"`
	Owner     hufu.DID       `json:"owner"`
	Height    hufu.Height    `json:"height"`
	Display   []namedIn      `json:"display"`
	Claims    []claimAccount `json:"claims"`
}

type namedIn struct {
	Lang        string `json:"lang"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

type claimAccount struct {
	Path      []string    `json:"path"`
	Type      string      `json:"type"`
	Selective string      `json:"selective"`
	Display   []labeledIn `json:"display"`
}

type labeledIn struct {
	Lang  string `json:"lang"`
	Label string `json:"label"`
}

func accountOfType(t *trust.TypeRecord, n hufu.Network) typeAccount {
	out := typeAccount{
		VCT: t.VCT, Version: t.Version, Assurance: t.Assurance, Owner: t.Owner.DID(n), Height: t.Height,
		Display: []namedIn{}, Claims: []claimAccount{},
	}
	for _, d := range t.Display {
		out.Display = append(out.Display, namedIn(d))
	}
	for _, c := range t.Claims {
		claim := claimAccount{Path: c.Path, Type: c.Type, Selective: c.Selective, Display: []labeledIn{}}
		for _, d := range c.Display {
			claim.Display = append(claim.Display, labeledIn(d))
		}
		out.Claims = append(out.Claims, claim)
	}
	return out
}

// linkAccount is one step of an accreditation chain.
type linkAccount struct {
	Subject   hufu.DID     `json:"subject"`
	By        hufu.DID     `json:"by,omitempty"`       // none: the members together
	Proposal  *hufu.Digest `json:"proposal,omitempty"` // by which they decided
	Height    hufu.Height  `json:"height"`
	Delegate  uint8        `json:"delegate"`
	NotBefore time.Time    `json:"not_before"`
	NotAfter  time.Time    `json:"not_after"`
}

func accountOfChain(chain []trust.Link, n hufu.Network) []linkAccount {
	out := []linkAccount{}
	for i := range chain {
		g := &chain[i].Grant
		l := linkAccount{
			Subject: chain[i].Subject.DID(n), Height: g.Height, Delegate: g.Delegate, NotBefore: unix(g.NotBefore), NotAfter: unix(g.NotAfter),
		}
		if g.Root() {
			l.Proposal = &g.Proposal
		} else {
			l.By = g.By.DID(n)
		}
		out = append(out, l)
	}
	return out
}

// stockAccount is what a wallet holds of one credential.
type stockAccount struct {
	Type    string     `json:"type"`
	Format  string     `json:"format"`
	Issuer  hufu.DID   `json:"issuer"`
	Foreign bool       `json:"foreign,omitempty"` // the ledger does not know the issuer
	Expires *time.Time `json:"expires,omitempty"`
	Copies  int        `json:"copies"`
	Left    int        `json:"left"`
	Refills bool       `json:"refills"`
}

func accountOfStock(list []wallet.Stock) []stockAccount {
	out := []stockAccount{}
	for _, s := range list {
		a := stockAccount{
			Type: s.Type, Format: s.Format, Issuer: s.Issuer, Foreign: s.Foreign, Copies: s.Copies, Left: s.Left, Refills: s.Refills,
		}
		if !s.Expires.IsZero() {
			a.Expires = &s.Expires
		}
		out = append(out, a)
	}
	return out
}

// visitAccount is one request that a wallet got. What was shown is named, not repeated.
type visitAccount struct {
	Time     time.Time      `json:"time"`
	Gate     hufu.DID       `json:"gate,omitempty"`
	Client   string         `json:"client_id,omitempty"` // of a stranger
	Contract string         `json:"contract,omitempty"`
	Version  uint32         `json:"version,omitempty"`
	Issuer   string         `json:"issuer,omitempty"` // whose offer it was
	Got      int            `json:"got,omitempty"`
	Refused  hufu.Rule      `json:"refused,omitempty"`
	Shown    []shownAccount `json:"shown"`
	Receipt  string         `json:"receipt,omitempty"`
}

type shownAccount struct {
	Type   string   `json:"type"`
	Claims []string `json:"claims"`
}

func accountOfVisits(visits []wallet.Visit) []visitAccount {
	out := []visitAccount{}
	for i := range visits {
		v := &visits[i]
		a := visitAccount{
			Time: v.Time, Gate: v.Gate, Client: v.Client, Issuer: v.Issuer, Got: v.Got, Contract: v.Contract, Version: v.Version, Refused: v.Refused, Receipt: v.Receipt,
			Shown: []shownAccount{},
		}
		for _, s := range v.Shown {
			a.Shown = append(a.Shown, shownAccount{s.Type, s.Claims})
		}
		out = append(out, a)
	}
	return out
}

// decisionAccount is one decision with its receipt: no claim, only the commitment to what was shown.
type decisionAccount struct {
	Decision   hufu.Decision `json:"decision"`
	Policies   []string      `json:"policies"`
	Rule       hufu.Rule     `json:"rule,omitempty"`
	Reason     string        `json:"reason,omitempty"`
	Contract   string        `json:"contract,omitempty"`
	Version    uint32        `json:"version,omitempty"`
	Hash       *hufu.Digest  `json:"hash,omitempty"` // of the contract's text
	AsOf       hufu.AsOf     `json:"as_of"`
	StaleS     float64       `json:"staleness_s"`
	Time       time.Time     `json:"time"`
	Until      *time.Time    `json:"until,omitempty"`
	Commitment hufu.Digest   `json:"commitment"`
	Receipt    string        `json:"receipt"` // signed
}

func accountOfDecision(r *receipt.Receipt, token string) decisionAccount {
	out := decisionAccount{
		Decision: r.Decision, Policies: r.Policies, Rule: r.Rule, Reason: r.Reason, AsOf: r.AsOf, StaleS: r.Staleness.Seconds(),
		Time: r.Time, Commitment: r.Commitment, Receipt: token,
	}
	if out.Policies == nil {
		out.Policies = []string{}
	}
	if r.Contract != (hufu.ContractID{}) {
		out.Contract, out.Version, out.Hash = r.Contract.String(), r.Version, &r.Hash
	}
	if !r.Until.IsZero() {
		out.Until = &r.Until
	}
	return out
}
