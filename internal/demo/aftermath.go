package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// revoke revokes one person in a hundred, all in one batch, and sends one of them to a door.
func (s *story) revoke(ctx context.Context) error {
	n := max(len(s.people)/100, 1)
	s.chapterf("%d people, one in a hundred, are revoked in one batch", n)
	var witness *person
	req := issuer.StatusRequest{Status: hufu.StatusRevoked, Reason: tx.ReasonKeyCompromise}
	for i := len(s.people) - 1; i >= 0 && len(req.People) < n; i-- {
		p := &s.people[i]
		if witness == nil && !mayEnter(readingRoom, &p.Person, s.today) {
			continue // the first has to be one whom the door would let in
		}
		if witness == nil {
			witness = p
		}
		p.revoked = true
		req.People = append(req.People, s.issuer.Ref(p.ResidentNumber))
	}
	if witness == nil {
		return errors.New("demo: nobody to revoke")
	}
	before, err := s.visit(ctx, witness, s.doors[readingRoom])
	if err != nil || before.decision() != hufu.Allow {
		return errors.Join(err, errors.New("demo: the witness was not let in before the revocation"))
	}
	// The wallet has made up its mind when the order is given.
	q, err := s.consider(ctx, witness, s.doors[readingRoom], s.ledger)
	if err != nil || q == nil {
		return errors.Join(err, errors.New("demo: the witness had nothing to show"))
	}
	began := time.Now()
	result, err := s.issuer.SetStatus(ctx, req)
	if err != nil {
		return err
	}
	after, err := s.agree(ctx, witness, q, s.ledger)
	if err != nil {
		return err
	}
	s.report.RevokeToRefusalMS = milliseconds(time.Since(began))
	s.report.Revoked, s.report.RevokedCopies = len(req.People), result.Entries
	last := result.Receipts[len(result.Receipts)-1].Height
	s.report.must(after.receipt.Rule == gate.RuleRevoked, "a revoked person's visit ended with %q", after.receipt.Rule)
	s.report.must(after.receipt.AsOf.Height == last, "the refusal was on height %d, the revocation in block %d", after.receipt.AsOf.Height, last)
	s.factf("%d status entries in block %d; the next visit was refused by %s on that block's state", result.Entries, last, after.receipt.Rule)
	s.factf("%.0f ms from the agency's order to the refusal", s.report.RevokeToRefusalMS)
	return s.goHome()
}

// The kill comes at a random moment, after between killFirst and killLast acknowledged transactions.
const (
	killFirst  = 300
	killLast   = 900
	submitters = 48
)

// crash kills the node while many identifiers are being written, starts it again, and looks for each
// that was acknowledged.
func (s *story) crash(ctx context.Context) error {
	s.chapterf("The node is killed in the middle of writing, and starts again")
	extra, err := rand.Int(rand.Reader, big.NewInt(killLast-killFirst))
	if err != nil {
		return err
	}
	ids, err := s.writeUntil(ctx, killFirst+int(extra.Int64()), s.process.kill)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.process.start(ctx); err != nil {
		return err
	}
	if err := s.reconnect(ctx); err != nil {
		return err
	}
	for _, id := range ids {
		var rec *did.Record
		if err := s.ledger.Read(ctx, func(v client.View) (err error) { rec, err = did.Get(v, id); return err }); err != nil {
			return err
		}
		if rec == nil {
			s.report.Restart.Lost++
		}
	}
	s.report.Restart.Acknowledged = len(ids)
	s.factf("killed after %d acknowledged transactions; up again and all read back, proven, %.1f s later: %d lost", len(ids), time.Since(began).Seconds(), s.report.Restart.Lost)
	return nil
}

// writeUntil has many write identifiers at once, until that many were acknowledged; then it calls stop
// while they go on. It returns all that were acknowledged.
func (s *story) writeUntil(ctx context.Context, enough int, stop func() error) (ids []hufu.ID, err error) {
	load, cancel := s.process.watch(ctx)
	defer cancel()
	acknowledged, failed := make(chan hufu.ID, submitters), make(chan error, submitters)
	var group sync.WaitGroup
	for range submitters {
		group.Go(func() {
			for {
				id, err := s.writeOne(load)
				if err != nil {
					failed <- err // one failure is enough: nothing but the end of the node may cause it
					return
				}
				acknowledged <- id
			}
		})
	}
	go func() { group.Wait(); close(acknowledged) }()
	add, done := s.progress("transactions acknowledged", enough)
	defer done()
	for id := range acknowledged {
		add(1)
		if ids = append(ids, id); len(ids) == enough {
			err = stop()
			cancel()
		}
	}
	if len(ids) < enough {
		return nil, errors.Join(context.Cause(load), <-failed)
	}
	return ids, err
}

// reconnect waits until the client has found the node again.
func (s *story) reconnect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := s.ledger.Head(ctx)
		if !errors.Is(err, client.ErrUnreachable) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// writeOne puts a new identifier on the ledger, at the expense of the member that allows it to anybody.
func (s *story) writeOne(ctx context.Context) (hufu.ID, error) {
	key, err := keys.Ed25519.Generate(rand.Reader)
	if err != nil {
		return hufu.ID{}, err
	}
	next, err := keys.Ed25519.Generate(rand.Reader)
	if err != nil {
		return hufu.ID{}, err
	}
	body := &tx.DIDCreate{Keys: [][]byte{key.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{next.Public().Digest()}, NextThreshold: 1}
	head, err := s.ledger.Head(ctx)
	if err != nil {
		return hufu.ID{}, err
	}
	open := s.members[1].ID()
	raw, err := tx.Build(rand.Reader, tx.Payload{Network: network, Expires: head.Height + 1000, Sponsor: &open}, body, tx.SignerRef{Signer: key})
	if err != nil {
		return hufu.ID{}, err
	}
	_, err = s.ledger.Submit(ctx, raw)
	return tx.InceptionID(network, body), err
}

// goOffline takes a snapshot, stops everything, and lets one more person in.
func (s *story) goOffline(ctx context.Context) error {
	s.chapterf("A snapshot is taken, everything is stopped, and a door still works")
	visitor, err := s.visitor(ctx)
	if err != nil {
		return err
	}
	s.snapshot = filepath.Join(s.Dir, "snapshot")
	f, err := os.OpenFile(s.snapshot, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	asOf, err := s.ledger.ExportSnapshot(ctx, f)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, 1)
	if err != nil {
		return err
	}
	if err := errors.Join(s.stopOrigins(), s.process.stop()); err != nil {
		return err
	}
	view, err := s.openSnapshot()
	if err != nil {
		return err
	}
	offline := gate.Offline(view)
	d, err := s.openDoor(ctx, readingRoom, offline, database.Memory, nil)
	if err != nil {
		return err
	}
	defer d.store.Close() //nolint:errcheck // it ends with its memory
	q, err := s.consider(ctx, visitor, d, offline)
	if err != nil || q == nil {
		return errors.Join(err, errors.New("demo: the visitor had nothing to show"))
	}
	v, err := s.agree(ctx, visitor, q, offline)
	if err != nil {
		return err
	}
	r := v.receipt
	s.report.Offline.Decision, s.report.Offline.StalenessS = r.Decision, r.Staleness.Seconds()
	s.factf("snapshot of height %d, %d records, %d KiB, verified from the genesis alone", asOf.Height, view.Len(), size>>10)
	s.factf("decision without any node: %s, on a state %s old, and the receipt says so", r.Decision, r.Staleness)
	return s.stopOrigins()
}

func (s *story) openSnapshot() (*client.Snapshot, error) {
	genesis, err := s.home.Genesis()
	if err != nil {
		return nil, err
	}
	trust, err := client.ParseGenesis(genesis)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.snapshot)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return client.OpenSnapshot(f, trust, time.Now(), 0)
}

// visitor is somebody whom the reading room must let in. Where nobody is left whose credentials stand,
// the agency gives new ones to a person who lost the old ones.
func (s *story) visitor(ctx context.Context) (*person, error) {
	if p := s.reader(); p != nil {
		return p, nil
	}
	_, err := s.provision(ctx, s.victim)
	return s.victim, err
}

// reader is the first person whom the reading room must let in; nil when there is none.
func (s *story) reader() *person {
	for i := range s.people {
		if p := &s.people[i]; !p.revoked && mayEnter(readingRoom, &p.Person, s.today) {
			return p
		}
	}
	return nil
}

// goHome lets go of all wallets but that of the last visitor, as what comes needs no others, and of the memory
// that they had: they would be on phones.
func (s *story) goHome() error {
	stays := s.reader()
	var errs []error
	for i := range s.people {
		if p := &s.people[i]; p != stays {
			errs = append(errs, p.wallet.Close())
			p.wallet = nil
		}
	}
	debug.FreeOSMemory()
	return errors.Join(errs...)
}

func (s *story) auditLedger(ctx context.Context) error {
	s.chapterf("An auditor replays every block from genesis into a store of its own")
	if err := s.process.start(ctx); err != nil {
		return err
	}
	if err := s.reconnect(ctx); err != nil {
		return err
	}
	genesis, err := s.home.Genesis()
	if err != nil {
		return err
	}
	transport, err := client.Dial("http://" + s.process.rpc)
	if err != nil {
		return err
	}
	search := s.needles()
	began := time.Now()
	last, err := s.ledger.Head(ctx)
	if err != nil {
		return err
	}
	add, done := s.progress("blocks replayed", int(last.Height)+1)
	blocks := hufu.Height(0)
	r, err := audit.Replay(ctx, genesis, audit.FromNode(transport), audit.Options{Seen: search.In, Tick: func(n, _ hufu.Height) {
		add(int(n - blocks))
		blocks = n
	}})
	done()
	if err != nil {
		return err
	}
	s.report.Audit.Blocks, s.report.Audit.AppHashMatch = r.Blocks, r.AppHashMatch
	s.report.LedgerTxTotal, s.report.Heights.Last = r.Transactions, r.Height
	for h := s.before + 1; h <= s.after; h++ {
		s.report.LedgerTxDuring += r.PerBlock[h-1]
	}
	if r.Divergence != nil {
		s.factf("DIVERGENCE: %v", r.Divergence)
	}
	s.report.Leaks, s.report.Needles = search.Found(), search.Values()
	s.factf("%d blocks, %d transactions, %d refused by a rule; app hash %s, the same: %t; %.1f s", r.Blocks, r.Transactions, r.Refused, short(r.AppHash), r.AppHashMatch, time.Since(began).Seconds())
	s.factf("%d transactions in the blocks while everybody was verified", s.report.LedgerTxDuring)
	return r.Close()
}

// needles is a search for every identifying value of the register.
func (s *story) needles() *audit.Search {
	search := audit.NewSearch()
	for i := range s.people {
		p := &s.people[i].Person
		born := p.BirthDate.String()
		for _, v := range []string{
			p.ResidentNumber, p.NameZH, p.Name, p.Address,
			born + p.NameZH, p.NameZH + born, born + p.Name, p.Name + born, born + "|" + p.Name, p.Name + "|" + born,
		} {
			search.Add(v)
		}
	}
	return search
}

func (s *story) searchLedger(context.Context) error {
	s.chapterf("Every byte of the ledger is searched for the people in it")
	s.factf("%d identifying values, each plain, in hex, base64, as SHA-256 and as SM3: %d found", s.report.Needles, s.report.Leaks)
	if s.report.Leaks > 0 {
		return fmt.Errorf("demo: the ledger holds %d identifying values", s.report.Leaks)
	}
	return nil
}
