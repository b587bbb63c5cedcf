package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// VerifyFigures are what judging a presentation costs on one core, with everything about the ledger in the
// gate's cache.
type VerifyFigures struct {
	Suite          string  `json:"suite"`
	Presentations  int     `json:"presentations"`
	VerifyPerS     float64 `json:"verify_per_s"`    // of processor time: all checks and the contract; no receipt signed or stored
	BarePerS       float64 `json:"bare_per_s"`      // only the issuer's and the holder's signature of each
	Ratio          float64 `json:"ratio"`           // processor time of judging ÷ that of the bare checks
	WallRatio      float64 `json:"wall_ratio"`      // the same of elapsed time
	ReceiptMicros  float64 `json:"receipt_micros"`  // making and signing one receipt, not in the above
	RespondPerS    float64 `json:"respond_per_s"`   // whole answers: request used up, judged, receipt signed and stored in memory
	ColdMicros     float64 `json:"cold_micros"`     // the first presentation under a new ledger state
	PresentedBytes int     `json:"presented_bytes"` // of one presentation
}

// holds checks a signature by what checks signatures and nothing else: crypto/ed25519, crypto/ecdsa or
// gmsm. For the latter two that is what keys does too.
func (s *signed) holds() bool {
	if s.key.Suite() == keys.Ed25519 {
		return ed25519.Verify(s.key.Raw(), s.message, s.signature)
	}
	return s.key.Verify(s.message, s.signature)
}

// VerifyBar is the most that Ratio may be.
const VerifyBar = 1.25

// visit is one prepared answer and the bare signatures in it.
type visit struct {
	session gate.Session
	answer  oid4vp.Response
	bare    [2]signed
}

type signed struct {
	key                keys.PublicKey
	message, signature []byte
}

// VerifyRounds is into how many parts the work is cut, so that both ways of working see the same machine.
const VerifyRounds = 40

// verifyPeople is how many people's presentations are judged in turns: so few that the memory they are in
// is as near to the processor as that of a presentation that just came in.
const verifyPeople = 400

// MeasureVerify has people present a credential of one claim, each a copy of their own, and judges n of
// the presentations on the calling goroutine.
func MeasureVerify(ctx context.Context, suite *keys.Suite, n int, progress Progress) (VerifyFigures, error) {
	n = max(n, VerifyRounds) / VerifyRounds * VerifyRounds
	f := VerifyFigures{Suite: suite.Name(), Presentations: n}
	s, err := stage(suite)
	if err != nil {
		return f, err
	}
	visits := make([]visit, min(n, verifyPeople)/VerifyRounds*VerifyRounds)
	for i := range visits {
		if visits[i], err = s.visit(ctx); err != nil {
			return f, err
		}
	}
	f.PresentedBytes = len(visits[0].answer.VPToken["person"][0])
	at := s.world.Now()
	cold, err := measure(func() error { _, err := s.judge(ctx, &visits[0], at); return err })
	if err != nil {
		return f, err
	}
	f.ColdMicros = micros(1, cold.cpu)
	runtime.GC()
	var d duel
	for range VerifyRounds {
		each := n / VerifyRounds
		if err := d.round(ctx,
			func() error { return s.judgeAll(ctx, visits, each, at) },
			func() error { return bareChecks(visits, each) }); err != nil {
			return f, err
		}
		progress.done(1)
	}
	f.VerifyPerS, f.BarePerS = perSecond(n, d.ours.cpu), perSecond(n, d.bare.cpu)
	f.Ratio, f.WallRatio = d.ratio(), d.wallRatio()
	return f, s.respond(ctx, visits, at, &f)
}

// judgeAll judges n presentations, the visits in turns.
func (s *setting) judgeAll(ctx context.Context, visits []visit, n int, at time.Time) error {
	for i := range n {
		if _, err := s.judge(ctx, &visits[i%len(visits)], at); err != nil {
			return err
		}
	}
	return nil
}

func bareChecks(visits []visit, n int) error {
	for i := range n {
		for _, b := range visits[i%len(visits)].bare {
			if !b.holds() {
				return errors.New("bench: a signature does not hold")
			}
		}
	}
	return nil
}

// respond measures what surrounds judging.
func (s *setting) respond(ctx context.Context, visits []visit, at time.Time, f *VerifyFigures) error {
	r, err := s.judge(ctx, &visits[0], at)
	if err != nil {
		return err
	}
	const receipts = 200
	making, err := measure(func() error {
		for range receipts {
			if _, err := receipt.Make(rand.Reader, s.owner.Signer, s.owner.KeyID(), r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.ReceiptMicros = micros(receipts, making.cpu)
	answering, err := measure(func() error {
		for i := range visits {
			o, err := s.gate.Respond(ctx, visits[i].answer)
			if err != nil {
				return err
			}
			if o.Decision != hufu.Allow {
				return errors.New("bench: refused by " + string(o.Receipt.Rule))
			}
		}
		return nil
	})
	f.RespondPerS = perSecond(len(visits), answering.cpu)
	return err
}

func (s *setting) judge(ctx context.Context, v *visit, at time.Time) (*receipt.Receipt, error) {
	r, err := s.gate.Judge(ctx, v.session, v.answer.VPToken, at)
	if err == nil && r.Decision != hufu.Allow {
		err = errors.New("bench: refused by " + string(r.Rule))
	}
	return &r, err
}

// setting is an agency, a gate and its door.
type setting struct {
	suite  *keys.Suite
	world  *world.World
	agency *world.Agency
	owner  *world.Actor
	gate   *gate.Gate
	door   hufu.ContractID
}

func stage(suite *keys.Suite) (*setting, error) {
	s := &setting{suite: suite}
	var err error
	if s.world, err = world.New(); err != nil {
		return nil, err
	}
	if err := s.world.PublishTypes(); err != nil {
		return nil, err
	}
	if s.agency, err = s.world.Agency(suite); err != nil {
		return nil, err
	}
	if s.owner, err = s.world.Actor(suite); err != nil {
		return nil, err
	}
	if s.door, err = s.world.Publish(s.owner, "reading-room", 1, world.ReadingRoom); err != nil {
		return nil, err
	}
	v, err := s.world.View()
	if err != nil {
		return nil, err
	}
	st, err := gate.OpenStore(context.Background(), database.Memory)
	if err != nil {
		return nil, err
	}
	s.gate, err = gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Ledger: gate.Offline(v), Store: st,
		ResponseURI: "https://gate.example/gate/response", Now: s.world.Now,
	})
	return s, err
}

// visit lets somebody new get a credential and answer the gate.
func (s *setting) visit(ctx context.Context) (visit, error) {
	var v visit
	holder, err := s.suite.Generate(rand.Reader)
	if err != nil {
		return v, err
	}
	text, err := s.world.Issue(s.agency, world.Resident, world.Person("Somebody", "north", "1990-01-02", true), holder.Public())
	if err != nil {
		return v, err
	}
	token, err := s.gate.Request(ctx, s.door)
	if err != nil {
		return v, err
	}
	r, err := oid4vp.ParseRequest(token)
	if err != nil {
		return v, err
	}
	cred, err := sdjwt.Parse(text)
	if err != nil {
		return v, err
	}
	presentation, err := cred.Present(rand.Reader, []dcql.Path{{"age", "18"}}, sdjwt.KeyBinding{
		Audience: oid4vp.ClientID(r.Verifier), Nonce: r.Nonce, IssuedAt: s.world.Now(), Signer: holder,
	})
	if err != nil {
		return v, err
	}
	v.session = gate.Session{State: r.State, Nonce: r.Nonce, Contract: r.Contract, Version: r.Version, Opened: r.IssuedAt, Expires: r.ExpiresAt}
	v.answer = oid4vp.Response{VPToken: oid4vp.VPToken{"person": {presentation}}, State: r.State}
	issued, _, _ := strings.Cut(presentation, "~")
	for i, part := range []struct {
		token string
		key   keys.PublicKey
	}{{issued, s.agency.Signer.Public()}, {presentation[strings.LastIndexByte(presentation, '~')+1:], holder.Public()}} {
		m, err := jws.Parse(part.token, sdjwt.MaxSize)
		if err != nil {
			return v, err
		}
		v.bare[i] = signed{part.key, []byte(m.SigningInput), m.Signature}
	}
	return v, nil
}
