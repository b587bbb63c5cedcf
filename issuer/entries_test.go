package issuer_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
)

// given are the indexes of the copies of a list that people hold, ascending.
func (s *scene) given(all []issuer.Issued) (indexes []uint64) {
	for _, i := range all {
		for _, c := range i.Copies {
			indexes = append(indexes, s.verify(c).Status.Index)
		}
	}
	slices.Sort(indexes)
	return indexes
}

func (s *scene) setEntries(to hufu.Status, ranges ...issuer.EntryRange) (issuer.StatusResult, error) {
	return s.SetStatus(s.Context(), issuer.StatusRequest{Entries: ranges, Status: to, Reason: tx.ReasonKeyCompromise})
}

func one(list, index uint64) issuer.EntryRange {
	return issuer.EntryRange{List: list, First: index, Last: index}
}

func TestSetStatusOfEntries(t *testing.T) {
	s := start(t)
	list := people(30)
	s.enrol(list)
	issued := s.issue(adult(t, list), 6)
	indexes := s.given(issued)
	sent := len(s.ledger.sent)
	r, err := s.setEntries(hufu.StatusSuspended, one(0, indexes[0]), one(0, indexes[2]), one(0, indexes[0]))
	if err != nil || r.Entries != 2 || len(s.ledger.sent) != sent+1 {
		t.Fatal(r, err)
	}
	// A range is what was given of it.
	all := issuer.EntryRange{List: 0, First: 0, Last: 4095}
	told := 0
	r, err = s.SetStatus(s.Context(), issuer.StatusRequest{
		Entries: []issuer.EntryRange{all, one(0, indexes[1])}, Status: hufu.StatusRevoked, Reason: tx.ReasonError,
		Progress: func(done, of int) {
			if done < told || of != 6 {
				t.Error(done, of)
			}
			told = done
		},
	})
	if err != nil || r.Entries != 6 || told != 6 || len(s.ledger.sent) != sent+2 {
		t.Fatal(r, err, told)
	}
	set := s.ledger.sent[sent+1].Body.(*tx.StatusSet)
	if !slices.Equal(set.Changes[0].Indexes, indexes) || set.Changes[0].Reason != tx.ReasonError {
		t.Errorf("%+v", set)
	}
	for _, i := range issued {
		for _, c := range i.Copies {
			if s.status(c) != hufu.StatusRevoked {
				t.Error("a copy is not revoked")
			}
		}
	}
	if r, err := s.setEntries(hufu.StatusRevoked, all); err != nil || r.Already != 6 || r.Entries != 0 || len(s.ledger.sent) != sent+2 {
		t.Error(r, err)
	}
	if r, err := s.setEntries(hufu.StatusValid, all); err != nil || r.Final != 6 || len(s.ledger.sent) != sent+2 {
		t.Error(r, err)
	}
	// What was revoked by its entry is so for its holder, too.
	if r, err := s.set(hufu.StatusSuspended, nil, s.Ref(adult(t, list).ResidentNumber)); err != nil || r.Final != 6 {
		t.Error(r, err)
	}
}

// What is not there is named by its position, all of it, and nothing is sent or opened.
func TestUnknownSubjects(t *testing.T) {
	s := start(t)
	list := people(30)
	s.enrol(list)
	p := adult(t, list)
	indexes := s.given(s.issue(p, 3))
	free := uint64(0)
	for slices.Contains(indexes, free) {
		free++
	}
	sent := len(s.ledger.sent)
	req := issuer.StatusRequest{
		People:  []issuer.PersonRef{{1}, s.Ref(p.ResidentNumber), {2}},
		Entries: []issuer.EntryRange{one(0, indexes[0]), one(0, free), one(1, 0), one(0, 4096), {0, 5, 4}, {0, 0, 4096}, {0, 0, 4095}},
		Status:  hufu.StatusRevoked, Reason: tx.ReasonError,
	}
	_, err := s.SetStatus(t.Context(), req)
	var bad *issuer.BadSubjectsError
	if !errors.As(err, &bad) {
		t.Fatal(err)
	}
	positions := func(list []issuer.BadSubject, rule hufu.Rule) (at []int) {
		for _, b := range list {
			wantRule(t, b.Refusal, rule)
			at = append(at, b.At)
		}
		return at
	}
	if at := positions(bad.People, issuer.RuleUnknownPerson); !slices.Equal(at, []int{0, 2}) {
		t.Error(at)
	}
	if at := positions(bad.Entries, issuer.RuleUnknownEntry); !slices.Equal(at, []int{1, 2, 3, 4, 5}) {
		t.Error(at)
	}
	if !strings.Contains(err.Error(), "6 more") || len(bad.Unwrap()) != 7 {
		t.Error(err)
	}
	if len(s.ledger.sent) != sent {
		t.Error("something was sent")
	}
	if err := s.Erase(t.Context(), s.Ref(p.ResidentNumber), tx.ReasonRequested); err != nil {
		t.Fatal(err)
	}
	_, err = s.set(hufu.StatusRevoked, nil, s.Ref(p.ResidentNumber))
	wantRule(t, err, issuer.RuleErased)
}

// The ledger of many transactions: some refused, some lost, some overtaken. What the result says is what is.
func TestLargeChange(t *testing.T) {
	const copies = 25_000
	begin := func(t *testing.T) (*scene, issuer.EntryRange, int) {
		s := start(t, func(c *issuer.Config) { c.ListSize = copies })
		list := people(30)
		s.enrol(list)
		s.issue(adult(t, list), 1)
		if err := s.Spend(t.Context(), copies-1); err != nil {
			t.Fatal(err)
		}
		return s, issuer.EntryRange{Last: copies - 1}, len(s.ledger.sent)
	}
	count := func(t *testing.T, s *scene) (n int) {
		t.Helper()
		list, err := status.GetList(s.ledger.state, hufu.ID{1, 2, 3}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(copies) {
			got, err := list.Lookup(s.ledger.state, i)
			if err != nil {
				t.Fatal(err)
			}
			if got == hufu.StatusRevoked {
				n++
			}
		}
		return n
	}
	t.Run("all", func(t *testing.T) {
		s, all, sent := begin(t)
		r, err := s.setEntries(hufu.StatusRevoked, all)
		if err != nil || r.Entries != copies || len(r.Receipts) != 3 || len(s.ledger.sent) != sent+3 || count(t, s) != copies {
			t.Fatal(r, err)
		}
	})
	for name, c := range map[string]struct {
		err    error
		lost   bool // it took effect all the same
		result issuer.StatusResult
	}{
		"refused": {hufu.Refuse(machine.RuleExpired, "late"), false, issuer.StatusResult{Entries: 11_000, Left: 14_000}},
		"lost":    {client.ErrUnknownOutcome, true, issuer.StatusResult{Entries: 11_000, Unknown: 11_000, Left: 3000}},
	} {
		t.Run(name, func(t *testing.T) {
			s, all, sent := begin(t)
			second := func(*tx.Tx) error {
				if len(s.ledger.sent) >= sent+1 {
					return c.err
				}
				return nil
			}
			s.ledger.fail = second
			if c.lost {
				s.ledger.fail, s.ledger.lose = nil, func(*tx.Tx) error {
					if len(s.ledger.sent) >= sent+2 {
						return c.err
					}
					return nil
				}
			}
			r, err := s.setEntries(hufu.StatusRevoked, all)
			if !errors.Is(err, c.err) || r.Entries != c.result.Entries || r.Unknown != c.result.Unknown || r.Left != c.result.Left || len(r.Receipts) != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			on := r.Entries
			if c.lost {
				on += r.Unknown
			}
			if n := count(t, s); n != on {
				t.Errorf("%d are revoked, where %+v was said", n, r)
			}
			s.ledger.fail, s.ledger.lose = nil, nil
			s.restart()
			r, err = s.setEntries(hufu.StatusRevoked, all)
			if err != nil || r.Already != on || r.Entries != copies-on || count(t, s) != copies {
				t.Errorf("again: %+v, %v", r, err)
			}
		})
	}
	t.Run("overtaken", func(t *testing.T) {
		s, all, sent := begin(t)
		times := 0
		s.ledger.fail = func(*tx.Tx) error {
			if len(s.ledger.sent) == sent+1 && times < 3 {
				times++
				return hufu.Refuse(machine.RuleSequence, "another was first")
			}
			return nil
		}
		r, err := s.setEntries(hufu.StatusRevoked, all)
		if err != nil || r.Entries != copies || times != 3 || count(t, s) != copies {
			t.Fatal(r, err, times)
		}
	})
	t.Run("always overtaken", func(t *testing.T) {
		s, all, _ := begin(t)
		s.ledger.fail = func(*tx.Tx) error { return hufu.Refuse(machine.RuleSequence, "another was first") }
		r, err := s.setEntries(hufu.StatusRevoked, all)
		wantRule(t, err, machine.RuleSequence)
		if r.Left != copies || r.Entries != 0 || count(t, s) != 0 {
			t.Error(r)
		}
	})
}

func TestParseEntries(t *testing.T) {
	s := start(t)
	uri := status.URI("https://a.example/x,y", s.cfg.DID, 3)
	for text, want := range map[string]issuer.EntryRange{
		"0,7":            one(0, 7),
		" 12 , 7-9 ":     {12, 7, 9},
		uri + ",5":       one(3, 5),
		uri + ", 0-1023": {3, 0, 1023},
	} {
		if got, err := s.ParseEntries(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "7", "0,", ",7", "0,x", "0,-7", "0,7-", "0,9-7", "0,7-8-9", "-1,7", "0,18446744073709551616", "a,7",
		status.URI("https://a.example", hufu.ID{9}.DID(network), 3) + ",7", "https://a.example/statuslists/3,7",
	} {
		if _, err := s.ParseEntries(text); hufu.RuleOf(err) != issuer.RuleUnknownEntry {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	s := start(f)
	f.Add("0,7-9")
	f.Add(status.URI("https://a.example", s.cfg.DID, 3) + ",5")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := s.ParseEntries(text)
		if err != nil {
			return
		}
		plain := fmt.Sprintf("%d,%s-%s", e.List, strconv.FormatUint(e.First, 10), strconv.FormatUint(e.Last, 10))
		if again, err := s.ParseEntries(plain); err != nil || again != e {
			t.Errorf("%q is %+v, and %q is %+v, %v", text, e, plain, again, err)
		}
	})
}
