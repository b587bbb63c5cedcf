package demo

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/examples"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

func (s *story) publishContracts(ctx context.Context) error {
	s.chapterf("Three services publish their access contracts")
	s.gates, s.doors = map[string]*gate.Gate{}, map[string]hufu.ContractID{}
	for _, door := range doorNames {
		owner, err := s.identity(ctx, "service-"+door, home.MethodSpec{
			Fragment: home.GateMethod, Suite: keys.P256, Purposes: tx.PurposeAuthentication | tx.PurposeAssertion,
		})
		if err != nil {
			return err
		}
		text, err := examples.Files.ReadFile("contracts/" + door + ".toml")
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
		s.doors[door] = c.ID()
		st, err := gate.OpenStore(ctx, filepath.Join(s.Dir, door+".db"))
		if err != nil {
			return err
		}
		s.stores = append(s.stores, st)
		if s.gates[door], err = s.newGate(door, s.ledger, st, nil); err != nil {
			return err
		}
		s.row(contract.In(c.Title, "en"), "block %d: %s", r.Height, contract.In(c.Purpose, "en"))
	}
	return nil
}

// newGate makes a door's gate on a view of the ledger, with a clock of its own if now is set.
func (s *story) newGate(door string, l gate.Ledger, st gate.Store, now func() time.Time) (*gate.Gate, error) {
	name := "service-" + door
	d, err := s.home.Identity(name)
	if err != nil {
		return nil, err
	}
	signer, err := s.home.MethodSigner(name, home.GateMethod)
	if err != nil {
		return nil, err
	}
	return gate.New(gate.Config{
		DID: d, Fragment: home.GateMethod, Signer: signer, Ledger: l, Store: st,
		ResponseURI: "http://" + s.process.listen + "/gates/" + name + "/gate/response", Now: now,
	})
}

// visit is one person at one door.
type visit struct {
	answer  *oid4vp.Response // nil: the wallet had nothing to show that the door asks for
	outcome hufu.Decision
}

func (s *story) tryDoors(ctx context.Context) error {
	s.chapterf("Everybody tries every door")
	before, err := s.ledger.Head(ctx)
	if err != nil {
		return err
	}
	s.before = before.Height
	visits := make([]visit, len(s.people)*len(doorNames))
	at := func(person, door int) *visit { return &visits[person*len(doorNames)+door] }
	began := time.Now()
	if err := s.everybody(ctx, "people have shown theirs", func(ctx context.Context, i int) error {
		for d, door := range doorNames {
			answer, err := s.show(ctx, &s.people[i], door)
			if err != nil {
				return err
			}
			at(i, d).answer = answer
		}
		return nil
	}); err != nil {
		return err
	}
	shown := time.Since(began)
	began = time.Now()
	var verified atomic.Int64
	if err := s.everybody(ctx, "people judged", func(ctx context.Context, i int) error {
		for d, door := range doorNames {
			v := at(i, d)
			if v.answer == nil {
				continue
			}
			o, err := s.gates[door].Respond(ctx, *v.answer)
			if err != nil {
				return err
			}
			v.outcome = o.Decision
			for _, p := range v.answer.VPToken {
				verified.Add(int64(len(p)))
			}
		}
		return nil
	}); err != nil {
		return err
	}
	took := time.Since(began)
	s.report.VerifyPerS = float64(verified.Load()) / took.Seconds()
	for d, door := range doorNames {
		let := 0
		for i := range s.people {
			got := at(i, d).outcome == hufu.Allow
			s.report.Decisions++
			if got {
				let++
			}
			if got != mayEnter(door, &s.people[i].Person, s.today) {
				s.report.Wrong++
			}
		}
		s.report.Allowed += let
		s.row(door, "%d let in, %d not", let, len(s.people)-let)
	}
	after, err := s.ledger.Head(ctx)
	if err != nil {
		return err
	}
	s.after = after.Height
	s.factf("%d decisions, %d of them other than the register says; wallets answered in %.1f s", s.report.Decisions, s.report.Wrong, shown.Seconds())
	s.factf("%d presentations verified and judged in %.1f s (%.0f/s), each with a signed receipt kept", verified.Load(), took.Seconds(), s.report.VerifyPerS)
	return nil
}

// show has a person's wallet answer a door's request; one that has run out of copies gets new ones
// before. A wallet that refuses because it holds nothing that would do answers nil.
func (s *story) show(ctx context.Context, p *person, door string) (*oid4vp.Response, error) {
	if slices.ContainsFunc(p.wallet.List(), func(l wallet.Stock) bool { return l.Left == 0 }) {
		if _, err := s.fill(ctx, p); err != nil {
			return nil, err
		}
	}
	request, err := s.gates[door].Request(ctx, s.doors[door])
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, p, request)
}

func (s *story) answer(ctx context.Context, p *person, request string) (*oid4vp.Response, error) {
	var response *oid4vp.Response
	err := s.ledger.Read(ctx, func(v client.View) error {
		a, err := p.wallet.Present(v, request)
		if err != nil {
			return err
		}
		response = &a.Response
		return nil
	})
	var refusal *hufu.Refusal
	if errors.As(err, &refusal) {
		return nil, nil //nolint:nilnil // no answer is an answer
	}
	return response, err
}
