package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

// Change is one transaction of the ledger: who changed what, and by which authority.
type Change struct {
	Height    hufu.Height `json:"height"`
	Time      time.Time   `json:"time"`
	Tx        hufu.Digest `json:"tx"`
	Kind      tx.Kind     `json:"kind"`
	By        hufu.DID    `json:"by"`
	Name      string      `json:"name,omitempty"` // of the member that By is or was
	Keys      []uint8     `json:"keys"`           // indexes of By's control keys that signed
	Sponsor   hufu.DID    `json:"sponsor,omitempty"`
	What      string      `json:"what"`
	Authority string      `json:"authority"`
	Refused   hufu.Rule   `json:"refused,omitempty"` // it changed nothing but its author's sequence and quota
}

// account counts a block's transactions and tells Change of each.
func (r *replay) account(o *node.Outcome) error {
	for i, t := range o.Txs {
		refused := hufu.Rule("")
		if o.Results[i].Code != 0 {
			refused = hufu.Rule(o.Results[i].Data)
			r.out.Refused++
		} else {
			r.out.Kinds[t.Payload.Kind]++
		}
		if r.Change == nil {
			continue
		}
		c, err := r.change(o, t, refused)
		if err != nil {
			return err
		}
		if err := r.Change(c); err != nil {
			return err
		}
	}
	return nil
}

// change tells of one transaction, on the state after its block.
func (r *replay) change(o *node.Outcome, t *tx.Tx, refused hufu.Rule) (*Change, error) {
	j := journalist{replay: r, height: o.Block.Height, tx: t}
	c := &Change{
		Height: o.Block.Height, Time: o.Block.Time.UTC(), Tx: t.ID(), Kind: t.Payload.Kind,
		By: j.did(t.Payload.Author), Refused: refused, Keys: []uint8{},
	}
	for _, s := range t.Signatures {
		if s.Signer == t.Payload.Author {
			c.Keys = append(c.Keys, s.KeyIndex)
		}
	}
	if t.Payload.Sponsor != nil {
		c.Sponsor = j.did(*t.Payload.Sponsor)
	}
	var err error
	if c.Kind != tx.KindDIDCreate { // most of what there is, and by nobody who was there before
		if c.Name, err = j.name(t.Payload.Author); err != nil {
			return nil, err
		}
	}
	c.What = j.what()
	if refused == "" {
		c.Authority, err = j.authority()
	} else {
		c.Authority = "none: refused by " + string(refused)
	}
	return c, err
}

// journalist describes one transaction.
type journalist struct {
	*replay
	height hufu.Height
	tx     *tx.Tx
}

func (j *journalist) did(id hufu.ID) hufu.DID { return id.DID(j.out.Report.Network) }

// name is what the members call id, if it is or was one of them.
func (j *journalist) name(id hufu.ID) (string, error) {
	m, err := gov.GetMember(j.out, id)
	if err != nil {
		return "", err
	}
	if m != nil {
		return m.Name, nil
	}
	f, err := gov.GetFormer(j.out, id)
	if err != nil || f == nil {
		return "", err
	}
	return f.Member.Name, nil
}

// who is id as a person would read it.
func (j *journalist) who(id hufu.ID) (string, error) {
	name, err := j.name(id)
	if err != nil || name == "" {
		return string(j.did(id)), err
	}
	return name, nil
}

// what says what the transaction does.
func (j *journalist) what() string {
	switch b := j.tx.Body.(type) {
	case *tx.DIDCreate:
		return "creates its identifier"
	case *tx.DIDRotate:
		return "rotates its control keys" + fallen(b.Fall)
	case *tx.DIDUpdate:
		return fmt.Sprintf("changes its document: %d methods removed, %d added%s", len(b.RemoveMethods), len(b.AddMethods), ifTrue(b.SetServices != nil, ", services set"))
	case *tx.DIDDeactivate:
		return "deactivates its identifier for good"
	case *tx.DIDRecover:
		return fmt.Sprintf("as guardian, approves recovery %s of %s", b.Plan.Digest(b.Subject), j.did(b.Subject))
	case *tx.DIDVeto:
		return "vetoes the recovery of its identifier"
	case *tx.DIDFinish:
		return "finishes the recovery of its identifier"
	case *tx.GovPropose:
		actions := make([]string, len(b.Actions))
		for i := range b.Actions {
			actions[i] = Sentence(&b.Actions[i], j.out.Report.Network)
		}
		return fmt.Sprintf("proposes %q: %s", b.Title, strings.Join(actions, "; "))
	case *tx.GovVote:
		return fmt.Sprintf("votes %s proposal %s", map[bool]string{true: "for", false: "against"}[b.Approve], b.Proposal)
	case *tx.TrustType:
		return fmt.Sprintf("publishes the type %s, version %d", b.VCT, b.Version)
	case *tx.TrustAccredit:
		return fmt.Sprintf("accredits %s for %s%s", j.did(b.Subject), strings.Join(b.Grant.Types, ", "), term(&b.Grant))
	case *tx.TrustWithdraw:
		return fmt.Sprintf("takes back its accreditation of %s for %s%s", j.did(b.Subject), b.Type, withdrawal(b))
	case *tx.StatusOpen:
		return fmt.Sprintf("opens status list %d with %d entries", b.List, b.Size)
	case *tx.StatusSet:
		parts := make([]string, len(b.Changes))
		for i, c := range b.Changes {
			parts[i] = fmt.Sprintf("%d %s (%s)", len(c.Indexes), c.Status, c.Reason)
		}
		return fmt.Sprintf("sets in status list %d: %s", b.List, strings.Join(parts, ", "))
	case *tx.ContractPublish:
		return fmt.Sprintf("publishes the access contract %s, version %d", b.Name, b.Version)
	case *tx.ContractRetire:
		return "retires the access contract " + b.Name
	case *tx.AnchorCommit:
		if s, err := tlog.Parse(b.Checkpoint); err == nil {
			return fmt.Sprintf("anchors its log %s at %d entries", s.Origin, s.Size)
		}
	case *tx.AnchorReport:
		return "reports that a log was forked"
	}
	return string(j.tx.Payload.Kind)
}

// authority says by what right a transaction took effect. The state it looks at is that after the block.
func (j *journalist) authority() (string, error) {
	switch b := j.tx.Body.(type) {
	case *tx.DIDCreate:
		if j.tx.Payload.Sponsor == nil {
			return "its own new keys", nil
		}
		sponsor, err := j.who(*j.tx.Payload.Sponsor)
		return "its own new keys, on the quota of " + sponsor, err
	case *tx.DIDRotate:
		return "the keys that it committed to before", nil
	case *tx.DIDRecover:
		return j.guardian(b)
	case *tx.DIDFinish:
		return "the approval of its guardians, after the delay", nil
	case *tx.GovPropose:
		return j.ballot(j.tx.ID())
	case *tx.GovVote:
		return j.ballot(b.Proposal)
	case *tx.TrustType:
		return "its membership", nil
	case *tx.TrustAccredit:
		return j.grant(b)
	case *tx.TrustWithdraw:
		return "the accreditation is its own", nil
	case *tx.StatusOpen, *tx.StatusSet:
		return "the list is its own", nil
	case *tx.ContractPublish, *tx.ContractRetire:
		return "the contract is its own", nil
	case *tx.AnchorCommit:
		return "the log is its own", nil
	case *tx.AnchorReport:
		return "the log's own signatures on both", nil
	}
	return "its control keys", nil
}

// guardian says how many guardians are wanted. How many of them have approved is in the record, unless
// the recovery is over.
func (j *journalist) guardian(b *tx.DIDRecover) (string, error) {
	rec, err := did.Get(j.out, b.Subject)
	if err != nil || rec == nil || rec.Guard == nil {
		return "a guardian's commitment that it opened", err
	}
	return fmt.Sprintf("one of %d guardians, %d of whom are wanted", len(rec.Guard.Guardians), rec.Guard.Threshold), nil
}

// ballot says how a proposal stands, and what its execution rests on if this very transaction carried it.
func (j *journalist) ballot(id hufu.Digest) (string, error) {
	p, err := gov.GetProposal(j.out, id)
	if err != nil || p == nil {
		return "its membership", err
	}
	last := p.Votes[len(p.Votes)-1]
	if p.Executed != j.height || last.Member != j.tx.Payload.Author {
		return "its membership", nil
	}
	var names []string
	for _, v := range p.Votes {
		if !v.Approve {
			continue
		}
		name, err := j.who(v.Member)
		if err != nil {
			return "", err
		}
		names = append(names, name)
	}
	actions := make([]string, len(p.Actions))
	for i := range p.Actions {
		actions[i] = Sentence(&p.Actions[i], j.out.Report.Network)
	}
	return fmt.Sprintf("its membership; with it proposal %s has passed, by the votes of %s, and is executed: %s", id, strings.Join(names, ", "), strings.Join(actions, "; ")), nil
}

// maxLinks bounds a chain of grants that is told of, far above what can be passed on.
const maxLinks = tx.MaxDelegate + 2

// grant names the chain that an accreditation was passed on from, up to the members' proposal.
func (j *journalist) grant(b *tx.TrustAccredit) (string, error) {
	var chains []string
	for _, vct := range b.Grant.Types {
		rec, err := trust.GetAccreditation(j.out, b.Subject, vct)
		if err != nil || rec == nil {
			return "", fmt.Errorf("audit: an accreditation that took effect has no record: %w", err)
		}
		g := (*trust.Grant)(nil)
		for i := range rec.Grants {
			if rec.Grants[i].Tx == j.tx.ID() {
				g = &rec.Grants[i]
			}
		}
		text, err := j.chain(vct, g)
		if err != nil {
			return "", err
		}
		if len(chains) == 0 || chains[len(chains)-1] != text {
			chains = append(chains, text)
		}
	}
	return "its own accreditation: " + strings.Join(chains, "; "), nil
}

func (j *journalist) chain(vct string, g *trust.Grant) (string, error) {
	var links []string
	for range maxLinks {
		if g == nil {
			break
		}
		if g.Root() {
			return strings.Join(append(links, "proposal "+g.Proposal.String()), ", from "), nil
		}
		by, err := j.who(g.By)
		if err != nil {
			return "", err
		}
		links = append(links, by)
		rec, err := trust.GetAccreditation(j.out, g.By, vct)
		if err != nil {
			return "", err
		}
		if rec == nil || int(g.Parent) >= len(rec.Grants) {
			break
		}
		g = &rec.Grants[g.Parent]
	}
	return "", fmt.Errorf("audit: a chain of accreditations for %s has no end", vct)
}

// Sentence is an action of a proposal, for people.
func Sentence(a *tx.Action, n hufu.Network) string {
	terms := func(verb string, m *tx.MemberTerms) string {
		out := fmt.Sprintf("%s %s (%s), quota %d", verb, m.Name, m.Member.DID(n), m.Quota)
		if m.OpenQuota > 0 {
			out += fmt.Sprintf(" and open quota %d", m.OpenQuota)
		}
		if m.Power > 0 {
			out += fmt.Sprintf(", power %d of validator %x", m.Power, m.ValidatorKey)
		}
		return out
	}
	switch {
	case a.AdmitMember != nil:
		return terms("admit", a.AdmitMember)
	case a.SetMember != nil:
		return terms("set the terms of", a.SetMember)
	case a.RemoveMember != nil:
		return "remove " + string(a.RemoveMember.Member.DID(n))
	case a.SetParams != nil:
		p := a.SetParams
		return fmt.Sprintf("set parameters: epochs of %d s, votes open %d s and carried by %d/%d, blocks %d ms apart, recovery after %d s at least",
			p.EpochSeconds, p.VotingSeconds, p.ThresholdNum, p.ThresholdDen, p.BlockFloorMillis, p.RecoveryFloor())
	case a.Accredit != nil:
		return fmt.Sprintf("accredit %s for %s%s", a.Accredit.Subject.DID(n), strings.Join(a.Accredit.Grant.Types, ", "), term(&a.Accredit.Grant))
	case a.Withdraw != nil:
		return fmt.Sprintf("withdraw the accreditation of %s for %s%s", a.Withdraw.Subject.DID(n), a.Withdraw.Type, withdrawal(a.Withdraw))
	case a.Upgrade != nil:
		return fmt.Sprintf("upgrade to %s at height %d", a.Upgrade.Name, a.Upgrade.Height)
	}
	return "an unknown action"
}

func term(g *tx.Grant) string {
	out := fmt.Sprintf(", from %s to %s", day(g.NotBefore), day(g.NotAfter))
	if g.Delegate > 0 {
		out += fmt.Sprintf(", to be passed on over %d levels", g.Delegate)
	}
	return out
}

func withdrawal(w *tx.TrustWithdraw) string {
	out := ""
	if w.From > 0 {
		out = fmt.Sprintf(" from height %d", w.From)
	}
	return out + map[bool]string{true: "; what was issued before stands", false: "; what was issued before falls"}[w.Stand]
}

func day(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.DateOnly) }

func fallen(fall bool) string {
	return ifTrue(fall, "; what the old ones signed no longer stands")
}

func ifTrue(b bool, text string) string {
	if b {
		return text
	}
	return ""
}
