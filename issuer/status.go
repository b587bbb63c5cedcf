package issuer

import (
	"cmp"
	"context"
	"crypto/cipher"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
)

// StatusRequest changes the status of every copy that people hold.
type StatusRequest struct {
	People []PersonRef
	Types  []string // only copies of these types; empty: of all
	Status hufu.Status
	Reason string // a code of package ledger/tx: tx.ReasonRequested and its like
}

// StatusResult says what a [StatusRequest] came to.
type StatusResult struct {
	Entries  int              `json:"entries"`  // status entries that were set
	Final    int              `json:"final"`    // left alone, because revoked and to become something else
	Receipts []client.Receipt `json:"receipts"` // of the transactions
}

// maxEntries is how many entries fit one transaction: an index takes at most 5 bytes.
const maxEntries = 11_000

// held is one copy somebody holds.
type held struct {
	number int64 // in the store
	status hufu.Status
	copyRecord
}

// SetStatus sets the status of copies on the ledger, in as few transactions as hold them, and returns
// when all are on it. After an error, some may be; the same request may be made again.
func (s *Service) SetStatus(ctx context.Context, req StatusRequest) (StatusResult, error) {
	var result StatusResult
	switch req.Status {
	case hufu.StatusValid, hufu.StatusRevoked, hufu.StatusSuspended:
	default:
		return result, hufu.Refuse(RuleUnknownStatus, "no such status")
	}
	var copies []held
	err := s.store.Write(ctx, func(t *database.Tx) (err error) {
		copies, result.Final, err = s.copiesOf(ctx, t, &req)
		return err
	})
	if err != nil {
		return result, err
	}
	slices.SortFunc(copies, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.List, b.List), cmp.Compare(a.Index, b.Index))
	})
	for len(copies) > 0 {
		n := 1
		for n < len(copies) && n < maxEntries && copies[n].List == copies[0].List {
			n++
		}
		receipt, err := s.setEntries(ctx, copies[:n], req.Status, req.Reason)
		if err != nil {
			return result, err
		}
		result.Entries += n
		result.Receipts = append(result.Receipts, receipt)
		copies = copies[n:]
	}
	return result, nil
}

// copiesOf collects what people hold, except copies whose status cannot change.
func (s *Service) copiesOf(ctx context.Context, t *database.Tx, req *StatusRequest) (out []held, final int, err error) {
	seen := make(map[PersonRef]bool, len(req.People))
	for _, ref := range req.People {
		if seen[ref] {
			continue
		}
		seen[ref] = true
		key, _, err := s.key(ctx, t, ref, purposeStatus)
		if err != nil {
			return nil, 0, err
		}
		copies, err := holdings(ctx, t, key, ref)
		if err != nil {
			return nil, 0, err
		}
		for _, c := range copies {
			switch {
			case len(req.Types) > 0 && !slices.Contains(req.Types, c.Type):
			case c.status == hufu.StatusRevoked && req.Status != hufu.StatusRevoked:
				final++
			default:
				out = append(out, c)
			}
		}
	}
	return out, final, nil
}

// holdings lists the copies of one person.
func holdings(ctx context.Context, t *database.Tx, key cipher.AEAD, ref PersonRef) (out []held, err error) {
	rows, err := t.QueryContext(ctx, "SELECT number, status, sealed FROM copies WHERE person = ?", ref[:])
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	for rows.Next() {
		var c held
		var sealed []byte
		if err := rows.Scan(&c.number, &c.status, &sealed); err != nil {
			return nil, err
		}
		raw, err := open(key, "copy", ref, sealed)
		if err != nil {
			return nil, err
		}
		if err := encoding.Unmarshal(raw, &c.copyRecord); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// setEntries sets entries of one list, on the ledger and then in the store.
func (s *Service) setEntries(ctx context.Context, copies []held, to hufu.Status, reason string) (client.Receipt, error) {
	body := &tx.StatusSet{List: copies[0].List, Changes: []tx.StatusChange{{Status: to, Reason: reason}}}
	for _, c := range copies {
		body.Changes[0].Indexes = append(body.Changes[0].Indexes, c.Index)
	}
	receipt, err := s.send(ctx, body)
	if err != nil {
		return receipt, err
	}
	s.tokens.drop(body.List)
	return receipt, s.store.Write(ctx, func(t *database.Tx) error {
		for _, c := range copies {
			if _, err := t.ExecContext(ctx, "UPDATE copies SET status = ? WHERE number = ?", to, c.number); err != nil {
				return err
			}
		}
		return nil
	})
}
