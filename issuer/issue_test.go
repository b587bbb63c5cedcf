package issuer_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
)

func TestIssueToAMinor(t *testing.T) {
	s := start(t)
	list := people(80)
	s.enrol(list)
	p := minor(t, list)
	holders := s.wallet(3)
	issued, err := s.Issue(t.Context(), s.Ref(p.ResidentNumber), issuer.IssueRequest{Proofs: s.proofs(holders)})
	if err != nil {
		t.Fatal(err)
	}
	if len(issued) != 2 || issued[0].Type != issuer.TypeResidentID || issued[1].Type != issuer.TypeGuardianship {
		t.Fatal(issued)
	}
	entries, disclosures := map[string]bool{}, map[string]bool{}
	for _, batch := range issued {
		if len(batch.Copies) != 3 {
			t.Fatal(len(batch.Copies))
		}
		for i, c := range batch.Copies {
			v := s.verify(c)
			if !v.HolderKey.Equal(holders[i].Public()) || v.Type != batch.Type {
				t.Errorf("copy %d of %s is bound to another key or type", i, batch.Type)
			}
			ref := fmt.Sprint(v.Status.URI, v.Status.Index)
			if entries[ref] {
				t.Error("two copies with one status entry")
			}
			entries[ref] = true
			for _, d := range strings.Split(strings.TrimSuffix(c, "~"), "~")[1:] {
				if disclosures[d] {
					t.Error("two copies share a salt")
				}
				disclosures[d] = true
			}
		}
	}
	s.wantResident(s.verify(issued[0].Copies[0]).Claims, p)
	var guardian roster.Person
	for _, g := range list {
		if g.ResidentNumber == p.Guardian {
			guardian = g
		}
	}
	got := s.verify(issued[1].Copies[0]).Claims
	for name, want := range map[string]any{
		"guardian_name": guardian.Name, "guardian_resident_number": guardian.ResidentNumber,
		"relation": p.GuardianRelation, "ward_name": p.Name,
	} {
		if got[name] != want {
			t.Errorf("%s is wrong", name)
		}
	}
}

func (s *scene) wantResident(got map[string]any, p roster.Person) {
	s.Helper()
	for name, want := range map[string]any{
		"resident_number": p.ResidentNumber, "name_zh": p.NameZH, "name": p.Name, "sex": p.Sex, "birthdate": p.BirthDate.String(),
		"address": p.Address, "region": p.Region, "nationality": p.Nationality, "assurance_level": p.AssuranceLevel,
	} {
		if got[name] != want {
			s.Errorf("%s is wrong", name)
		}
	}
	ages, _ := got["age_equal_or_over"].(map[string]any)
	for _, a := range []int{14, 16, 18, 60} {
		if ages[fmt.Sprint(a)] != (p.BirthDate.AgeOn(roster.DateOf(s.now.In(zone))) >= a) {
			s.Errorf("age %d is wrong", a)
		}
	}
}

// A claim can be shown without any other.
func TestEveryClaimIsSelective(t *testing.T) {
	s := start(t)
	list := people(5)
	s.enrol(list)
	holders := s.wallet(1)
	issued, err := s.Issue(t.Context(), s.Ref(list[0].ResidentNumber), issuer.IssueRequest{Proofs: s.proofs(holders)})
	if err != nil {
		t.Fatal(err)
	}
	bare, _, _ := strings.Cut(issued[0].Copies[0], "~")
	got := s.verify(bare + "~").Claims
	for _, name := range []string{"resident_number", "name", "name_zh", "sex", "birthdate", "address", "region", "nationality", "assurance_level"} {
		if _, there := got[name]; there {
			t.Errorf("%s is always disclosed", name)
		}
	}
	c, err := sdjwt.Parse(issued[0].Copies[0])
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Present(rand.Reader, []sdjwt.Path{{"age_equal_or_over", "18"}}, sdjwt.KeyBinding{Audience: "a", Nonce: "n", IssuedAt: s.now, Signer: holders[0]})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(shown, "~") > 3 {
		t.Error("more was disclosed than one age")
	}
}

// Birthdays begin at midnight where the issuer is.
func TestAgeInTheIssuersZone(t *testing.T) {
	p := roster.Person{
		NameZH: "王晓明", Name: "Wang Xiaoming", Sex: roster.Male, BirthDate: roster.Date{Year: 2008, Month: 11, Day: 25},
		Address: "北京市", Region: "110000", AssuranceLevel: "high", Nationality: "CHN",
	}
	p.ResidentNumber = "99000120081125001"
	p.ResidentNumber += string(roster.CheckDigit(p.ResidentNumber))
	s := start(t)
	s.enrol([]roster.Person{p})
	for at, want := range map[time.Time]bool{
		time.Date(2026, 11, 24, 23, 59, 59, 0, zone): false,
		time.Date(2026, 11, 25, 0, 0, 0, 0, zone):    true, // still the 24th in London
	} {
		s.now = at
		ages := s.verify(s.issue(p, 1)[0].Copies[0]).Claims["age_equal_or_over"].(map[string]any)
		if ages["18"] != want || ages["16"] != true || ages["60"] != false {
			t.Errorf("at %s: %v", at, ages)
		}
	}
}

func TestIssueRefused(t *testing.T) {
	s := start(t)
	list := people(80)
	s.enrol(list)
	grown, ward := adult(t, list), minor(t, list)
	orphaned := ward
	ref := s.Ref(grown.ResidentNumber)
	holders := s.wallet(2)
	nonce, err := s.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := oid4vci.MakeProof(rand.Reader, holders[0], "did:hufu:demo:zOther", nonce, s.now)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(text string) string { return text[:len(text)-5] + "AAAAA" }
	for name, c := range map[string]struct {
		ref    issuer.PersonRef
		types  []string
		proofs []string
		rule   hufu.Rule
	}{
		"unknown type":       {ref, []string{"urn:x"}, s.proofsUnder(holders, nonce), issuer.RuleUnknownType},
		"no proof":           {ref, nil, nil, oid4vci.RuleProof},
		"too many proofs":    {ref, nil, make([]string, oid4vci.MaxProofs+1), oid4vci.RuleProof},
		"junk":               {ref, nil, []string{"x"}, oid4vci.RuleProof},
		"another audience":   {ref, nil, []string{elsewhere}, oid4vci.RuleProof},
		"own nonce":          {ref, nil, s.proofsUnder(holders, "mine"), oid4vci.RuleNonce},
		"forged nonce":       {ref, nil, s.proofsUnder(holders, flip(nonce)), oid4vci.RuleNonce},
		"two nonces":         {ref, nil, append(s.proofsUnder(holders[:1], nonce), s.proofsUnder(holders[1:], other)...), oid4vci.RuleProof},
		"one key twice":      {ref, nil, s.proofsUnder([]keys.Signer{holders[0], holders[0]}, nonce), oid4vci.RuleProof},
		"second proof wrong": {ref, nil, append(s.proofsUnder(holders[:1], nonce), elsewhere), oid4vci.RuleProof},
	} {
		_, err := s.Issue(t.Context(), c.ref, issuer.IssueRequest{Types: c.types, Proofs: c.proofs})
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := s.Accesses(t.Context(), ref); err != nil || len(a) != 0 {
		t.Error("a file was read for a bad proof", err)
	}
	for name, c := range map[string]struct {
		ref   issuer.PersonRef
		types []string
		rule  hufu.Rule
	}{
		"unknown person":           {issuer.PersonRef{1}, nil, issuer.RuleUnknownPerson},
		"guardianship of an adult": {ref, []string{issuer.TypeGuardianship}, issuer.RuleNotEntitled},
		"type twice":               {ref, []string{issuer.TypeResidentID, issuer.TypeResidentID}, issuer.RuleUnknownType},
	} {
		_, err := s.Issue(t.Context(), c.ref, issuer.IssueRequest{Types: c.types, Proofs: s.proofs(holders)})
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The guardian's file is erased, or was never there.
	if err := s.Erase(t.Context(), s.Ref(ward.Guardian), tx.ReasonRequested); err != nil {
		t.Fatal(err)
	}
	_, err = s.Issue(t.Context(), s.Ref(orphaned.ResidentNumber), issuer.IssueRequest{Proofs: s.proofs(holders)})
	wantRule(t, err, issuer.RuleNoGuardian)
	if _, err = s.Issue(t.Context(), s.Ref(orphaned.ResidentNumber), issuer.IssueRequest{Types: []string{issuer.TypeResidentID}, Proofs: s.proofs(holders)}); err != nil {
		t.Error("without the guardian, no resident identity either:", err)
	}
}

func TestNonces(t *testing.T) {
	s := start(t)
	list := people(3)
	s.enrol(list)
	ref := s.Ref(list[0].ResidentNumber)
	issue := func(proofs []string) error {
		_, err := s.Issue(t.Context(), ref, issuer.IssueRequest{Proofs: proofs})
		return err
	}
	proofs := s.proofs(s.wallet(2))
	if err := issue(proofs); err != nil {
		t.Fatal(err)
	}
	wantRule(t, issue(proofs), oid4vci.RuleNonce) // used

	nonce, err := s.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	bad := append(s.proofsUnder(s.wallet(1), nonce), "x")
	wantRule(t, issue(bad), oid4vci.RuleProof)
	if err := issue(s.proofsUnder(s.wallet(1), nonce)); err != nil {
		t.Error("a bad request used up the nonce:", err)
	}

	nonce, err = s.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(5*time.Minute + time.Second)
	wantRule(t, issue(s.proofsUnder(s.wallet(1), nonce)), oid4vci.RuleNonce) // late

	nonce, err = s.Nonce()
	if err != nil {
		t.Fatal(err)
	}
	s.restart()
	if err := issue(s.proofsUnder(s.wallet(1), nonce)); err != nil {
		t.Error("a nonce did not survive a restart:", err)
	}
	s.restart()
	wantRule(t, issue(s.proofsUnder(s.wallet(1), nonce)), oid4vci.RuleNonce) // used before the restart
}

// Two processes of one issuer, one nonce, many at once: one gets through.
func TestNonceOnceAmongProcesses(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		s := start(t, func(c *issuer.Config) { c.Store = dsn })
		list := people(3)
		s.enrol(list)
		ref := s.Ref(list[0].ResidentNumber)
		second, err := issuer.Open(t.Context(), s.cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close() //nolint:errcheck // nothing is left to lose
		nonce, err := s.Nonce()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		results := make(chan error, 12)
		for i := range cap(results) {
			proofs := s.proofsUnder(s.wallet(1), nonce)
			process := []*issuer.Service{s.Service, second}[i%2]
			wg.Go(func() {
				_, err := process.Issue(t.Context(), ref, issuer.IssueRequest{Proofs: proofs})
				results <- err
			})
		}
		wg.Wait()
		close(results)
		got := 0
		for err := range results {
			if err == nil {
				got++
			} else {
				wantRule(t, err, oid4vci.RuleNonce)
			}
		}
		if got != 1 {
			t.Errorf("%d requests under one nonce", got)
		}
	})
}

func TestTimes(t *testing.T) {
	s := start(t)
	list := people(2)
	s.enrol(list)
	v := s.verify(s.issue(list[0], 1)[0].Copies[0])
	if !v.IssuedAt.Equal(morning) || !v.ExpiresAt.Equal(morning.Add(issuer.DefaultValidity)) {
		t.Error("exact:", v.IssuedAt, v.ExpiresAt)
	}
	s.cfg.Since = morning.Add(-72 * time.Hour)
	s.restart()
	v = s.verify(s.issue(list[0], 1)[0].Copies[0])
	if v.IssuedAt.Unix()%86400 != 0 || v.ExpiresAt.Unix()%86400 != 0 || v.IssuedAt.After(s.now) || v.ExpiresAt.Before(s.now.Add(issuer.DefaultValidity)) {
		t.Error("to the day:", v.IssuedAt, v.ExpiresAt)
	}
	s.cfg.Since = morning.Add(-1500 * time.Millisecond)
	s.restart()
	if v = s.verify(s.issue(list[0], 1)[0].Copies[0]); v.IssuedAt.Before(s.cfg.Since) || v.IssuedAt.After(s.now) {
		t.Error("not before the key holds:", v.IssuedAt)
	}
	issued, err := s.Issue(t.Context(), s.Ref(list[0].ResidentNumber), issuer.IssueRequest{Proofs: s.proofs(s.wallet(1)), ValidFor: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if v = s.verify(issued[0].Copies[0]); !v.ExpiresAt.Equal(morning.Add(time.Minute)) {
		t.Error("asked for:", v.ExpiresAt)
	}
}

// Many at once, over several lists and restarts: no entry is ever given twice.
func TestEntriesAreGivenOnce(t *testing.T) {
	s := start(t, func(c *issuer.Config) { c.ListSize = 64 })
	list := people(30)
	s.enrol(list)
	seen := map[string]bool{}
	var mu sync.Mutex
	first := []uint64{}
	for range 3 {
		var wg sync.WaitGroup
		for i := range list[:12] {
			proofs := s.proofs(s.wallet(3))
			wg.Go(func() {
				issued, err := s.Issue(t.Context(), s.Ref(list[i].ResidentNumber), issuer.IssueRequest{Types: []string{issuer.TypeResidentID}, Proofs: proofs})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, c := range issued[0].Copies {
					ref := s.verify(c).Status
					if key := fmt.Sprint(ref.URI, " ", ref.Index); seen[key] || ref.Index >= 64 {
						t.Errorf("entry %s twice or out of the list", key)
					} else {
						seen[key] = true
					}
					first = append(first, ref.Index)
				}
			})
		}
		wg.Wait()
		s.restart()
	}
	if len(seen) != 3*12*3 {
		t.Fatalf("%d entries", len(seen))
	}
	inOrder := true
	for i := 1; i < 20; i++ {
		inOrder = inOrder && first[i] > first[i-1]
	}
	if inOrder {
		t.Error("entries are given in order")
	}
	if n := len(s.ledger.sent); n != 2 {
		t.Errorf("%d lists were opened for 108 entries of 64", n)
	}
}

// Whatever ends the opening of a list, the next request goes on from there, and no list is opened twice.
func TestOpeningAListIsTakenUpAgain(t *testing.T) {
	for name, spoil := range map[string]func(*ledger, func(*tx.Tx) error){
		"before it is on the ledger": func(l *ledger, f func(*tx.Tx) error) { l.fail = f },
		"after it is on the ledger":  func(l *ledger, f func(*tx.Tx) error) { l.lose = f },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			list := people(2)
			s.enrol(list)
			spoil(s.ledger, func(*tx.Tx) error { return errNoNet })
			_, err := s.Issue(t.Context(), s.Ref(list[0].ResidentNumber), issuer.IssueRequest{Proofs: s.proofs(s.wallet(1))})
			// Once the list is on the ledger, no answer is as good as one.
			if onLedger := len(s.ledger.sent) == 1; onLedger && err != nil || !onLedger && !errors.Is(err, errNoNet) {
				t.Fatal(err)
			}
			s.ledger.fail, s.ledger.lose = nil, nil
			s.restart()
			s.issue(list[0], 2)
			if n := len(s.ledger.sent); n != 1 {
				t.Errorf("%d lists", n)
			}
		})
	}
}

// A store that was lost, and made anew, does not give entries of the lists that the old one opened.
func TestNewStoreOpensItsOwnList(t *testing.T) {
	databasetest.OnDisk(t)
	s := start(t)
	list := people(2)
	s.enrol(list)
	old := s.verify(s.issue(list[0], 1)[0].Copies[0]).Status.URI
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.cfg.Store += ".new"
	s.open()
	s.enrol(list)
	if got := s.verify(s.issue(list[0], 1)[0].Copies[0]).Status.URI; got == old || !strings.HasSuffix(got, "/1") {
		t.Error(got)
	}
}

func TestMoreCopiesThanAListHas(t *testing.T) {
	s := start(t, func(c *issuer.Config) { c.ListSize = 2 })
	list := people(2)
	s.enrol(list)
	if _, err := s.Issue(t.Context(), s.Ref(list[0].ResidentNumber), issuer.IssueRequest{Proofs: s.proofs(s.wallet(3))}); err == nil {
		t.Error("three entries of a list of two")
	}
}

func TestMeasureIssue(t *testing.T) {
	for _, suite := range keys.Suites() {
		f, err := issuer.MeasureIssue(t.Context(), suite, 8, 4, elapsed(), func(int) {})
		if err != nil || f.Copies != 8 || f.CopiesPerS <= 0 || f.BarePerS <= 0 || f.Ratio <= 0 {
			t.Error(f, err)
		}
	}
}
