package tx_test

import (
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Good bodies of every kind.

func method(t testing.TB, fragment string) tx.Method {
	return tx.Method{Fragment: fragment, Key: key(t, keys.P256, 4).Public().Multikey(), Purposes: tx.PurposeAssertion}
}

func service(fragment string) tx.Service {
	return tx.Service{Fragment: fragment, Type: "CredentialIssuer", Endpoint: "https://issuer.example/"}
}

func create(t testing.TB) *tx.DIDCreate {
	b := inception(t)
	b.Methods = []tx.Method{method(t, "assert-1")}
	b.Services = []tx.Service{service("issuer")}
	b.Salt = make([]byte, tx.SaltLen)
	b.Guard = guard()
	return b
}

func rotate(t testing.TB) *tx.DIDRotate {
	b := inception(t)
	return &tx.DIDRotate{Keys: b.Keys, Threshold: 1, Next: b.Next, NextThreshold: 1, Fall: true, Guard: guard()}
}

func update(t testing.TB) *tx.DIDUpdate {
	return &tx.DIDUpdate{
		RemoveMethods: []tx.MethodRemoval{{Fragment: "assert-1", Fall: true}},
		AddMethods:    []tx.Method{method(t, "assert-1")}, SetServices: &[]tx.Service{service("issuer")},
	}
}

func terms(t testing.TB) *tx.MemberTerms {
	return &tx.MemberTerms{
		Member: id(5), Name: "Ministry 部", ValidatorKey: key(t, keys.Ed25519, 6).Public().Raw(), Power: 10, Quota: 1000, OpenQuota: 10,
	}
}

func params() *tx.Params {
	return &tx.Params{EpochSeconds: 60, VotingSeconds: 3600, ThresholdNum: 2, ThresholdDen: 3, BlockFloorMillis: 20}
}

func propose(actions ...tx.Action) *tx.GovPropose {
	return &tx.GovPropose{Title: "Admit the ministry", Actions: actions}
}

func credentialType() *tx.TrustType {
	return &tx.TrustType{
		VCT: "https://types.example/resident/1", Version: 1, Assurance: tx.AssuranceHigh,
		Display: []tx.TypeDisplay{{Lang: "en", Name: "Resident card", Description: "Who lives where"}, {Lang: "zh-Hans", Name: "居民证"}},
		Claims: []tx.Claim{
			{Path: []string{"address", "region"}, Type: tx.ClaimString, Selective: tx.SelectiveAlways, Display: []tx.ClaimDisplay{{Lang: "en", Label: "Region"}, {Lang: "zh", Label: "地区"}}},
			{Path: []string{"birth_date"}, Type: tx.ClaimDate, Selective: tx.SelectiveAlways},
		},
	}
}

func accredit() *tx.TrustAccredit {
	return &tx.TrustAccredit{Subject: id(7), Grant: tx.Grant{Types: []string{"a", "b"}, Delegate: 1, NotBefore: 1, NotAfter: 2}}
}

func withdraw() *tx.TrustWithdraw { return &tx.TrustWithdraw{Subject: id(7), Type: "a", Stand: true} }

func open() *tx.StatusOpen {
	return &tx.StatusOpen{List: 0, Bits: 2, Size: 1000, URI: "https://issuer.example/statuslists/x/0"}
}

func set() *tx.StatusSet {
	return &tx.StatusSet{List: 0, Changes: []tx.StatusChange{{Status: hufu.StatusRevoked, Reason: tx.ReasonFraud, Indexes: []uint64{1, 5}}}}
}

func publish() *tx.ContractPublish {
	return &tx.ContractPublish{Name: "reading-room", Version: 1, Text: "title = \"x\"\n"}
}

func bodies(t testing.TB) []tx.Body {
	return []tx.Body{
		create(t), rotate(t), update(t), &tx.DIDDeactivate{},
		approval(t), &tx.DIDVeto{}, &tx.DIDFinish{},
		propose(
			tx.Action{AdmitMember: terms(t)}, tx.Action{RemoveMember: &tx.MemberRemoval{Member: id(5)}}, tx.Action{SetMember: terms(t)},
			tx.Action{SetParams: params()}, tx.Action{Accredit: accredit()}, tx.Action{Withdraw: withdraw()},
			tx.Action{Upgrade: &tx.Upgrade{Height: 5, Name: "v2"}},
		),
		&tx.GovVote{Proposal: hufu.Digest{1}, Approve: true},
		credentialType(), accredit(), withdraw(), open(), set(), publish(), &tx.ContractRetire{Name: "reading-room"},
		anchor(t), forkReport(t),
	}
}

// Every kind has a body that is its own, survives the wire and keeps its limits.
func TestBodies(t *testing.T) {
	kinds := tx.Kinds()
	for i, b := range bodies(t) {
		if b.Kind() != kinds[i] || tx.NewBody(kinds[i]).Kind() != kinds[i] {
			t.Errorf("body %d is of kind %s, not %s", i, b.Kind(), kinds[i])
		}
		p := tx.Payload{Network: network, Author: id(1), Sequence: 1, Expires: 10}
		if b.Kind() == tx.KindDIDCreate {
			p.Author, p.Sequence = hufu.ID{}, 0
		}
		parsed := parse(t, build(t, p, b, tx.SignerRef{Signer: key(t, keys.Ed25519, 1)}))
		if string(marshal(t, parsed.Body)) != string(marshal(t, b)) {
			t.Errorf("%s: %+v became %+v", b.Kind(), b, parsed.Body)
		}
	}
	if len(bodies(t)) != len(kinds) || tx.NewBody("did.steal") != nil {
		t.Error("a kind without a body, or a body without a kind")
	}
}

type change[B tx.Body] struct {
	name string
	make func(B)
}

func refuse[B tx.Body](t *testing.T, fresh func() B, changes ...change[B]) {
	t.Helper()
	if err := fresh().Validate(); err != nil {
		t.Fatalf("the good body: %v", err)
	}
	for _, c := range changes {
		b := fresh()
		c.make(b)
		if err := b.Validate(); hufu.RuleOf(err) != tx.RuleBody {
			t.Errorf("%s %s: got %v, want a refusal by %s", b.Kind(), c.name, err, tx.RuleBody)
		}
	}
}

func repeat[T any](v T, n int) (out []T) {
	for range n {
		out = append(out, v)
	}
	return out
}

func distinctKeys(t testing.TB, n int) (out [][]byte) {
	for i := range n {
		out = append(out, key(t, keys.Ed25519, byte(100+i)).Public().Multikey())
	}
	return out
}

func TestRefusedDIDs(t *testing.T) {
	type C = *tx.DIDCreate
	refuse(t, func() C { return create(t) }, []change[C]{
		{"no keys", func(b C) { b.Keys = nil }},
		{"nine keys", func(b C) { b.Keys = distinctKeys(t, 9) }},
		{"a key twice", func(b C) { b.Keys = repeat(b.Keys[0], 2) }},
		{"no key", func(b C) { b.Keys[0] = []byte{1, 2, 3} }},
		{"threshold 0", func(b C) { b.Threshold = 0 }},
		{"threshold above the keys", func(b C) { b.Threshold = 2 }},
		{"threshold above the limit", func(b C) { b.Keys, b.Threshold = distinctKeys(t, 6), tx.MaxThreshold+1 }},
		{"no next", func(b C) { b.Next = nil }},
		{"nine next", func(b C) {
			b.Next = nil
			for i := range byte(9) {
				b.Next = append(b.Next, hufu.Digest{i})
			}
		}},
		{"next twice", func(b C) { b.Next = repeat(b.Next[0], 2) }},
		{"next is a key", func(b C) { b.Next[0] = key(t, keys.Ed25519, 1).Public().Digest() }},
		{"next threshold 0", func(b C) { b.NextThreshold = 0 }},
		{"next threshold above the keys", func(b C) { b.NextThreshold = 2 }},
		{"next threshold above the limit", func(b C) {
			b.Next, b.NextThreshold = []hufu.Digest{{1}, {2}, {3}, {4}, {5}}, tx.MaxThreshold+1
		}},
		{"short salt", func(b C) { b.Salt = b.Salt[1:] }},
		{"long salt", func(b C) { b.Salt = append(b.Salt, 0) }},
		{"too many methods", func(b C) { b.Methods = repeat(b.Methods[0], tx.MaxMethods+1) }},
		{"method twice", func(b C) { b.Methods = repeat(b.Methods[0], 2) }},
		{"method without purpose", func(b C) { b.Methods[0].Purposes = 0 }},
		{"method that invokes", func(b C) { b.Methods[0].Purposes = tx.PurposeInvocation }},
		{"method without key", func(b C) { b.Methods[0].Key = nil }},
		{"agreement with Ed25519", func(b C) { b.Methods[0] = tx.Method{Fragment: "x", Key: b.Keys[0], Purposes: tx.PurposeAgreement} }},
		{"method without fragment", func(b C) { b.Methods[0].Fragment = "" }},
		{"long fragment", func(b C) { b.Methods[0].Fragment = strings.Repeat("x", tx.MaxFragment+1) }},
		{"fragment with #", func(b C) { b.Methods[0].Fragment = "a#b" }},
		{"fragment of a control key", func(b C) { b.Methods[0].Fragment = "key-0" }},
		{"too many services", func(b C) { b.Services = repeat(b.Services[0], tx.MaxServices+1) }},
		{"service twice", func(b C) { b.Services = repeat(b.Services[0], 2) }},
		{"service fragment", func(b C) { b.Services[0].Fragment = "key-1" }},
		{"service without type", func(b C) { b.Services[0].Type = "" }},
		{"service type too long", func(b C) { b.Services[0].Type = strings.Repeat("x", tx.MaxServiceType+1) }},
		{"endpoint without scheme", func(b C) { b.Services[0].Endpoint = "issuer.example/" }},
		{"endpoint with a path before its scheme", func(b C) { b.Services[0].Endpoint = "a/b:c" }},
		{"endpoint that is a scheme", func(b C) { b.Services[0].Endpoint = "https:" }},
		{"endpoint that begins with a digit", func(b C) { b.Services[0].Endpoint = "1https://x" }},
		{"endpoint with a space", func(b C) { b.Services[0].Endpoint = "https://a b/" }},
		{"endpoint with a letter beyond ASCII", func(b C) { b.Services[0].Endpoint = "https://é/" }},
		{"endpoint with a quote", func(b C) { b.Services[0].Endpoint = "https://x/\"" }},
		{"no endpoint", func(b C) { b.Services[0].Endpoint = "" }},
		{"long endpoint", func(b C) { b.Services[0].Endpoint = "https://" + strings.Repeat("x", tx.MaxURI) }},
	}...)
	type R = *tx.DIDRotate
	refuse(t, func() R { return rotate(t) },
		change[R]{"no keys", func(b R) { b.Keys = nil }},
		change[R]{"next is a key", func(b R) { b.Next[0] = key(t, keys.Ed25519, 1).Public().Digest() }},
	)
	type U = *tx.DIDUpdate
	refuse(t, func() U { return update(t) }, []change[U]{
		{"nothing", func(b U) { *b = tx.DIDUpdate{} }},
		{"too many removals", func(b U) { b.RemoveMethods = repeat(b.RemoveMethods[0], tx.MaxMethods+1) }},
		{"removal twice", func(b U) { b.RemoveMethods = repeat(b.RemoveMethods[0], 2) }},
		{"removal of a control key", func(b U) { b.RemoveMethods[0].Fragment = "key-0" }},
		{"bad method", func(b U) { b.AddMethods[0].Purposes = 0 }},
		{"bad service", func(b U) { (*b.SetServices)[0].Type = "" }},
	}...)
}

func TestRefusedGovernance(t *testing.T) {
	type P = *tx.GovPropose
	first := func(b P) *tx.Action { return &b.Actions[0] }
	refuse(t, func() P { return propose(tx.Action{AdmitMember: terms(t)}) }, []change[P]{
		{"no title", func(b P) { b.Title = "" }},
		{"title with an escape", func(b P) { b.Title = "a\x1b[2J" }},
		{"title that turns text around", func(b P) { b.Title = "a\u202eb" }},
		{"title not UTF-8", func(b P) { b.Title = "a\xff" }},
		{"no action", func(b P) { b.Actions = nil }},
		{"too many actions", func(b P) { b.Actions = repeat(b.Actions[0], tx.MaxActions+1) }},
		{"empty action", func(b P) { *first(b) = tx.Action{} }},
		{"two things in one action", func(b P) { first(b).SetParams = params() }},
		{"admits nobody", func(b P) { first(b).AdmitMember.Member = hufu.ID{} }},
		{"no name", func(b P) { first(b).AdmitMember.Name = "" }},
		{"short validator key", func(b P) { first(b).AdmitMember.ValidatorKey = []byte{1} }},
		{"validator key of small order", func(b P) { first(b).AdmitMember.ValidatorKey = make([]byte, 32) }},
		{"power without a key", func(b P) { first(b).AdmitMember.ValidatorKey = nil }},
		{"too much power", func(b P) { first(b).AdmitMember.Power = tx.MaxPower + 1 }},
		{"too much quota", func(b P) { first(b).AdmitMember.Quota = tx.MaxQuota + 1 }},
		{"too much open quota", func(b P) { first(b).AdmitMember.OpenQuota = tx.MaxQuota + 1 }},
		{"sets nobody", func(b P) { *first(b) = tx.Action{SetMember: &tx.MemberTerms{Name: "x"}} }},
		{"removes nobody", func(b P) { *first(b) = tx.Action{RemoveMember: &tx.MemberRemoval{}} }},
		{"accredits nobody", func(b P) { *first(b) = tx.Action{Accredit: &tx.TrustAccredit{}} }},
		{"withdraws from nobody", func(b P) { *first(b) = tx.Action{Withdraw: &tx.TrustWithdraw{}} }},
		{"upgrade at 0", func(b P) { *first(b) = tx.Action{Upgrade: &tx.Upgrade{Name: "x"}} }},
		{"upgrade without name", func(b P) { *first(b) = tx.Action{Upgrade: &tx.Upgrade{Height: 1}} }},
	}...)
	for name, bad := range map[string]func(*tx.Params){
		"no epoch":          func(p *tx.Params) { p.EpochSeconds = 0 },
		"long epoch":        func(p *tx.Params) { p.EpochSeconds = tx.MaxEpochSeconds + 1 },
		"no voting":         func(p *tx.Params) { p.VotingSeconds = 0 },
		"long voting":       func(p *tx.Params) { p.VotingSeconds = tx.MaxVotingSeconds + 1 },
		"no denominator":    func(p *tx.Params) { p.ThresholdDen, p.ThresholdNum = 0, 0 },
		"large denominator": func(p *tx.Params) { p.ThresholdDen, p.ThresholdNum = tx.MaxThresholdDen+1, tx.MaxThresholdDen },
		"more than all":     func(p *tx.Params) { p.ThresholdNum = 4 },
		"a half":            func(p *tx.Params) { p.ThresholdNum, p.ThresholdDen = 1, 2 },
		"slow recovery":     func(p *tx.Params) { p.RecoveryMinSeconds = tx.MaxRecoverySeconds + 1 },
		"slow blocks":       func(p *tx.Params) { p.BlockFloorMillis = tx.MaxBlockFloor + 1 },
	} {
		b := propose(tx.Action{SetParams: params()})
		bad(b.Actions[0].SetParams)
		if err := b.Validate(); hufu.RuleOf(err) != tx.RuleBody {
			t.Errorf("parameters with %s: %v", name, err)
		}
	}
}

func TestRefusedTrust(t *testing.T) {
	type T = *tx.TrustType
	refuse(t, credentialType, []change[T]{
		{"no name", func(b T) { b.VCT = "" }},
		{"long name", func(b T) { b.VCT = strings.Repeat("x", tx.MaxVCT+1) }},
		{"name with a space", func(b T) { b.VCT = "a b" }},
		{"version 0", func(b T) { b.Version = 0 }},
		{"assurance", func(b T) { b.Assurance = "total" }},
		{"no display", func(b T) { b.Display = nil }},
		{"too many displays", func(b T) { b.Display = repeat(b.Display[0], tx.MaxLanguages+1) }},
		{"displays unsorted", func(b T) { b.Display[0], b.Display[1] = b.Display[1], b.Display[0] }},
		{"display twice", func(b T) { b.Display[1] = b.Display[0] }},
		{"short language", func(b T) { b.Display[0].Lang = "e" }},
		{"language with an empty subtag", func(b T) { b.Display[0].Lang = "e--n" }},
		{"language that ends in -", func(b T) { b.Display[0].Lang = "en-" }},
		{"language with a long subtag", func(b T) { b.Display[0].Lang = "en-abcdefghi" }},
		{"long language", func(b T) { b.Display[0].Lang = "en" + strings.Repeat("-abc", 9) }},
		{"no type name", func(b T) { b.Display[0].Name = "" }},
		{"long description", func(b T) { b.Display[0].Description = strings.Repeat("x", tx.MaxDescription+1) }},
		{"no claims", func(b T) { b.Claims = nil }},
		{"too many claims", func(b T) { b.Claims = repeat(b.Claims[0], tx.MaxClaims+1) }},
		{"claims unsorted", func(b T) { b.Claims[0], b.Claims[1] = b.Claims[1], b.Claims[0] }},
		{"claim twice", func(b T) { b.Claims[1] = b.Claims[0] }},
		{"claim without path", func(b T) { b.Claims[0].Path = nil }},
		{"deep claim", func(b T) { b.Claims[0].Path = repeat("a", tx.MaxClaimDepth+1) }},
		{"claim with an empty name", func(b T) { b.Claims[0].Path[1] = "" }},
		{"long claim name", func(b T) { b.Claims[0].Path[1] = strings.Repeat("x", tx.MaxClaimName+1) }},
		{"claim type", func(b T) { b.Claims[0].Type = "float" }},
		{"claim disclosure", func(b T) { b.Claims[0].Selective = "" }},
		{"labels unsorted", func(b T) { b.Claims[0].Display[1].Lang = "de" }},
		{"label language", func(b T) { b.Claims[0].Display[0].Lang = "e_n" }},
		{"no label", func(b T) { b.Claims[0].Display[0].Label = "" }},
		{"too many labels", func(b T) { b.Claims[0].Display = repeat(b.Claims[0].Display[0], tx.MaxLanguages+1) }},
	}...)
	type A = *tx.TrustAccredit
	refuse(t, accredit, []change[A]{
		{"nobody", func(b A) { b.Subject = hufu.ID{} }},
		{"nothing", func(b A) { b.Grant.Types = nil }},
		{"too many types", func(b A) { b.Grant.Types = repeat("a", tx.MaxGrantTypes+1) }},
		{"types unsorted", func(b A) { b.Grant.Types = []string{"b", "a"} }},
		{"a type twice", func(b A) { b.Grant.Types = []string{"a", "a"} }},
		{"an empty type", func(b A) { b.Grant.Types = []string{""} }},
		{"deep delegation", func(b A) { b.Grant.Delegate = tx.MaxDelegate + 1 }},
		{"before 1970", func(b A) { b.Grant.NotBefore = -1 }},
		{"after 9999", func(b A) { b.Grant.NotAfter = tx.MaxUnixTime + 1 }},
		{"never", func(b A) { b.Grant.NotBefore = 3 }},
	}...)
	type W = *tx.TrustWithdraw
	refuse(t, withdraw,
		change[W]{"nobody", func(b W) { b.Subject = hufu.ID{} }},
		change[W]{"no type", func(b W) { b.Type = "" }},
	)
}

func TestRefusedStatusAndContracts(t *testing.T) {
	type O = *tx.StatusOpen
	refuse(t, open, []change[O]{
		{"0 bits", func(b O) { b.Bits = 0 }},
		{"4 bits", func(b O) { b.Bits = 4 }},
		{"no entries", func(b O) { b.Size = 0 }},
		{"too many entries", func(b O) { b.Size = tx.MaxStatusSize + 1 }},
		{"no URI", func(b O) { b.URI = "" }},
	}...)
	type S = *tx.StatusSet
	refuse(t, set, []change[S]{
		{"no changes", func(b S) { b.Changes = nil }},
		{"too many changes", func(b S) { b.Changes = repeat(b.Changes[0], tx.MaxStatusChanges+1) }},
		{"status", func(b S) { b.Changes[0].Status = 3 }},
		{"reason", func(b S) { b.Changes[0].Reason = "Zhang San moved" }},
		{"no index", func(b S) { b.Changes[0].Indexes = nil }},
		{"index twice", func(b S) { b.Changes[0].Indexes = []uint64{1, 1} }},
		{"indexes unsorted", func(b S) { b.Changes[0].Indexes = []uint64{2, 1} }},
		{"index too large", func(b S) { b.Changes[0].Indexes = []uint64{tx.MaxStatusSize} }},
	}...)
	type P = *tx.ContractPublish
	refuse(t, publish, []change[P]{
		{"no name", func(b P) { b.Name = "" }},
		{"long name", func(b P) { b.Name = strings.Repeat("x", tx.MaxContractName+1) }},
		{"name with capitals", func(b P) { b.Name = "Reading" }},
		{"name that begins with -", func(b P) { b.Name = "-a" }},
		{"name that ends with -", func(b P) { b.Name = "a-" }},
		{"version 0", func(b P) { b.Version = 0 }},
		{"no text", func(b P) { b.Text = "" }},
		{"long text", func(b P) { b.Text = strings.Repeat("x", tx.MaxContractText+1) }},
		{"text not UTF-8", func(b P) { b.Text = "\xff" }},
	}...)
	type R = *tx.ContractRetire
	refuse(t, func() R { return &tx.ContractRetire{Name: "a"} }, change[R]{"no name", func(b R) { b.Name = "" }})
}
