package issuer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
)

// listBits is the width of a list's entries: valid, revoked, suspended.
const listBits = 2

// entry is one place in a status list.
type entry struct {
	list  uint64
	uri   string
	index uint64
}

// noRoomError says that no open list has so many entries left.
type noRoomError struct{ need int }

func (e *noRoomError) Error() string {
	return fmt.Sprintf("issuer: no open status list has %d entries left", e.need)
}

// drawEntries takes the next entries, in the list's secret order, out of an open list. They are never
// given again.
func (s *Service) drawEntries(ctx context.Context, t *database.Tx, n int) ([]entry, error) {
	var (
		list, given, size uint64
		uri               string
		seed              []byte
	)
	err := t.QueryRowContext(ctx, `UPDATE lists SET given = given + ?1
		WHERE number = (SELECT number FROM lists WHERE opened = 1 AND given + ?1 <= size ORDER BY number LIMIT 1)
		RETURNING number, given - ?1, size, uri, seed`, n).Scan(&list, &given, &size, &uri, &seed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &noRoomError{n}
	}
	if err != nil {
		return nil, err
	}
	o, err := s.order(list, size, seed)
	if err != nil {
		return nil, err
	}
	out := make([]entry, n)
	for i := range out {
		out[i] = entry{list, uri, o.at(given + uint64(i))}
	}
	return out, nil
}

func (s *Service) order(list, size uint64, sealed []byte) (*order, error) {
	if o, ok := s.lists.Load(list); ok {
		return o.(*order), nil
	}
	seed, err := open(s.vault.master, listSeed(list), PersonRef{}, sealed)
	if err != nil {
		return nil, err
	}
	o, err := newOrder(seed, size)
	if err != nil {
		return nil, err
	}
	s.lists.Store(list, o)
	return o, nil
}

func listSeed(list uint64) string { return fmt.Sprintf("list-%d", list) }

// pending is a list that is written down here and perhaps not yet on the ledger.
type pending struct {
	number, size uint64
	uri          string
}

// openList sees to it that there is an open list with room. A list is written down before it is opened
// on the ledger, so that whatever ends this in between, the next call goes on where it ended.
func (s *Service) openList(ctx context.Context, need int) error {
	if uint64(need) > s.cfg.ListSize {
		return fmt.Errorf("issuer: %d copies at once and lists of %d entries", need, s.cfg.ListSize)
	}
	s.listMu.Lock()
	defer s.listMu.Unlock()
	var room int
	err := s.store.QueryRowContext(ctx, "SELECT count(*) FROM lists WHERE opened = 1 AND given + ? <= size", need).Scan(&room)
	if err != nil || room > 0 { // somebody else opened one
		return err
	}
	p, err := s.pendingList(ctx)
	if err != nil {
		return err
	}
	there, err := s.listOnLedger(ctx, p.number)
	if err != nil {
		return err
	}
	if there == nil {
		_, err := s.send(ctx, &tx.StatusOpen{List: p.number, Bits: listBits, Size: p.size, URI: p.uri})
		if err != nil { // unless another process of this issuer has opened it in between
			if there, _ = s.listOnLedger(ctx, p.number); there == nil {
				return fmt.Errorf("issuer: opening status list %d: %w", p.number, err)
			}
		}
	}
	return s.store.Write(ctx, func(t *database.Tx) error {
		if there != nil && (there.Bits != listBits || there.Size != p.size || there.URI != p.uri) {
			// Opened by another store of this issuer: not ours to give entries of.
			_, err := t.ExecContext(ctx, "DELETE FROM lists WHERE number = ? AND opened = 0", p.number)
			return err
		}
		_, err := t.ExecContext(ctx, "UPDATE lists SET opened = 1 WHERE number = ?", p.number)
		return err
	})
}

func (s *Service) listOnLedger(ctx context.Context, number uint64) (l *status.List, err error) {
	err = s.cfg.Ledger.Read(ctx, func(v client.View) (err error) {
		l, err = status.GetList(v, s.id, number)
		return err
	})
	return l, err
}

// pendingList finds the list that was begun and not finished, or begins the ledger's next.
func (s *Service) pendingList(ctx context.Context) (p pending, err error) {
	const find = "SELECT number, size, uri FROM lists WHERE opened = 0 ORDER BY number LIMIT 1"
	err = s.store.QueryRowContext(ctx, find).Scan(&p.number, &p.size, &p.uri)
	if !errors.Is(err, sql.ErrNoRows) {
		return p, err
	}
	p.size = s.cfg.ListSize
	err = s.cfg.Ledger.Read(ctx, func(v client.View) (err error) {
		p.number, err = status.Lists(v, s.id)
		return err
	})
	if err != nil {
		return p, err
	}
	p.uri = status.URI(s.cfg.StatusBase, s.cfg.DID, p.number)
	seed := make([]byte, orderSeedLen)
	if _, err := io.ReadFull(s.cfg.Rand, seed); err != nil {
		return p, fmt.Errorf("issuer: %w", err)
	}
	sealed, err := s.vault.seal(s.vault.master, listSeed(p.number), PersonRef{}, seed)
	if err != nil {
		return p, err
	}
	return p, s.store.Write(ctx, func(t *database.Tx) error {
		// Another process may have begun it; then its row stands.
		_, err := t.ExecContext(ctx, "INSERT INTO lists (number, size, uri, seed) VALUES (?, ?, ?, ?) ON CONFLICT (number) DO NOTHING", p.number, p.size, p.uri, sealed)
		if err != nil {
			return err
		}
		return t.QueryRowContext(ctx, "SELECT size, uri FROM lists WHERE number = ?", p.number).Scan(&p.size, &p.uri)
	})
}

// Spend gives n status entries to nobody, so that a list can be measured that is as full as with n credentials.
func (s *Service) Spend(ctx context.Context, n int) error {
	return s.store.Write(ctx, func(t *database.Tx) error {
		_, err := s.drawEntries(ctx, t, n)
		return err
	})
}
