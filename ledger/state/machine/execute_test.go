package machine_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

var errUnreadable = errors.New("unreadable")

func equal(a, b []state.Change) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].Key, b[i].Key) || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// What the state's rules refuse uses up the sequence number and the quota and leaves nothing else.
func TestRefusedInTheBlock(t *testing.T) {
	c := start(t, 2)
	a := c.actor(0)
	before, used := a.record(), a.usage().Used
	rest := without(c.o.Changes(), did.StateKey(a.id), gov.UsageKey(a.id))
	bad := a.tx(&tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "none"}}})
	wantRule(t, c.run(bad), did.RuleMethod)
	after := a.record()
	if after.Sequence != before.Sequence+1 || a.usage().Used != used+machine.Cost(bad) {
		t.Errorf("sequence %d, usage %d", after.Sequence, a.usage().Used)
	}
	after.Sequence--
	if !bytes.Equal(encode(t, before), encode(t, after)) {
		t.Errorf("was %+v, is %+v", before, after)
	}
	if !equal(rest, without(c.o.Changes(), did.StateKey(a.id), gov.UsageKey(a.id))) {
		t.Error("something else changed")
	}
	wantRule(t, c.run(bad), machine.RuleSequence)
}

func encode(t *testing.T, r *did.Record) []byte {
	o := state.NewOverlay(state.Empty{})
	if err := state.Save(o, []byte("r"), r); err != nil {
		t.Fatal(err)
	}
	return o.Changes()[0].Value
}

func without(changes []state.Change, keys ...[]byte) (out []state.Change) {
	for _, c := range changes {
		skip := false
		for _, k := range keys {
			skip = skip || bytes.Equal(k, c.Key)
		}
		if !skip {
			out = append(out, c)
		}
	}
	return out
}

// Every kind reaches its own room.
func TestDispatch(t *testing.T) {
	c := start(t, 1)
	a := c.actor(0)
	display := []tx.TypeDisplay{{Lang: "en", Name: "Card"}}
	claims := []tx.Claim{{Path: []string{"a"}, Type: tx.ClaimString, Selective: tx.SelectiveAlways}}
	grant := tx.TrustAccredit{Subject: c.born(9, false).id, Grant: tx.Grant{Types: []string{"card"}, NotAfter: 1 << 36}}
	c.must(a.tx(&tx.TrustType{VCT: "card", Version: 1, Assurance: tx.AssuranceLow, Display: display, Claims: claims}))
	propose := a.tx(&tx.GovPropose{Title: "t", Actions: []tx.Action{{Accredit: &grant}}})
	c.must(propose)
	rec, err := trust.GetAccreditation(c.o, grant.Subject, "card")
	if err != nil || rec == nil || rec.Grants[0].Proposal != propose.ID() {
		t.Fatalf("the accreditation does not name its proposal: %+v, %v", rec, err)
	}
	c.must(a.tx(&tx.GovPropose{Title: "t", Actions: []tx.Action{{Withdraw: &tx.TrustWithdraw{Subject: grant.Subject, Type: "card"}}}}))
	c.must(a.tx(&tx.StatusOpen{List: 0, Bits: 2, Size: 10, URI: "https://x.example/statuslists/" + string(a.id.DID(network)) + "/0"}))
	c.must(a.tx(&tx.StatusSet{Changes: []tx.StatusChange{{Status: hufu.StatusRevoked, Reason: tx.ReasonError, Indexes: []uint64{3}}}}))
	for _, x := range []struct {
		body tx.Body
		room string
	}{
		{&tx.GovVote{Proposal: hufu.Digest{7}}, "gov."},
		{&tx.TrustAccredit{Subject: grant.Subject, Grant: tx.Grant{Types: []string{"none"}, NotAfter: 1}}, "trust."},
		{&tx.TrustWithdraw{Subject: grant.Subject, Type: "none"}, "trust."},
		{&tx.ContractRetire{Name: "none"}, "contracts."},
		{foreignCheckpoint(t), "anchors."},
	} {
		if err := c.run(a.tx(x.body)); !strings.HasPrefix(string(hufu.RuleOf(err)), x.room) {
			t.Errorf("%s: %v", x.body.Kind(), err)
		}
	}
}

// foreignCheckpoint is of a log on another network.
func foreignCheckpoint(t *testing.T) *tx.AnchorCommit {
	signer := secret(t, 1, 0)
	note, err := tlog.Sign(rand.Reader, signer, tlog.Checkpoint{Origin: tlog.Origin(hufu.ID{1}.DID("other"), "log"), Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &tx.AnchorCommit{Checkpoint: note}
}

// Validators follow the members' decisions.
func TestEndBlock(t *testing.T) {
	c := start(t, 1)
	a, b := c.actor(0), c.born(9, false)
	terms := tx.MemberTerms{Member: b.id, Name: "B", ValidatorKey: secret(t, 201, 0).Public().Raw(), Power: 7, Quota: 1}
	admit := a.tx(&tx.GovPropose{Title: "t", Actions: []tx.Action{{AdmitMember: &terms}}})
	adm, err := c.admit(admit)
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Execute(c.next(), c.o, admit, adm); err != nil {
		t.Fatal(err)
	}
	got, err := machine.EndBlock(c.next(), c.o)
	if err != nil || len(got) != 1 || got[0].Power != 7 || !bytes.Equal(got[0].PubKey, terms.ValidatorKey) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := machine.EndBlock(c.next(), c.o); got != nil || err != nil {
		t.Fatalf("told twice: %+v, %v", got, err)
	}
}

// The same transactions give the same changes, whatever the order in which Go's maps iterate.
func TestDeterminism(t *testing.T) {
	c := start(t, 3)
	var script []*tx.Tx
	record := func(x *tx.Tx) { script = append(script, x); _ = c.run(x) }
	zero := c.actor(0)
	for seed := byte(20); seed < 30; seed++ {
		n := c.actor(seed)
		p := n.payload()
		p.Sponsor = &zero.id
		record(c.sign(p, inception(t, seed), n.ref(0), zero.ref(0)))
		record(n.tx(services("s")))
		record(n.tx(&tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "none"}}}))
		record(c.sign(n.payload(), n.rotation(), n.ref(1)))
		if seed%2 == 0 {
			propose := zero.tx(&tx.GovPropose{Title: "t", Actions: []tx.Action{{AdmitMember: &tx.MemberTerms{Member: n.id, Name: "N", Quota: 5}}}})
			record(propose)
			record(c.actor(1).tx(&tx.GovVote{Proposal: propose.ID(), Approve: true}))
		}
	}
	want := c.o.Changes()
	for range 3 {
		again := start(t, 3)
		for _, x := range script {
			parsed, err := tx.Parse(x.Raw(), network)
			if err != nil {
				t.Fatal(err)
			}
			_ = again.run(parsed)
		}
		if !equal(want, again.o.Changes()) {
			t.Fatal("another result from the same transactions")
		}
	}
}

func TestGenesis(t *testing.T) {
	g := doc(t, 2)
	g.Members[1].ValidatorKey, g.Members[1].Power = nil, 0
	raw, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	read, err := machine.ParseGenesis(raw)
	if err != nil {
		t.Fatal(err)
	}
	o := state.NewOverlay(state.Empty{})
	got, err := machine.Genesis(state.Context{Network: network, Time: 55}, read, o)
	if err != nil || len(got) != 1 || got[0].Power != 10 || !bytes.Equal(got[0].PubKey, g.Members[0].ValidatorKey) {
		t.Fatalf("%+v, %v", got, err)
	}
	members, err := gov.Members(o)
	if err != nil || len(members) != 2 {
		t.Fatalf("%+v, %v", members, err)
	}
	for i := range g.Members {
		m, err := gov.GetMember(o, g.Members[i].Terms(network).Member)
		if err != nil || m == nil || m.Name != g.Members[i].Name || m.AdmittedTime != 55 || m.Admitted != 0 {
			t.Errorf("%+v, %v", m, err)
		}
		rec, err := did.Get(o, m.ID)
		if err != nil || rec.Member != m.ID || rec.Open || rec.Sequence != 1 || rec.CreatedTime != 55 {
			t.Errorf("%+v, %v", rec, err)
		}
	}
}

func TestGenesisRefuses(t *testing.T) {
	for name, change := range map[string]func(*machine.GenesisDoc){
		"no network":        func(g *machine.GenesisDoc) { g.Network = "" },
		"no members":        func(g *machine.GenesisDoc) { g.Members = nil },
		"no parameters":     func(g *machine.GenesisDoc) { g.Params = tx.Params{} },
		"no power":          func(g *machine.GenesisDoc) { g.Members[0].Power, g.Members[1].Power = 0, 0 },
		"one key for two":   func(g *machine.GenesisDoc) { g.Members[1].ValidatorKey = g.Members[0].ValidatorKey },
		"a founder twice":   func(g *machine.GenesisDoc) { g.Members[1] = g.Members[0] },
		"no name":           func(g *machine.GenesisDoc) { g.Members[0].Name = "" },
		"no inception keys": func(g *machine.GenesisDoc) { g.Members[0].Inception.Keys = nil },
	} {
		t.Run(name, func(t *testing.T) {
			g := doc(t, 2)
			change(g)
			wantRule(t, g.Validate(), gov.RuleGenesis)
			_, err := machine.Genesis(state.Context{Network: g.Network}, g, state.NewOverlay(state.Empty{}))
			wantRule(t, err, gov.RuleGenesis)
		})
	}
	_, err := machine.Genesis(state.Context{Network: "other"}, doc(t, 1), state.NewOverlay(state.Empty{}))
	wantRule(t, err, gov.RuleGenesis)
	good, err := json.Marshal(doc(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"truncated":        string(good[:len(good)-1]),
		"trailing":         string(good) + "{}",
		"unknown member":   strings.Replace(string(good), `{"network"`, `{"extra":1,"network"`, 1),
		"duplicate member": strings.Replace(string(good), `{"network"`, `{"network":"demo","network"`, 1),
		"wrong type":       strings.Replace(string(good), `"demo"`, `5`, 1),
		"too large":        string(good) + strings.Repeat(" ", machine.MaxGenesis),
		"invalid":          strings.Replace(string(good), `"demo"`, `"-"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := machine.ParseGenesis([]byte(bad))
			wantRule(t, err, gov.RuleGenesis)
		})
	}
}

// One member co-signs nothing: open creates, the cheapest way for people to get identifiers.
func BenchmarkCreate(b *testing.B) {
	c := start(b, 1)
	g := doc(b, 1)
	g.Members[0].OpenQuota = tx.MaxQuota
	ctx := c.next()
	var creates []*tx.Tx
	signer := tx.SignerRef{Signer: secret(b, 9, 0)}
	for i := range 2000 {
		body := inception(b, 9)
		body.Salt = make([]byte, tx.SaltLen)
		body.Salt[0], body.Salt[1] = byte(i), byte(i>>8)
		creates = append(creates, c.sign(tx.Payload{Network: network, Expires: 5, Sponsor: &c.actor(0).id}, body, signer))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(creates) == 0 {
			c.o = state.NewOverlay(state.Empty{})
			if _, err := machine.Genesis(c.now, g, c.o); err != nil {
				b.Fatal(err)
			}
		}
		x := creates[i%len(creates)]
		a, err := machine.Admit(ctx, c.o, x)
		if err != nil {
			b.Fatal(err)
		}
		if err := machine.Execute(ctx, c.o, x, a); err != nil {
			b.Fatal(err)
		}
	}
}
