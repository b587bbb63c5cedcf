package issuer

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
)

// StatusRequest changes the status of copies: of every one that people hold, and of those that have the status
// entries given.
type StatusRequest struct {
	People  []PersonRef
	Types   []string // of what people hold, only copies of these types; empty: of all
	Entries []EntryRange
	Status  hufu.Status
	Reason  string // a code of package ledger/tx: tx.ReasonRequested and its like

	Progress func(done, all int) // optional: told of the entries that nothing is left to do for
}

// StatusResult says what a [StatusRequest] came to: each entry that it is about is counted once.
type StatusResult struct {
	Entries  int              `json:"entries"`  // set by this request
	Already  int              `json:"already"`  // had the status before
	Final    int              `json:"final"`    // left alone, because revoked and to become something else
	Unknown  int              `json:"unknown"`  // sent, and not known to be on the ledger or not
	Left     int              `json:"left"`     // not set, because of the error
	Receipts []client.Receipt `json:"receipts"` // of the transactions
}

const (
	// maxEntries is how many entries fit one transaction: an index takes at most 5 bytes.
	maxEntries = 11_000
	// maxInFlight bounds the transactions that are signed and sent together: 7 MB. They take some blocks, after
	// which the issuer's other transactions have their turn.
	maxInFlight = 128
	// MaxStatusEntries is how many entries one request may be about: a list of the largest size on the ledger.
	// They are held in memory, at 8 bytes each.
	MaxStatusEntries = tx.MaxStatusSize
	// maxOvertaken is how often in a row another process of the issuer may be first with a transaction.
	maxOvertaken = 5
)

// SetStatus sets the status of copies on the ledger, in as few transactions as hold them, many of them on the
// way at a time, and returns when all are on it. Nothing is sent unless the whole request can be carried out:
// [BadSubjectsError] says who or what is not known. After any other error, the result says what was done all
// the same. The request may be made again: it goes on with what the ledger says is left to do.
func (s *Service) SetStatus(ctx context.Context, req StatusRequest) (StatusResult, error) {
	var result StatusResult
	switch req.Status {
	case hufu.StatusValid, hufu.StatusRevoked, hufu.StatusSuspended:
	default:
		return result, hufu.Refuse(RuleUnknownStatus, "no such status")
	}
	if err := s.checkSubjects(ctx, &req); err != nil {
		return result, err
	}
	entries, err := s.entriesOf(ctx, &req)
	if err != nil {
		return result, err
	}
	bodies, err := s.changes(ctx, &req, entries, &result)
	if err != nil {
		return result, err
	}
	return result, s.setAll(ctx, &req, bodies, &result)
}

// entriesOf collects the entries of a request, by list, ascending and each once. The files of people are opened.
func (s *Service) entriesOf(ctx context.Context, req *StatusRequest) (map[uint64][]uint64, error) {
	entries, err := s.issuedOf(ctx, req.Entries)
	if err != nil {
		return nil, err
	}
	people := slices.Clone(req.People)
	slices.SortFunc(people, func(a, b PersonRef) int { return slices.Compare(a[:], b[:]) })
	for some := range slices.Chunk(slices.Compact(people), enrolBatch) {
		err := s.store.Write(ctx, func(t *database.Tx) error {
			for _, ref := range some {
				copies, err := s.copiesOf(ctx, t, ref)
				if err != nil {
					return err
				}
				for _, c := range copies {
					if len(req.Types) == 0 || slices.Contains(req.Types, c.Type) {
						entries[c.List] = append(entries[c.List], c.Index)
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	all := 0
	for list, indexes := range entries {
		slices.Sort(indexes)
		entries[list] = slices.Compact(indexes)
		all += len(entries[list])
	}
	if all > MaxStatusEntries {
		return nil, tooMany()
	}
	return entries, nil
}

func tooMany() error {
	return hufu.Refuse(RuleTooMany, "one request may be about %d entries at most; split it", MaxStatusEntries)
}

// copiesOf lists the copies of one person, with a record of the access.
func (s *Service) copiesOf(ctx context.Context, t *database.Tx, ref PersonRef) ([]copyRecord, error) {
	key, _, err := s.key(ctx, t, ref, purposeStatus)
	if err != nil {
		return nil, err
	}
	return holdings(ctx, t, key, ref)
}

func holdings(ctx context.Context, t *database.Tx, key cipher.AEAD, ref PersonRef) (out []copyRecord, err error) {
	rows, err := t.QueryContext(ctx, "SELECT sealed FROM copies WHERE person = ?", ref[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	for rows.Next() {
		var c copyRecord
		var sealed []byte
		if err := rows.Scan(&sealed); err != nil {
			return nil, err
		}
		raw, err := open(key, "copy", ref, sealed)
		if err != nil {
			return nil, err
		}
		if err := encoding.Unmarshal(raw, &c); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// changes asks the ledger for the present status of entries and makes transactions of those that are to change.
func (s *Service) changes(ctx context.Context, req *StatusRequest, entries map[uint64][]uint64, result *StatusResult) ([]*tx.StatusSet, error) {
	var bodies []*tx.StatusSet
	lists := make([]uint64, 0, len(entries))
	for list := range entries {
		lists = append(lists, list)
	}
	slices.Sort(lists)
	for _, list := range lists {
		var change []uint64
		for rest := entries[list]; len(rest) > 0; {
			var now []hufu.Status
			err := s.cfg.Ledger.Read(ctx, func(v client.View) error {
				l, err := status.GetList(v, s.id, list)
				switch {
				case err != nil:
					return err
				case l == nil:
					return hufu.Refuse(status.RuleUnknownList, "list %d is not on the ledger", list)
				}
				now, err = l.LookupRun(v, rest)
				return err
			})
			if err != nil {
				return nil, err
			}
			for i, had := range now {
				switch had {
				case req.Status:
					result.Already++
				case hufu.StatusRevoked:
					result.Final++
				default:
					change = append(change, rest[i])
				}
			}
			rest = rest[len(now):]
		}
		for some := range slices.Chunk(change, maxEntries) {
			bodies = append(bodies, &tx.StatusSet{List: list, Changes: []tx.StatusChange{{Status: req.Status, Reason: req.Reason, Indexes: some}}})
		}
		result.Left += len(change)
	}
	return bodies, nil
}

// setAll sends transactions, many at a time, and accounts for each. One that another process of the issuer
// was faster than is signed anew.
func (s *Service) setAll(ctx context.Context, req *StatusRequest, bodies []*tx.StatusSet, result *StatusResult) error {
	done, all := result.Already+result.Final, result.Already+result.Final+result.Left
	progress := func(n int) {
		if done += n; req.Progress != nil {
			req.Progress(done, all)
		}
	}
	progress(0)
	for overtaken := 0; len(bodies) > 0; {
		sending := make([]tx.Body, min(len(bodies), maxInFlight))
		for i := range sending {
			sending[i] = bodies[i]
		}
		at := 0
		outcomes, err := s.sendAll(ctx, func(o client.Outcome) {
			if o.Err == nil {
				progress(bodies[at].Entries())
			}
			at++
		}, sending...)
		if err != nil {
			return err
		}
		var again []*tx.StatusSet
		var failed, sequence error
		for i, o := range outcomes {
			body := bodies[i]
			switch {
			case o.Err == nil:
				s.tokens.drop(body.List)
				result.Entries += body.Entries()
				result.Left -= body.Entries()
				result.Receipts = append(result.Receipts, o.Receipt)
			case errors.Is(o.Err, client.ErrUnknownOutcome):
				result.Unknown += body.Entries()
				result.Left -= body.Entries()
				failed = errors.Join(failed, o.Err)
			case hufu.RuleOf(o.Err) == machine.RuleSequence:
				again, sequence = append(again, body), o.Err
			case errors.Is(o.Err, client.ErrNotOffered):
				again = append(again, body)
			default:
				failed = errors.Join(failed, o.Err)
			}
		}
		if overtaken++; len(again) < len(sending) {
			overtaken = 0
		}
		if failed == nil && overtaken == maxOvertaken {
			failed = sequence
		}
		if failed != nil {
			return fmt.Errorf("issuer: %w", failed)
		}
		bodies = append(again, bodies[len(sending):]...)
	}
	return nil
}
