package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
	"github.com/hufu-id/hufu/wallet"
)

// Options are what a demonstration is run with.
type Options struct {
	People  int       // at least MinPeople
	Copies  int       // of each credential, for each person
	Seed    uint64    // of the register
	Dir     string    // where everything is kept; empty: a temporary directory, removed at the end
	Program string    // this program, to run as "hufu up"
	Out     io.Writer // the story
	Color   bool
	Bar     Bar // for long work; nil: lines
}

// Bounds of [Options]. A person needs a copy for each door, as none is shown to two of them.
const (
	MinPeople     = 1
	MaxPeople     = 100_000
	MinCopies     = 3
	MaxCopies     = oid4vci.MaxProofs
	DefaultCopies = 8
)

func (o *Options) check() error {
	switch {
	case o.People < MinPeople || o.People > MaxPeople:
		return fmt.Errorf("demo: %d people, not %d to %d", o.People, MinPeople, MaxPeople)
	case o.Copies < MinCopies || o.Copies > MaxCopies:
		return fmt.Errorf("demo: %d copies for each person, not %d to %d", o.Copies, MinCopies, MaxCopies)
	}
	return nil
}

const network = "demo"

// story is the state that one chapter leaves to the next.
type story struct {
	Options
	*narrator
	report Report

	home    *home.Home // of the node and its members
	offices *home.Home // of everybody else: they hand no keys to who runs the node
	process *process
	ledger  *client.Client
	today   roster.Date

	members  []*home.Actor
	agency   *home.Actor
	issuer   *issuer.Service
	office   string   // URL of the agency's server
	chain    [][]byte // the certificate of the agency's key, in mdocs
	people   []person
	victim   *person // of the attacks
	doors    map[string]*door
	origins  []*origin
	internet *internet
	wire     *wire // the victim's

	before, after hufu.Height // of the ledger, around the verification of everybody
	snapshot      string      // file
}

// person is one person of the register with a wallet.
type person struct {
	roster.Person
	wallet  *wallet.Wallet
	mdoc    bool // holds mdocs
	revoked bool
}

// Run tells the story. An error means that it could not be told to its end; whether everything in it
// was right is in the report's Failures.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	keep := o.Dir != ""
	if !keep {
		dir, err := os.MkdirTemp("", "hufu-demo-")
		if err != nil {
			return nil, err
		}
		o.Dir = dir
	}
	s := &story{Options: o, narrator: &narrator{out: o.Out, color: o.Color, bar: o.Bar, start: time.Now()}, today: roster.DateOf(time.Now())}
	s.report.Attacks = map[string]hufu.Rule{}
	s.report.Failures = []string{}
	s.internet = newInternet()
	s.wire = &wire{RoundTripper: s.internet}
	err := s.tell(ctx)
	err = errors.Join(err, s.close())
	if !keep {
		err = errors.Join(err, os.RemoveAll(o.Dir))
	}
	if err != nil {
		return nil, err
	}
	s.report.Exchanges = s.internet.exchanges.Load()
	s.report.WallMS = milliseconds(time.Since(s.start))
	s.report.judge(o.People * len(doorNames))
	s.verdict(s.report.Failures)
	return &s.report, nil
}

func (s *story) tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.startNetwork, s.accreditAgency, s.enrolPeople, s.issueCredentials, s.publishContracts, s.tryDoors,
		s.attack, s.revoke, s.crash, s.goOffline, s.auditLedger, s.searchLedger,
	} {
		if err := s.within(ctx, chapter); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of a chapter: a demonstration ends, whatever happens to the machine it runs on.
const (
	chapterTime   = time.Minute
	chapterPerson = 500 * time.Millisecond // some hundred times what a person takes on one processor
)

// within tells one chapter in a bounded time.
func (s *story) within(ctx context.Context, chapter func(context.Context) error) error {
	limit := chapterTime + time.Duration(s.People)*chapterPerson
	bounded, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("demo: chapter %d was not over within %s", s.chapter+1, limit))
	defer cancel()
	err := chapter(bounded)
	if bounded.Err() != nil {
		err = errors.Join(context.Cause(bounded), err)
	}
	return err
}

func (s *story) close() error {
	err := s.stopOrigins()
	if s.issuer != nil {
		err = errors.Join(err, s.issuer.Close())
	}
	for _, d := range s.doors {
		err = errors.Join(err, d.store.Close())
	}
	if s.ledger != nil {
		err = errors.Join(err, s.ledger.Close())
	}
	if s.process != nil {
		err = errors.Join(err, s.process.stop())
	}
	return err
}

// founders are the demo's members. The first runs the validator.
var founders = []home.Founder{
	{Identity: "ministry", Name: "Ministry of the Interior", Power: 10},
	{Identity: "bankers", Name: "Bankers' Association", OpenQuota: home.DefaultQuota},
	{Identity: "hospitals", Name: "Hospital Association"},
}

// unlockWork is log2 of scrypt's N for the demo's key store: its passphrase has 256 random bits, which
// no work factor makes any harder to guess.
const unlockWork = 4

func (s *story) startNetwork(ctx context.Context) error {
	s.chapterf("A network starts: three members, one validator, a process of its own")
	var secret [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	passphrase := base64.RawURLEncoding.EncodeToString(secret[:])
	dir := filepath.Join(s.Dir, "home")
	h, err := home.Create(dir, keystore.PassphraseWorkFactor(passphrase, unlockWork), network)
	if err != nil {
		return err
	}
	s.home = h
	if s.offices, err = home.Create(filepath.Join(s.Dir, "offices"), keystore.PassphraseWorkFactor(passphrase, unlockWork), network); err != nil {
		return err
	}
	doc, err := h.Found(rand.Reader, home.DefaultParams(), founders...)
	if err != nil {
		return err
	}
	genesis, err := node.NewGenesis(doc, time.Now())
	if err != nil {
		return err
	}
	if err := h.SetGenesis(genesis); err != nil {
		return err
	}
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return err
	}
	p := &process{program: s.Program, dir: dir, passphrase: passphrase, listen: ports[0], rpc: ports[1]}
	began := time.Now()
	if err := p.start(ctx); err != nil {
		return err
	}
	s.process = p
	if err := s.connect(genesis); err != nil {
		return err
	}
	for _, f := range founders {
		m, err := h.Actor(f.Identity, s.ledger)
		if err != nil {
			return err
		}
		s.members = append(s.members, m)
		s.row(f.Name, "%s", m.DID())
	}
	head, err := s.ledger.Head(ctx)
	if err != nil {
		return err
	}
	s.report.Heights.First = head.Height
	s.factf("first signed state after %.0f ms; every read from here on is proven against signed headers", milliseconds(time.Since(began)))
	return nil
}

// connect follows the chain through the node, believing nothing but the genesis.
func (s *story) connect(genesis []byte) error {
	trust, err := client.ParseGenesis(genesis)
	if err != nil {
		return err
	}
	transport, err := client.Dial("http://" + s.process.rpc)
	if err != nil {
		return err
	}
	s.ledger, err = client.New(trust, transport, client.Options{})
	return err
}

// identity makes an identifier that the ministry pays for.
func (s *story) identity(ctx context.Context, name string, methods ...home.MethodSpec) (*home.Actor, error) {
	if _, _, err := s.offices.NewIdentity(rand.Reader, name, keys.Ed25519, methods...); err != nil {
		return nil, err
	}
	a, err := s.offices.Actor(name, s.ledger)
	if err != nil {
		return nil, err
	}
	return a, a.Create(ctx, s.members[0], nil)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
