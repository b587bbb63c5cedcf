package demo

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/examples"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/wallet"
)

// door is a service with a contract and a gate.
type door struct {
	name  string
	id    hufu.ContractID
	gate  *gate.Gate
	store gate.Store
	input gate.SessionInput // how the service asks SD-JWT holders
}

// asksBy is how the services have their answers come: the clinic in the clear, to be read by whoever is
// between it and the wallet, the others encrypted.
var asksBy = map[string]gate.SessionInput{
	readingRoom: {ResponseMode: oid4vp.ModePostJWT},
	clinic:      {ResponseMode: oid4vp.ModePost},
	bank:        {ResponseMode: oid4vp.ModePostJWT, RequestURIMethod: oid4vp.MethodPost},
}

func (s *story) publishContracts(ctx context.Context) error {
	s.chapterf("Three services publish their access contracts, and serve a gate each")
	s.doors = map[string]*door{}
	for _, name := range doorNames {
		owner, err := s.identity(ctx, "service-"+name, home.MethodSpec{
			Fragment: home.GateMethod, Suite: keys.P256, Purposes: tx.PurposeAuthentication | tx.PurposeAssertion,
		})
		if err != nil {
			return err
		}
		text, err := examples.Files.ReadFile("contracts/" + name + ".toml")
		if err != nil {
			return err
		}
		if text, err = contract.SetOwner(text, owner.DID()); err != nil {
			return err
		}
		c, err := contract.Parse(text)
		if err != nil {
			return err
		}
		r, err := owner.Submit(ctx, &tx.ContractPublish{Name: c.Name, Version: c.Version, Text: string(text)}, nil)
		if err != nil {
			return err
		}
		d, err := s.openDoor(ctx, name, s.ledger, filepath.Join(s.Dir, name+".db"), nil)
		if err != nil {
			return err
		}
		d.input = asksBy[name]
		s.doors[name] = d
		s.row(contract.In(c.Title, "en"), "block %d: %s", r.Height, contract.In(c.Purpose, "en"))
	}
	return nil
}

// openDoor makes a door's gate on a view of the ledger, with a clock of its own if now is set, and serves
// it. The store is the caller's to close; it asks for answers in the clear.
func (s *story) openDoor(ctx context.Context, name string, l gate.Ledger, dsn string, now func() time.Time) (_ *door, err error) {
	identity := "service-" + name
	d := &door{name: name, input: gate.SessionInput{ResponseMode: oid4vp.ModePost}}
	did, err := s.offices.Identity(identity)
	if err != nil {
		return nil, err
	}
	signer, err := s.offices.MethodSigner(identity, home.GateMethod)
	if err != nil {
		return nil, err
	}
	o, err := s.listen(ctx)
	if err != nil {
		return nil, err
	}
	if d.store, err = gate.OpenStore(ctx, dsn); err != nil {
		return nil, err
	}
	d.id = hufu.ContractID{Owner: did, Name: name}
	stapler, _ := l.(gate.Stapler) // what a door that is offline reads, nobody can prove to others
	d.gate, err = gate.New(gate.Config{
		DID: did, Fragment: home.GateMethod, Signer: signer, Ledger: l, Stapler: stapler, Store: d.store,
		ResponseURI: o.url + "/gates/" + identity + "/gate/response", Now: now,
	})
	if err != nil {
		return nil, errors.Join(err, d.store.Close())
	}
	o.serve(server.Routes(server.Parts{Ledger: s.ledger, Gates: map[string]http.Handler{identity: d.gate.Handler()}}))
	return d, nil
}

// ask has the service open a session for a person with credentials in a format, and returns the link for
// the wallet.
func (d *door) ask(ctx context.Context, format string) (*gate.SessionOutput, error) {
	in := d.input
	in.Contract, in.Format = d.id.Name, format
	return d.gate.OpenSession(ctx, in)
}

// visit is what came of one person at one door.
type visit struct {
	receipt *receipt.Receipt // signed by the gate and checked by the wallet; nil: the wallet had nothing to show
	shown   int              // credentials
	refill  error            // why the wallet got no new copies when few were left
}

func (v *visit) decision() hufu.Decision {
	if v.receipt == nil {
		return hufu.Deny // nobody answered
	}
	return v.receipt.Decision
}

// visit has a service ask and a person's wallet answer.
func (s *story) visit(ctx context.Context, p *person, d *door) (*visit, error) {
	q, err := s.consider(ctx, p, d, s.ledger)
	if err != nil || q == nil {
		return &visit{}, err
	}
	v, err := s.agree(ctx, p, q, s.ledger)
	if err != nil {
		return nil, err
	}
	return v, v.refill
}

// consider has the wallet fetch a door's request and look into it. It is nil when the wallet holds nothing
// that would do.
func (s *story) consider(ctx context.Context, p *person, d *door, l wallet.Ledger) (*wallet.Inquiry, error) {
	asked, err := d.ask(ctx, p.format())
	if err != nil {
		return nil, err
	}
	q, err := p.wallet.Consider(ctx, l, asked.URI)
	if hufu.RuleOf(err) == dcql.RuleUnavailable {
		return nil, nil //nolint:nilnil // no answer is an answer
	}
	return q, err
}

// agree has the wallet answer, and get new copies when few are left.
func (s *story) agree(ctx context.Context, p *person, q *wallet.Inquiry, l wallet.Ledger) (*visit, error) {
	o, err := p.wallet.Agree(ctx, l, q)
	if err != nil {
		return nil, err
	}
	if o.ReceiptError != nil {
		return nil, o.ReceiptError
	}
	if o.Receipt == nil {
		return nil, errors.New("demo: the gate gave no receipt")
	}
	return &visit{receipt: o.Receipt, shown: len(q.Show), refill: o.Refill}, nil
}

func (s *story) tryDoors(ctx context.Context) error {
	s.chapterf("Everybody tries every door")
	before, err := s.ledger.Head(ctx)
	if err != nil {
		return err
	}
	s.before = before.Height
	visits := make([]*visit, len(s.people)*len(doorNames))
	var shown atomic.Int64
	began := time.Now()
	err = s.everybody(ctx, "people have been at every door", func(ctx context.Context, i int) error {
		for n, name := range doorNames {
			v, err := s.visit(ctx, &s.people[i], s.doors[name])
			if err != nil {
				return err
			}
			visits[i*len(doorNames)+n] = v
			shown.Add(int64(v.shown))
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	s.report.VerifyPerS = float64(shown.Load()) / took.Seconds()
	for n, name := range doorNames {
		let := 0
		for i := range s.people {
			got := visits[i*len(doorNames)+n].decision() == hufu.Allow
			s.report.Decisions++
			if got {
				let++
			}
			if got != mayEnter(name, &s.people[i].Person, s.today) {
				s.report.Wrong++
			}
		}
		s.report.Allowed += let
		s.row(name, "%d let in, %d not", let, len(s.people)-let)
	}
	after, err := s.ledger.Head(ctx)
	if err != nil {
		return err
	}
	s.after = after.Height
	s.factf("%d decisions, %d of them other than the register says", s.report.Decisions, s.report.Wrong)
	s.factf("%d presentations asked for, shown, verified and judged in %.1f s (%.0f/s): OpenID4VP, signed requests by reference", shown.Load(), took.Seconds(), s.report.VerifyPerS)
	s.factf("each decision has a signed receipt that the gate keeps and the wallet has checked")
	return nil
}
