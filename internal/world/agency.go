package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Types of credentials in the world.
const (
	Resident     = "urn:example:resident"
	Guardianship = "urn:example:guardianship"
)

// PublishTypes publishes the world's credential types.
func (w *World) PublishTypes() error {
	claim := func(kind string, path ...string) tx.Claim {
		return tx.Claim{Path: path, Type: kind, Selective: tx.SelectiveAllowed}
	}
	for _, t := range []*tx.TrustType{
		{VCT: Resident, Assurance: tx.AssuranceHigh, Claims: []tx.Claim{
			claim(tx.ClaimObject, "age"), claim(tx.ClaimBool, "age", "18"), claim(tx.ClaimBool, "age", "60"),
			claim(tx.ClaimDate, "birth_date"), claim(tx.ClaimString, "name"), claim(tx.ClaimString, "region"),
		}},
		{VCT: Guardianship, Assurance: tx.AssuranceSubstantial, Claims: []tx.Claim{
			claim(tx.ClaimString, "guardian_name"), claim(tx.ClaimString, "relation"),
		}},
	} {
		t.Version, t.Display = 1, []tx.TypeDisplay{{Lang: "en", Name: t.VCT}}
		if err := w.Do(w.Member, t); err != nil {
			return err
		}
	}
	return nil
}

// Agency is an issuer with one status list.
type Agency struct {
	*Actor
	Bits  uint8
	index uint64
}

// Agency makes an accredited issuer of both types, and its status list.
func (w *World) Agency(suite *keys.Suite) (*Agency, error) {
	a, err := w.Actor(suite)
	if err != nil {
		return nil, err
	}
	if err := w.Accredit(a, Guardianship, Resident); err != nil {
		return nil, err
	}
	ag := &Agency{Actor: a, Bits: 2}
	return ag, w.Do(a, &tx.StatusOpen{Bits: ag.Bits, Size: 1 << 16, URI: ag.ListURI()})
}

// ListURI is the URI of the agency's list.
func (a *Agency) ListURI() string { return status.URI("https://agency.example", a.DID, 0) }

// Accredit has the members accredit a, for ten years from now.
func (w *World) Accredit(a *Actor, types ...string) error {
	slices.Sort(types)
	now := w.Now()
	return w.Do(w.Member, &tx.GovPropose{Title: "Accredit", Actions: []tx.Action{{Accredit: &tx.TrustAccredit{
		Subject: a.ID, Grant: tx.Grant{Types: types, NotBefore: now.Unix(), NotAfter: now.AddDate(10, 0, 0).Unix()},
	}}}})
}

// Withdraw has the members withdraw a's accreditation for a type.
func (w *World) Withdraw(a *Actor, vct string, stand bool) error {
	return w.Do(w.Member, &tx.GovPropose{Title: "Withdraw", Actions: []tx.Action{{Withdraw: &tx.TrustWithdraw{Subject: a.ID, Type: vct, Stand: stand}}}})
}

// SetStatus sets one entry of the agency's list.
func (w *World) SetStatus(a *Agency, index uint64, s hufu.Status) error {
	return w.Do(a.Actor, &tx.StatusSet{Changes: []tx.StatusChange{{Status: s, Reason: "error", Indexes: []uint64{index}}}})
}

// Issue makes one credential that is valid for a year, with a status entry of its own. change, if any,
// alters what would be issued.
func (w *World) Issue(a *Agency, vct string, claims map[string]any, holder keys.PublicKey, change ...func(*sdjwt.IssueParams)) (string, error) {
	a.index++
	now := w.Now()
	p := sdjwt.IssueParams{
		Type: vct, Issuer: string(a.DID), KeyID: a.KeyID(), Signer: a.Signer, Claims: claims, Decoys: 4, HolderKey: holder,
		IssuedAt: now, ExpiresAt: now.AddDate(1, 0, 0), Status: &sdjwt.StatusRef{URI: a.ListURI(), Index: a.index},
	}
	for _, f := range change {
		f(&p)
	}
	return sdjwt.Issue(w.Rand, p)
}

// NextIndex takes a status index for a credential that is issued by other means than [World.Issue].
func (a *Agency) NextIndex() uint64 {
	a.index++
	return a.index
}

// LastIndex is the status index of the credential issued last.
func (a *Agency) LastIndex() uint64 { return a.index }

// Person is what an agency attests of someone.
func Person(name, region, birth string, adult bool) map[string]any {
	return map[string]any{
		"name": name, "region": region, "birth_date": birth, "age": map[string]any{"18": adult, "60": false},
	}
}

// The world's contracts, to be published by [World.Publish].
const (
	ReadingRoom = `
[asks]
dcql = '''{"credentials": [
  {"id": "person", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:example:resident"]}, "claims": [{"path": ["age", "18"]}]}
]}'''
[opens]
cedar = '''
@id("adults")
permit (principal, action, resource) when { context.person.age["18"] };
'''
`
	Clinic = `
[accreditation.person]
assurance = "high"
[asks]
dcql = '''{"credentials": [
  {"id": "person", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:example:resident"]}, "claims": [{"path": ["region"]}, {"path": ["age", "18"]}]},
  {"id": "guardian", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:example:guardianship"]}, "claims": [{"path": ["relation"]}]}
 ], "credential_sets": [{"options": [["person"]]}, {"options": [["guardian"]], "required": false}]}'''
[opens]
cedar = '''
@id("residents")
permit (principal, action, resource) when { ["north", "south"].contains(context.person.region) };
@id("minors-need-a-guardian")
forbid (principal, action, resource) unless { context.person.age["18"] || (context has guardian && context.guardian.relation == "parent") };
'''
`
)

// ContractText completes a contract's text with what every contract has.
func ContractText(owner hufu.DID, name string, version uint32, stale time.Duration, body string) string {
	head := fmt.Sprintf(`language = %q
id = %q
version = %d
owner = %q
same_holder = true
[title]
en = "Door"
[purpose]
en = "To open."
[retention]
en = "Nothing is kept."
[bounds]
max_staleness = "%ds"
grant = "1h"
`, contract.Language, name, version, owner, int64(stale/time.Second))
	return head + strings.TrimPrefix(body, "\n")
}

// ContractTextOf is the text that Publish publishes.
func ContractTextOf(a *Actor, name string, version uint32, body string) string {
	return ContractText(a.DID, name, version, 5*time.Minute, body)
}

// Publish publishes a contract of a's that accepts a ledger state of up to five minutes.
func (w *World) Publish(a *Actor, name string, version uint32, body string) (hufu.ContractID, error) {
	text := ContractTextOf(a, name, version, body)
	id := hufu.ContractID{Owner: a.DID, Name: name}
	return id, w.Do(a, &tx.ContractPublish{Name: name, Version: version, Text: text})
}
