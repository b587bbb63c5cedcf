package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/examples"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/limit"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
	"github.com/hufu-id/hufu/wallet"
)

const (
	sitePeople        = 400 // who are enrolled; they come again and again
	siteConfiguration = "resident-id_sd-jwt"
	siteDoor          = "reading-room"
	siteGate          = "library"
)

// sitePersonRate is for people of whom each stands for many.
var sitePersonRate = limit.Rate{PerSecond: 1000, Burst: 1_000_000}

// site is an issuer and a gate on one origin, as "hufu up" serves them: the same handlers, databases on
// disk, a record of each request, a limit for each address. The ledger is a [world.World].
type site struct {
	world  *world.World
	issuer *issuer.Service
	gate   *gate.Gate
	owner  *world.Actor
	people []issuer.PersonRef

	url     string
	service string // the token of the service behind the gate
	client  *http.Client
	addr    string
	came    atomic.Uint32 // wallets so far
	files   map[string]string
	closers []func() error // in this order
}

// openSite makes the site, in dir, for clients at once.
func openSite(ctx context.Context, dir string, clients int) (s *site, err error) {
	s = &site{files: map[string]string{"issuer": filepath.Join(dir, "issuer.db"), "gate": filepath.Join(dir, "gate.db")}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	l, err := server.Listen(ctx, "127.0.0.1:0", false)
	if err != nil {
		return s, err
	}
	s.addr, s.url = l.Addr().String(), "http://"+l.Addr().String()
	transport := &http.Transport{MaxIdleConns: clients, MaxIdleConnsPerHost: clients, DisableCompression: true}
	s.client = &http.Client{Transport: transport}
	parts, err := s.roles(ctx)
	if err != nil {
		return s, errors.Join(err, l.Close())
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve(serving, l, server.Routes(parts), server.Options{
			Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Metrics: parts.Metrics,
			BehindProxy: true, // so that each wallet is counted by an address of its own
		})
	}()
	s.closers = slices.Insert(s.closers, 0, func() error {
		transport.CloseIdleConnections()
		stop()
		return <-ended
	})
	return s, nil
}

// roles makes the world, the issuer and the gate.
func (s *site) roles(ctx context.Context) (p server.Parts, err error) {
	if s.world, err = world.New(); err != nil {
		return p, err
	}
	live := world.Live{World: s.world}
	if err := s.openIssuer(ctx, live); err != nil {
		return p, err
	}
	if err := s.openGate(ctx, live); err != nil {
		return p, err
	}
	s.service = rand.Text()
	log := slog.New(slog.DiscardHandler)
	return server.Parts{
		Ledger: live, Metrics: prometheus.NewRegistry(), Issuer: s.issuer.Handler(), IssuerPaths: s.issuer.Paths(),
		Gates: map[string]http.Handler{siteGate: s.gate.Handler()},
		API:   server.API(map[string]server.ServiceDoor{siteGate: {Door: s.gate, Token: sha256.Sum256([]byte(s.service))}}, "bench", log),
	}, nil
}

// residentType is the credential type that agencies issue here.
func residentType() (t tx.TrustType, err error) {
	raw, err := examples.Files.ReadFile("types/resident-id.json")
	if err != nil {
		return t, err
	}
	err = json.Unmarshal(raw, &t)
	return t, err
}

func (s *site) openIssuer(ctx context.Context, live world.Live) error {
	t, err := residentType()
	if err != nil {
		return err
	}
	if err := s.world.Do(s.world.Member, &t); err != nil {
		return err
	}
	agency, err := s.world.Actor(keys.P256)
	if err != nil {
		return err
	}
	if err := s.world.Accredit(agency, issuer.TypeResidentID); err != nil {
		return err
	}
	var master [32]byte
	if _, err := rand.Read(master[:]); err != nil {
		return err
	}
	if s.issuer, err = issuer.Open(ctx, issuer.Config{
		DID: agency.DID, Signer: agency.Signer, Fragment: agency.Fragment(), MasterKey: master, Store: s.files["issuer"],
		Ledger: live, Sign: func(_ context.Context, bodies ...tx.Body) ([][]byte, error) { return s.world.Sign(agency, bodies...) },
		StatusBase: s.url, Zone: time.UTC, Now: s.world.Now,
		Exchange: &issuer.Exchange{URL: s.url + "/issuer", Name: map[string]string{"en": "Agency"}, Bearer: true, PersonRate: sitePersonRate},
	}); err != nil {
		return err
	}
	s.closers = append(s.closers, s.issuer.Close)
	return s.enrol(ctx)
}

// enrol enrols adults.
func (s *site) enrol(ctx context.Context) error {
	today := roster.DateOf(s.world.Now())
	var adults []roster.Person
	for p := range roster.Generate(4*sitePeople, 1, today) {
		if p.BirthDate.AgeOn(today) >= roster.AdultAge && len(adults) < sitePeople {
			adults = append(adults, p)
			s.people = append(s.people, s.issuer.Ref(p.ResidentNumber))
		}
	}
	var register bytes.Buffer
	if err := roster.Write(&register, slices.Values(adults)); err != nil {
		return err
	}
	report, err := s.issuer.Enrol(ctx, &register, nil)
	if err == nil && report.Enrolled != len(adults) {
		err = fmt.Errorf("bench: %d of %d people enrolled", report.Enrolled, len(adults))
	}
	return err
}

func (s *site) openGate(ctx context.Context, live world.Live) (err error) {
	if s.owner, err = s.world.Actor(keys.P256); err != nil {
		return err
	}
	text, err := examples.Files.ReadFile("contracts/" + siteDoor + ".toml")
	if err != nil {
		return err
	}
	if text, err = contract.SetOwner(text, s.owner.DID); err != nil {
		return err
	}
	if err := s.world.Do(s.owner, &tx.ContractPublish{Name: siteDoor, Version: 1, Text: string(text)}); err != nil {
		return err
	}
	st, err := gate.OpenStore(ctx, s.files["gate"])
	if err != nil {
		return err
	}
	s.closers = append(s.closers, st.Close)
	s.gate, err = gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Ledger: live, Store: st, Now: s.world.Now,
		ResponseURI: s.url + "/gates/" + siteGate + "/gate/response",
	})
	return err
}

func (s *site) close() error {
	var errs []error
	for _, f := range s.closers {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// from is a wallet's way to the network: the proxy says which address it has.
type from struct {
	address string
	base    http.RoundTripper
}

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	forwarded := *r
	forwarded.Header = maps.Clone(r.Header)
	forwarded.Header.Set("X-Forwarded-For", f.address)
	return f.base.RoundTrip(&forwarded)
}

// phone is somebody's wallet, at an address of its own.
type phone struct {
	*site
	*wallet.Wallet
	person issuer.PersonRef
	http   *http.Client
}

func (s *site) phone() (*phone, error) {
	n := s.came.Add(1)
	address := net.IPv4(100, byte(64+n>>16&63), byte(n>>8), byte(n)).String()
	p := &phone{site: s, person: s.people[int(n)%len(s.people)], http: &http.Client{Transport: from{address, s.client.Transport}, Timeout: time.Minute}}
	var err error
	p.Wallet, err = wallet.Open(wallet.Config{Store: wallet.NewMemory(), Suite: keys.P256, Now: s.world.Now, HTTP: p.http})
	return p, err
}

// issued is a complete issuance: an offer is made, taken up and its credentials are kept.
func (p *phone) issued(ctx context.Context, copies int) error {
	o, err := p.issuer.CreateOffer(ctx, issuer.OfferRequest{
		Person: p.person, Configurations: []string{siteConfiguration}, Grant: oauth.GrantPreAuthorized, Wallet: oid4vci.OfferScheme,
	})
	if err != nil {
		return err
	}
	ledger := world.Live{World: p.world}
	inv, err := p.Invited(ctx, ledger, o.Link)
	if err != nil {
		return err
	}
	got, err := p.Receive(ctx, ledger, inv, wallet.Acceptance{Copies: copies})
	if err == nil && got.Copies != copies {
		err = fmt.Errorf("bench: %d copies, not %d", got.Copies, copies)
	}
	return err
}

// presented is a complete presentation: the service opens a session, the wallet fetches the request and
// answers, the gate decides, the service reads the result.
func (p *phone) presented(ctx context.Context, mode string) error {
	session, err := p.asked(ctx, gate.SessionInput{Contract: siteDoor, ResponseMode: mode})
	if err != nil {
		return err
	}
	if err := p.answered(ctx, session.URI); err != nil {
		return err
	}
	var result gate.SessionResult
	if err := p.serve(ctx, http.MethodGet, "/"+session.ID, nil, &result); err != nil {
		return err
	}
	if result.Decision == nil || *result.Decision != hufu.Allow {
		return fmt.Errorf("bench: %s, refused by %q", result.Status, result.Rule)
	}
	return nil
}

func (s *site) asked(ctx context.Context, in gate.SessionInput) (out gate.SessionOutput, err error) {
	err = s.serve(ctx, http.MethodPost, "", in, &out)
	return out, err
}

// answered looks at a request and agrees.
func (p *phone) answered(ctx context.Context, link string) error {
	ledger := world.Live{World: p.world}
	q, err := p.Consider(ctx, ledger, link)
	if err != nil {
		return err
	}
	o, err := p.Agree(ctx, ledger, q)
	switch {
	case err != nil:
		return err
	case o.ReceiptError != nil:
		return o.ReceiptError
	case o.Receipt.Decision != hufu.Allow:
		return fmt.Errorf("bench: refused by %s", o.Receipt.Rule)
	}
	return nil
}

// maxServed bounds an answer of the API.
const maxServed = 1 << 20

// serve makes a call of the API as the service behind the gate.
func (s *site) serve(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+"/api/v1/gates/"+siteGate+"/sessions"+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.service)
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxServed))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("bench: the API answers with status %d", resp.StatusCode)
	}
	return json.Unmarshal(raw, out)
}
