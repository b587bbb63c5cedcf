package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/examples"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/limit"
	"github.com/hufu-id/hufu/roster"
)

// Fragments of agencies' signing keys. The retired one is ended before the attacks, and then used by
// a thief.
const retiredMethod = "issuing-retired"

// issuing is a key that makes assertions: about people, or about the agency's other keys.
func issuing(fragment string) home.MethodSpec {
	return home.MethodSpec{Fragment: fragment, Suite: keys.P256, Purposes: tx.PurposeAssertion}
}

func (s *story) accreditAgency(ctx context.Context) error {
	s.chapterf("The members publish credential types and accredit an agency, by vote")
	for _, name := range []string{"resident-id", "guardianship"} {
		raw, err := examples.Files.ReadFile("types/" + name + ".json")
		if err != nil {
			return err
		}
		var t tx.TrustType
		if err := json.Unmarshal(raw, &t); err != nil {
			return err
		}
		r, err := s.members[0].Submit(ctx, &t, nil)
		if err != nil {
			return err
		}
		s.row(t.VCT, "published in block %d, assurance %s", r.Height, t.Assurance)
	}
	var err error
	if s.agency, err = s.identity(ctx, "agency", issuing(home.IssuingMethod), issuing(retiredMethod), issuing(home.AuthorityMethod)); err != nil {
		return err
	}
	proposal, height, err := s.accredit(ctx, s.agency)
	if err != nil {
		return err
	}
	s.row("agency", "%s", s.agency.DID())
	s.factf("proposal %s: two of three members agreed, in force since block %d", short(proposal), height)
	return nil
}

// accredit has two of the three members agree that an agency may issue both types.
func (s *story) accredit(ctx context.Context, agency *home.Actor) (hufu.Digest, hufu.Height, error) {
	now := time.Now()
	grant := tx.Grant{
		Types:     []string{issuer.TypeGuardianship, issuer.TypeResidentID},
		NotBefore: now.Add(-time.Minute).Unix(), NotAfter: now.AddDate(2, 0, 0).Unix(),
	}
	return s.decide(ctx, "Accredit an agency", tx.Action{Accredit: &tx.TrustAccredit{Subject: agency.ID(), Grant: grant}})
}

// decide has the first member propose and the second agree, which two thirds of three are.
func (s *story) decide(ctx context.Context, title string, action tx.Action) (hufu.Digest, hufu.Height, error) {
	p, err := s.members[0].Submit(ctx, &tx.GovPropose{Title: title, Actions: []tx.Action{action}}, nil)
	if err != nil {
		return hufu.Digest{}, 0, err
	}
	v, err := s.members[1].Submit(ctx, &tx.GovVote{Proposal: p.TxID, Approve: true}, nil)
	return p.TxID, v.Height, err
}

func (s *story) enrolPeople(ctx context.Context) error {
	s.chapterf("The agency enrols its register of %d people", s.People)
	path := filepath.Join(s.Dir, "roster.csv")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := s.register()
	if err != nil {
		return err
	}
	if err := roster.Write(f, slices.Values(list)); err != nil {
		return err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	if err := s.openIssuer(ctx); err != nil {
		return err
	}
	began := time.Now()
	add, done := s.progress("people enrolled", s.People)
	rows := 0
	report, err := s.issuer.Enrol(ctx, f, func(n int) { add(n - rows); rows = n })
	done()
	if err != nil {
		return err
	}
	if report.Enrolled != s.People || len(report.Rejected) != 0 {
		return fmt.Errorf("demo: %d of %d people were enrolled, %d rows were rejected", report.Enrolled, s.People, len(report.Rejected))
	}
	s.people = make([]person, len(list))
	minors := 0
	for i := range list {
		s.people[i].Person, s.people[i].mdoc = list[i], i%mdocShare == mdocShare-1
		if s.victim == nil && mayEnter(readingRoom, &list[i], s.today) {
			s.victim, s.people[i].mdoc = &s.people[i], false
		}
		if list[i].BirthDate.AgeOn(s.today) < roster.AdultAge {
			minors++
		}
	}
	s.report.People = report.Enrolled
	s.factf("%d adults and %d minors, each file under a key of its own, in %.0f ms", s.People-minors, minors, milliseconds(time.Since(began)))
	return nil
}

// seedTries bounds the search for a register: of the registers of one person, more than half will do.
const seedTries = 1000

// register is a synthetic register in which somebody may enter the reading room and some door stays
// shut for somebody: the story is about that, and small registers may lack it. Then it is the one of
// the first seed after the wanted one that has it.
func (s *story) register() ([]roster.Person, error) {
	for seed := s.Seed; seed-s.Seed < seedTries; seed++ {
		list := slices.Collect(roster.Generate(s.People, seed, s.today))
		readers, opened := 0, 0
		for i := range list {
			for _, door := range doorNames {
				if mayEnter(door, &list[i], s.today) {
					opened++
					if door == readingRoom {
						readers++
					}
				}
			}
		}
		if readers == 0 || opened == len(list)*len(doorNames) {
			continue
		}
		if seed != s.Seed {
			s.factf("the register is that of seed %d: the first from %d on with an adult in it and a door shut", seed, s.Seed)
		}
		return list, nil
	}
	return nil, fmt.Errorf("demo: no register of %d people from seed %d on will do", s.People, s.Seed)
}

// personRate is for wallets that refill: a person's asks for two types at a time, and rarely.
var personRate = limit.Rate{PerSecond: 1, Burst: 60}

// openIssuer opens the agency's service and serves it.
func (s *story) openIssuer(ctx context.Context) error {
	signer, err := s.offices.MethodSigner("agency", home.IssuingMethod)
	if err != nil {
		return err
	}
	master, err := s.offices.PeopleKey(rand.Reader)
	if err != nil {
		return err
	}
	since, err := s.since(ctx, s.agency.ID())
	if err != nil {
		return err
	}
	if s.chain, err = s.certify(signer, since); err != nil {
		return err
	}
	o, err := s.listen(ctx)
	if err != nil {
		return err
	}
	s.office = o.url
	s.issuer, err = issuer.Open(ctx, issuer.Config{
		DID: s.agency.DID(), Signer: signer, Fragment: home.IssuingMethod, MasterKey: master,
		Store: filepath.Join(s.Dir, home.IssuerFile), Ledger: s.ledger,
		Sign:       s.agency.Sign,
		StatusBase: o.url, Zone: time.Local, Since: since, Chain: s.chain,
		Exchange: &issuer.Exchange{
			URL: o.url + "/issuer", Name: map[string]string{"en": "Residents' Office"},
			Batch: max(s.Copies, issuer.DefaultBatch), PersonRate: personRate,
		},
	})
	if err != nil {
		return err
	}
	o.serve(server.Routes(server.Parts{Ledger: s.ledger, Issuer: s.issuer.Handler(), IssuerPaths: s.issuer.Paths()}))
	return nil
}

// certify makes the certificate that mdocs name the agency's key by, under the authority that its document on
// the ledger names.
func (s *story) certify(signer keys.Signer, since time.Time) ([][]byte, error) {
	authority, err := s.offices.MethodSigner("agency", home.AuthorityMethod)
	if err != nil {
		return nil, err
	}
	d, from := s.agency.DID(), since.UTC().Add(time.Second) // blocks have times between the seconds
	until := from.Add(x5c.MaxDocumentSignerLife)
	ca, err := x5c.MakeCA(rand.Reader, authority, d, x5c.Subject{CommonName: "Residents' Office authority", Country: "CN"}, from, until)
	if err != nil {
		return nil, err
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, authority, x5c.Leaf{
		Key: signer.Public(), DID: d, Subject: x5c.Subject{CommonName: "Residents' Office", Country: "CN"},
		Use: x5c.DocumentSigner, NotBefore: from, NotAfter: until,
	})
	return [][]byte{leaf}, err
}

// since is when an identifier came to be, by the ledger's clock.
func (s *story) since(ctx context.Context, id hufu.ID) (at time.Time, err error) {
	err = s.ledger.Read(ctx, func(v client.View) error {
		rec, err := did.Get(v, id)
		if err == nil && rec != nil {
			at = time.Unix(rec.CreatedTime, 0)
		}
		return err
	})
	return at, err
}

func short(d hufu.Digest) string { return d.String()[:12] + "…" }
