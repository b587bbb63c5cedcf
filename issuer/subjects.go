package issuer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state/status"
)

// EntryRange is entries of one of the issuer's status lists: from First to Last, as many of them as were given
// to credentials. One alone must have been given.
type EntryRange struct{ List, First, Last uint64 }

// ParseEntries reads entries as people write them: LIST,INDEX or LIST,FIRST-LAST in decimal, LIST being the
// list's number or the URI in the credential. The errors are refusals by [RuleUnknownEntry].
func (s *Service) ParseEntries(text string) (EntryRange, error) {
	refuse := func(detail string, args ...any) (EntryRange, error) {
		return EntryRange{}, hufu.Refuse(RuleUnknownEntry, detail, args...)
	}
	comma := strings.LastIndexByte(text, ',')
	if comma < 0 {
		return refuse("neither LIST,INDEX nor LIST,FIRST-LAST")
	}
	list, indexes := strings.TrimSpace(text[:comma]), strings.TrimSpace(text[comma+1:])
	var e EntryRange
	var err error
	if e.List, err = strconv.ParseUint(list, 10, 64); err != nil {
		did, number, err := status.ParseURI(list)
		if err != nil {
			return refuse("the list is neither a number nor a status list's URI")
		}
		if did != s.cfg.DID {
			return refuse("the status list of another issuer")
		}
		e.List = number
	}
	first, last, isRange := strings.Cut(indexes, "-")
	if e.First, err = strconv.ParseUint(first, 10, 64); err != nil {
		return refuse("the index is no number")
	}
	e.Last = e.First
	if isRange {
		if e.Last, err = strconv.ParseUint(last, 10, 64); err != nil {
			return refuse("the last index is no number")
		}
		if e.Last < e.First {
			return refuse("the last index is below the first")
		}
	}
	return e, nil
}

// BadSubject is who or what a request names in vain: one of its people or of its entries, by position.
type BadSubject struct {
	At      int
	Refusal error
}

// BadSubjectsError says which people and entries a request names in vain. Nothing was done.
type BadSubjectsError struct {
	People, Entries []BadSubject
}

func (e *BadSubjectsError) Error() string {
	all := slices.Concat(e.People, e.Entries)
	if len(all) == 1 {
		return all[0].Refusal.Error()
	}
	return fmt.Sprintf("%v, and %d more like it", all[0].Refusal, len(all)-1)
}

// Unwrap gives the refusals.
func (e *BadSubjectsError) Unwrap() (all []error) {
	for _, b := range slices.Concat(e.People, e.Entries) {
		all = append(all, b.Refusal)
	}
	return all
}

// checkSubjects looks for everything that a request names, and opens no file.
func (s *Service) checkSubjects(ctx context.Context, req *StatusRequest) error {
	if len(req.People) > MaxStatusEntries || len(req.Entries) > MaxStatusEntries {
		return tooMany()
	}
	bad := &BadSubjectsError{}
	for i, ref := range req.People {
		var there bool
		err := s.store.QueryRowContext(ctx, "SELECT data_key IS NOT NULL FROM people WHERE person = ?", ref[:]).Scan(&there)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			bad.People = append(bad.People, BadSubject{i, hufu.Refuse(RuleUnknownPerson, "nobody is enrolled under this reference")})
		case err != nil:
			return fmt.Errorf("issuer: store: %w", err)
		case !there:
			bad.People = append(bad.People, BadSubject{i, hufu.Refuse(RuleErased, "the person's file was erased")})
		}
	}
	lists := givenLists{s, map[uint64]*given{}}
	for i, e := range req.Entries {
		l, err := lists.get(ctx, e.List)
		if err == nil {
			err = l.check(e)
		}
		switch {
		case hufu.RuleOf(err) == RuleUnknownEntry:
			bad.Entries = append(bad.Entries, BadSubject{i, err})
		case err != nil:
			return err
		}
	}
	if len(bad.People)+len(bad.Entries) > 0 {
		return bad
	}
	return nil
}

// issuedOf collects by list the entries of ranges that were given.
func (s *Service) issuedOf(ctx context.Context, ranges []EntryRange) (map[uint64][]uint64, error) {
	lists := givenLists{s, map[uint64]*given{}}
	out := map[uint64][]uint64{}
	all := 0
	for _, e := range ranges {
		l, err := lists.get(ctx, e.List)
		if err != nil {
			return nil, err
		}
		for index := e.First; index <= e.Last && index < l.order.size; index++ {
			if l.has(index) {
				out[e.List] = append(out[e.List], index)
				if all++; all > MaxStatusEntries {
					return nil, tooMany()
				}
			}
		}
	}
	return out, nil
}

// given is how many entries of a list were given, and in which order.
type given struct {
	order *order
	count uint64
}

func (g *given) has(index uint64) bool { return g.order.position(index) < g.count }

func (g *given) check(e EntryRange) error {
	switch {
	case e.Last < e.First || e.Last >= g.order.size:
		return hufu.Refuse(RuleUnknownEntry, "list %d has entries 0 to %d", e.List, g.order.size-1)
	case e.First == e.Last && !g.has(e.First):
		return hufu.Refuse(RuleUnknownEntry, "entry %d of list %d belongs to no credential", e.First, e.List)
	}
	return nil
}

// givenLists reads each list once.
type givenLists struct {
	service *Service
	read    map[uint64]*given
}

func (l *givenLists) get(ctx context.Context, list uint64) (*given, error) {
	if g := l.read[list]; g != nil {
		return g, nil
	}
	var count, size uint64
	var seed []byte
	// Entries were given of an opened list alone.
	err := l.service.store.QueryRowContext(ctx, "SELECT given, size, seed FROM lists WHERE number = ? AND opened = 1", int64(list)).Scan(&count, &size, &seed) //nolint:gosec // no list has such a number
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hufu.Refuse(RuleUnknownEntry, "this issuer has no list %d", list)
	}
	if err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	o, err := l.service.order(list, size, seed)
	if err != nil {
		return nil, err
	}
	l.read[list] = &given{o, count}
	return l.read[list], nil
}
