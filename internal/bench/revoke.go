package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/examples"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/roster"
)

// RevokeConfig says what to measure.
type RevokeConfig struct {
	Dir        string // for homes and databases; required
	Validators int    // of the network
	Rounds     int    // credentials revoked one by one
	Entries    int    // revoked in one go
	Progress   Progress
}

// RevokeFigures say how long an issuer's order to revoke takes to reach a gate. Issuer and gate have a client each, the
// issuer's of the first validator and the gate's of the last.
type RevokeFigures struct {
	Validators int `json:"validators"`
	Cores      int `json:"cores"`

	Rounds           int     `json:"rounds"`
	RefusedP50Millis float64 `json:"refused_p50_ms"` // from the order until the gate refuses the credential
	RefusedP99Millis float64 `json:"refused_p99_ms"`
	ProvenP50Millis  float64 `json:"proven_p50_ms"` // from the order until the issuer knows that it is on the ledger
	ProvenP99Millis  float64 `json:"proven_p99_ms"`

	Entries      int     `json:"entries"` // revoked in one go, in a list of as many
	Transactions int     `json:"transactions"`
	Blocks       int     `json:"blocks"`         // that they are in
	PrepareS     float64 `json:"prepare_s"`      // of Seconds, until the first is sent: finding the entries, asking the ledger for their status
	Seconds      float64 `json:"seconds"`        // from the order until all validators have all of them and the gate refuses
	EntriesPerS  float64 `json:"entries_per_s"`  //
	MicrosPer    float64 `json:"cpu_micros_per"` // processor time of one entry: issuer, gate and all validators
}

// Bars: the most that RefusedP99Millis and, for a million entries, Seconds are to be.
const (
	RevokeP99Bar     = 250
	RevokeSecondsBar = 60
)

// Steps is how many steps Progress will be told of.
func (c RevokeConfig) Steps() int { return c.Rounds + c.Entries }

// MeasureRevoke runs a network, an issuer and a gate, revokes credentials one by one, and then a list full of them.
func MeasureRevoke(ctx context.Context, c RevokeConfig) (f RevokeFigures, err error) {
	f = RevokeFigures{Validators: c.Validators, Cores: runtime.GOMAXPROCS(0), Rounds: c.Rounds, Entries: c.Entries}
	network, err := sample.New("bench", c.Validators)
	if err != nil {
		return f, err
	}
	v, err := startValidators(ctx, node.Start, network, filepath.Join(c.Dir, "network"))
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, v.stop()) }()
	r := &revocation{RevokeConfig: c, network: network, validators: v}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx); err != nil {
		return f, err
	}
	if err := r.single(ctx, &f); err != nil {
		return f, err
	}
	return f, r.bulk(ctx, &f)
}

// revocation is an issuer and a gate on a network of real nodes.
type revocation struct {
	RevokeConfig
	network    *sample.Network
	validators *validators
	writer     *client.Client
	reader     *client.Client
	agency     *speaker
	owner      *speaker
	issuer     *issuer.Service
	gate       *gate.Gate
	door       hufu.ContractID
	people     []roster.Person
	issued     time.Time // when credentials are dated
	closers    []func() error
}

// speaker writes to the ledger under an identifier whose control key also signs everything else.
type speaker struct {
	network  hufu.Network
	id       hufu.ID
	signer   keys.Signer
	sequence uint64
}

func (s *speaker) did() hufu.DID { return s.id.DID(s.network) }

const speakerFragment = "key-0"

func (s *speaker) sign(_ context.Context, bodies ...tx.Body) (raws [][]byte, err error) {
	raws = make([][]byte, len(bodies))
	for i, body := range bodies {
		p := tx.Payload{Network: s.network, Author: s.id, Sequence: s.sequence, Expires: sample.Lifetime}
		if raws[i], err = tx.Build(rand.Reader, p, body, tx.SignerRef{Signer: s.signer}); err != nil {
			return nil, err
		}
		s.sequence++
	}
	return raws, nil
}

func (r *revocation) do(ctx context.Context, s *speaker, body tx.Body) (client.Receipt, error) {
	raws, err := s.sign(ctx, body)
	if err != nil {
		return client.Receipt{}, err
	}
	return r.writer.Submit(ctx, raws[0])
}

// speaker makes a new identifier, sponsored by the first member.
func (r *revocation) speaker(ctx context.Context) (*speaker, error) {
	signer, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	next, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	body := &tx.DIDCreate{
		Keys: [][]byte{signer.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{next.Public().Digest()}, NextThreshold: 1,
	}
	s := &speaker{network: r.network.Name, id: tx.InceptionID(r.network.Name, body), signer: signer, sequence: 1}
	p := tx.Payload{Network: r.network.Name, Expires: sample.Lifetime, Sponsor: &r.network.Members[0].ID}
	raw, err := tx.Build(rand.Reader, p, body, tx.SignerRef{ID: s.id, Signer: signer})
	if err != nil {
		return nil, err
	}
	_, err = r.writer.Submit(ctx, raw)
	return s, err
}

// open makes the issuer and the gate, and enrols whom credentials will be issued to.
func (r *revocation) open(ctx context.Context) error {
	for _, c := range []struct {
		to *(*client.Client)
		at *node.Node
	}{{&r.writer, r.validators.nodes[0]}, {&r.reader, r.validators.nodes[len(r.validators.nodes)-1]}} {
		opened, done, err := (&ledgerBench{network: r.network}).client(c.at)
		if err != nil {
			return err
		}
		*c.to = opened
		r.closers = append(r.closers, func() error { done(); return nil })
	}
	var err error
	if r.agency, err = r.speaker(ctx); err != nil {
		return err
	}
	if r.owner, err = r.speaker(ctx); err != nil {
		return err
	}
	if err := r.accredit(ctx); err != nil {
		return err
	}
	if err := r.openIssuer(ctx); err != nil {
		return err
	}
	return r.openGate(ctx)
}

// accredit publishes the credential type and has the members accredit the agency.
func (r *revocation) accredit(ctx context.Context) error {
	t, err := residentType()
	if err != nil {
		return err
	}
	members := make([]*speaker, len(r.network.Members))
	for i, m := range r.network.Members {
		members[i] = &speaker{network: r.network.Name, id: m.ID, signer: m.Control, sequence: 1}
	}
	if _, err := r.do(ctx, members[0], &t); err != nil {
		return err
	}
	now := time.Now()
	proposed, err := r.do(ctx, members[0], &tx.GovPropose{Title: "Accredit", Actions: []tx.Action{{Accredit: &tx.TrustAccredit{
		Subject: r.agency.id, Grant: tx.Grant{Types: []string{issuer.TypeResidentID}, NotBefore: now.Unix(), NotAfter: now.AddDate(1, 0, 0).Unix()},
	}}}})
	if err != nil {
		return err
	}
	decided := proposed
	for _, m := range members[1 : (2*len(members)+2)/3] { // the threshold of a sample network
		if decided, err = r.do(ctx, m, &tx.GovVote{Proposal: proposed.TxID, Approve: true}); err != nil {
			return err
		}
	}
	r.issued = decided.Time.Add(2 * time.Second).Truncate(time.Second)
	return nil
}

func (r *revocation) openIssuer(ctx context.Context) error {
	var master [32]byte
	if _, err := rand.Read(master[:]); err != nil {
		return err
	}
	var err error
	if r.issuer, err = issuer.Open(ctx, issuer.Config{
		DID: r.agency.did(), Signer: r.agency.signer, Fragment: speakerFragment, MasterKey: master, Store: filepath.Join(r.Dir, "issuer.db"),
		Ledger: r.writer, Sign: r.agency.sign, StatusBase: "https://issuer.example", Zone: time.UTC,
		Now: func() time.Time { return r.issued }, ListSize: uint64(r.Entries + r.Rounds),
	}); err != nil {
		return err
	}
	r.closers = append(r.closers, r.issuer.Close)
	today := roster.DateOf(r.issued)
	for p := range roster.Generate(4*r.Rounds+40, 1, today) {
		if p.BirthDate.AgeOn(today) >= roster.AdultAge && len(r.people) < r.Rounds+1 {
			r.people = append(r.people, p)
		}
	}
	var register bytes.Buffer
	if err := roster.Write(&register, slices.Values(r.people)); err != nil {
		return err
	}
	report, err := r.issuer.Enrol(ctx, &register, nil)
	if err == nil && report.Enrolled != r.Rounds+1 {
		err = fmt.Errorf("bench: %d of %d people enrolled", report.Enrolled, r.Rounds+1)
	}
	return err
}

func (r *revocation) openGate(ctx context.Context) error {
	text, err := examples.Files.ReadFile("contracts/" + siteDoor + ".toml")
	if err != nil {
		return err
	}
	if text, err = contract.SetOwner(text, r.owner.did()); err != nil {
		return err
	}
	r.door = hufu.ContractID{Owner: r.owner.did(), Name: siteDoor}
	published, err := r.do(ctx, r.owner, &tx.ContractPublish{Name: siteDoor, Version: 1, Text: string(text)})
	if err != nil {
		return err
	}
	if _, err := r.reader.Await(ctx, published.Height); err != nil {
		return err
	}
	st, err := gate.OpenStore(ctx, database.Memory)
	if err != nil {
		return err
	}
	r.closers = append(r.closers, st.Close)
	r.gate, err = gate.New(gate.Config{
		DID: r.owner.did(), Fragment: speakerFragment, Signer: r.owner.signer, Store: st,
		Ledger:      client.NewStandby(r.reader, filepath.Join(r.Dir, "gate.snapshot")),
		ResponseURI: "https://gate.example/gate/response",
	})
	return err
}

func (r *revocation) close() error {
	var errs []error
	for _, f := range slices.Backward(r.closers) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// shown is a credential and somebody's answer with it.
type shown struct {
	person  issuer.PersonRef
	index   uint64 // status entry
	session gate.Session
	token   oid4vp.VPToken
}

// visit issues a credential to a person, who then answers the gate with it and is let in.
func (r *revocation) visit(ctx context.Context, p *roster.Person) (*shown, error) {
	holder, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	nonce, err := r.issuer.Nonce()
	if err != nil {
		return nil, err
	}
	proof, err := oid4vci.MakeProof(rand.Reader, holder, string(r.agency.did()), nonce, r.issued)
	if err != nil {
		return nil, err
	}
	s := &shown{person: r.issuer.Ref(p.ResidentNumber)}
	issued, err := r.issuer.Issue(ctx, s.person, issuer.IssueRequest{Types: []string{issuer.TypeResidentID}, Proofs: []string{proof}})
	if err != nil {
		return nil, err
	}
	verified, err := sdjwt.Verify(issued[0].Copies[0], sdjwt.VerifyParams{
		Now: r.issued, ResolveKey: func(string, string, string, int64) (keys.PublicKey, error) { return r.agency.signer.Public(), nil },
	})
	if err != nil {
		return nil, err
	}
	s.index = verified.Status.Index
	cred, err := sdjwt.Parse(issued[0].Copies[0])
	if err != nil {
		return nil, err
	}
	token, err := r.gate.Request(ctx, r.door)
	if err != nil {
		return nil, err
	}
	asked, err := oid4vp.ParseRequest(token)
	if err != nil {
		return nil, err
	}
	presentation, err := cred.Present(rand.Reader, []dcql.Path{{"age_equal_or_over", "18"}}, sdjwt.KeyBinding{
		Audience: oid4vp.ClientID(asked.Verifier), Nonce: asked.Nonce, IssuedAt: time.Now(), Signer: holder,
	})
	if err != nil {
		return nil, err
	}
	s.session = gate.Session{State: asked.State, Nonce: asked.Nonce, Contract: asked.Contract, Version: asked.Version, Opened: asked.IssuedAt, Expires: asked.ExpiresAt}
	s.token = oid4vp.VPToken{"person": {presentation}}
	// The list of the first credential has to have reached the gate's node.
	for {
		j, err := r.gate.Judge(ctx, s.session, s.token, time.Now())
		switch {
		case err != nil:
			return nil, err
		case j.Decision == hufu.Allow:
			return s, nil
		case j.Rule != status.RuleUnknownList:
			return nil, fmt.Errorf("bench: refused by %s before it was revoked", j.Rule)
		}
		if err := r.next(ctx, &j); err != nil {
			return nil, err
		}
	}
}

// next waits until the gate's client has a newer state than j rests on.
func (r *revocation) next(ctx context.Context, j *receipt.Receipt) error {
	_, err := r.reader.Await(ctx, j.AsOf.Height+1)
	return err
}

// refused waits until the gate refuses the presentation, which it judges on each state that it learns of.
func (r *revocation) refused(ctx context.Context, s *shown) error {
	for {
		j, err := r.gate.Judge(ctx, s.session, s.token, time.Now())
		switch {
		case err != nil:
			return err
		case j.Rule == gate.RuleRevoked:
			return nil
		case j.Decision != hufu.Allow:
			return fmt.Errorf("bench: refused by %s, not as revoked", j.Rule)
		}
		if err := r.next(ctx, &j); err != nil {
			return err
		}
	}
}

// single revokes what people hold, one after the other.
func (r *revocation) single(ctx context.Context, f *RevokeFigures) error {
	if err := sleep(ctx, time.Until(r.issued)); err != nil {
		return err
	}
	var refused, proven []float64
	for i := range r.Rounds {
		s, err := r.visit(ctx, &r.people[i])
		if err != nil {
			return err
		}
		if err := sleep(ctx, lightPause); err != nil {
			return err
		}
		told := make(chan error, 1)
		start := time.Now()
		go func() {
			_, err := r.issuer.SetStatus(ctx, issuer.StatusRequest{People: []issuer.PersonRef{s.person}, Status: hufu.StatusRevoked, Reason: tx.ReasonRequested})
			proven = append(proven, millis(time.Since(start)))
			told <- err
		}()
		err = r.refused(ctx, s)
		refused = append(refused, millis(time.Since(start)))
		if err := errors.Join(err, <-told); err != nil {
			return err
		}
		r.Progress.done(1)
	}
	f.RefusedP50Millis, f.RefusedP99Millis = quantile(refused, 0.5), quantile(refused, 0.99)
	f.ProvenP50Millis, f.ProvenP99Millis = quantile(proven, 0.5), quantile(proven, 0.99)
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// bulk revokes a list full of entries, of which one is of a credential that the gate is shown.
func (r *revocation) bulk(ctx context.Context, f *RevokeFigures) error {
	s, err := r.visit(ctx, &r.people[r.Rounds])
	if err != nil {
		return err
	}
	if err := r.issuer.Spend(ctx, r.Entries-1); err != nil {
		return err
	}
	var result issuer.StatusResult
	start, told, sent := time.Now(), 0, false
	took, err := measure(func() (err error) {
		result, err = r.issuer.SetStatus(ctx, issuer.StatusRequest{
			Entries: []issuer.EntryRange{{Last: uint64(r.Entries + r.Rounds - 1)}}, Status: hufu.StatusRevoked, Reason: tx.ReasonKeyCompromise,
			Progress: func(done, _ int) {
				if !sent {
					sent, told, f.PrepareS = true, done, time.Since(start).Seconds()
				}
				r.Progress.done(done - told)
				told = done
			},
		})
		if err != nil {
			return err
		}
		last := result.Receipts[len(result.Receipts)-1].Height
		if err := r.validators.each(ctx, func(n *node.Node) bool { return n.Height() >= last }); err != nil {
			return err
		}
		return r.refused(ctx, s)
	})
	if err != nil {
		return err
	}
	f.Seconds, f.EntriesPerS, f.MicrosPer = took.wall.Seconds(), perSecond(r.Entries, took.wall), micros(r.Entries, took.cpu)
	f.Transactions = len(result.Receipts)
	blocks := map[hufu.Height]bool{}
	for _, x := range result.Receipts {
		blocks[x.Height] = true
	}
	f.Blocks = len(blocks)
	return r.all(ctx, &result)
}

// all checks that what the gate reads is that all of the list are revoked.
func (r *revocation) all(ctx context.Context, result *issuer.StatusResult) error {
	indexes := make([]uint64, r.Entries+r.Rounds)
	for i := range indexes {
		indexes[i] = uint64(i)
	}
	revoked := 0
	for rest := indexes; len(rest) > 0; {
		var some []hufu.Status
		err := r.reader.Read(ctx, func(v client.View) error {
			l, err := status.GetList(v, r.agency.id, 0)
			if err != nil || l == nil {
				return errors.Join(err, errors.New("bench: no list"))
			}
			some, err = l.LookupRun(v, rest)
			return err
		})
		if err != nil {
			return err
		}
		for _, s := range some {
			if s == hufu.StatusRevoked {
				revoked++
			}
		}
		rest = rest[len(some):]
	}
	if revoked != len(indexes) || result.Entries != r.Entries || result.Already != r.Rounds {
		return fmt.Errorf("bench: %d of %d entries are revoked; %d were set, %d were before", revoked, len(indexes), result.Entries, result.Already)
	}
	return nil
}
