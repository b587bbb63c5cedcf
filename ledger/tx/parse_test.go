package tx_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
)

// parts is a message taken apart, to be put together wrongly.
type parts struct {
	tag         uint64
	protected   []byte
	unprotected map[int]any
	payload     []byte
	sigs        []sigParts
}

type sigParts struct {
	protected   []byte
	unprotected map[int]any
	sig         []byte
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := encoding.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (p parts) message(t testing.TB) []byte {
	sigs := make([]any, 0, len(p.sigs))
	for _, s := range p.sigs {
		sigs = append(sigs, []any{s.protected, s.unprotected, s.sig})
	}
	inner := marshal(t, []any{p.protected, p.unprotected, p.payload, sigs})
	return marshal(t, encoding.Tag{Number: p.tag, Content: inner})
}

func protected(signer hufu.ID, index uint8, alg int64) map[int]any {
	return map[int]any{1: alg, 4: append(bytes.Clone(signer[:]), index)}
}

// fields are those of a good did.deactivate by id(1).
func fields() map[int]any {
	author := id(1)
	return map[int]any{1: "demo", 2: "did.deactivate", 3: author[:], 4: 1, 5: 100, 7: encoding.RawCBOR{0xa0}}
}

func good(t testing.TB, f map[int]any) parts {
	return parts{
		tag: 98, payload: marshal(t, f),
		sigs: []sigParts{{protected: marshal(t, protected(id(1), 0, -8)), sig: make([]byte, 64)}},
	}
}

func sigBy(t testing.TB, signer hufu.ID, index uint8) sigParts {
	return sigParts{protected: marshal(t, protected(signer, index, -8)), sig: make([]byte, 64)}
}

func wantRule(t *testing.T, raw []byte, rule hufu.Rule) {
	t.Helper()
	if _, err := tx.Parse(raw, network); hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

func TestGoodParts(t *testing.T) {
	parsed := parse(t, good(t, fields()).message(t))
	if parsed.Payload.Kind != tx.KindDIDDeactivate || parsed.Signatures[0].Signer != id(1) || len(parsed.Raw()) == 0 {
		t.Errorf("%+v", parsed)
	}
}

func TestTruncatedAndTrailing(t *testing.T) {
	raw := good(t, fields()).message(t)
	for n := range raw {
		wantRule(t, raw[:n:n], tx.RuleMalformed)
	}
	wantRule(t, append(bytes.Clone(raw), 0), tx.RuleMalformed)
	wantRule(t, append(bytes.Clone(raw), raw...), tx.RuleMalformed)
}

func TestTooLarge(t *testing.T) {
	wantRule(t, make([]byte, tx.MaxSize+1), tx.RuleTooLarge)
	wantRule(t, make([]byte, tx.MaxSize), tx.RuleMalformed)
}

func TestEnvelope(t *testing.T) {
	sponsor := id(2)
	sponsored := fields()
	sponsored[6] = sponsor[:]
	for name, c := range map[string]struct {
		rule   hufu.Rule
		change func(*parts)
	}{
		"other tag":                {tx.RuleMalformed, func(p *parts) { p.tag = 18 }},
		"body header":              {tx.RuleBodyHeader, func(p *parts) { p.protected = marshal(t, map[int]any{3: 0}) }},
		"body header, empty map":   {tx.RuleBodyHeader, func(p *parts) { p.protected = []byte{0xa0} }},
		"body unprotected":         {tx.RuleUnprotectedHeader, func(p *parts) { p.unprotected = map[int]any{4: []byte{1}} }},
		"unprotected":              {tx.RuleUnprotectedHeader, func(p *parts) { p.sigs[0].unprotected = map[int]any{4: []byte{1}} }},
		"no signature":             {tx.RuleSignatureCount, func(p *parts) { p.sigs = nil }},
		"nine signatures":          {tx.RuleSignatureCount, func(p *parts) { p.sigs = nineBy(t, id(1)) }},
		"no alg":                   {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = marshal(t, map[int]any{4: make([]byte, 33)}) }},
		"no kid":                   {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = marshal(t, map[int]any{1: -8}) }},
		"alg as text":              {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = header(t, 1, "EdDSA") }},
		"alg out of range":         {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = header(t, 1, int64(-1)<<40) }},
		"short kid":                {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = header(t, 4, make([]byte, 32)) }},
		"long kid":                 {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = header(t, 4, make([]byte, 34)) }},
		"further header":           {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = header(t, 3, 0) }},
		"header with bytes after":  {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = append(p.sigs[0].protected, 0) }},
		"header, alg not shortest": {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = longAlg() }},
		"empty header":             {tx.RuleSignatureHeader, func(p *parts) { p.sigs[0].protected = nil }},
		"short signature":          {tx.RuleMalformed, func(p *parts) { p.sigs[0].sig = make([]byte, 63) }},
		"long signature":           {tx.RuleMalformed, func(p *parts) { p.sigs[0].sig = make([]byte, 65) }},
		"signer twice":             {tx.RuleSignatureOrder, func(p *parts) { p.sigs = append(p.sigs, p.sigs[0]) }},
		"keys out of order":        {tx.RuleSignatureOrder, func(p *parts) { p.sigs = []sigParts{sigBy(t, id(1), 1), sigBy(t, id(1), 0)} }},
		"a stranger":               {tx.RuleForeignSignature, func(p *parts) { p.sigs = append(p.sigs, sigBy(t, id(9), 0)) }},
		"sponsor first": {tx.RuleSignatureOrder, func(p *parts) {
			p.payload = marshal(t, sponsored)
			p.sigs = []sigParts{sigBy(t, sponsor, 0), sigBy(t, id(1), 0)}
		}},
		"author after sponsor": {tx.RuleSignatureOrder, func(p *parts) {
			p.payload = marshal(t, sponsored)
			p.sigs = []sigParts{sigBy(t, id(1), 0), sigBy(t, sponsor, 0), sigBy(t, id(1), 1)}
		}},
		"sponsor twice": {tx.RuleSignatureOrder, func(p *parts) {
			p.payload = marshal(t, sponsored)
			p.sigs = []sigParts{sigBy(t, id(1), 0), sigBy(t, sponsor, 0), sigBy(t, sponsor, 0)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p := good(t, fields())
			c.change(&p)
			wantRule(t, p.message(t), c.rule)
		})
	}
	p := good(t, sponsored)
	p.sigs = []sigParts{sigBy(t, id(1), 0), sigBy(t, id(1), 3), sigBy(t, sponsor, 0)}
	if got := parse(t, p.message(t)); *got.Payload.Sponsor != sponsor || got.Signatures[1].KeyIndex != 3 {
		t.Errorf("%+v", got)
	}
}

func nineBy(t testing.TB, signer hufu.ID) (out []sigParts) {
	for i := range uint8(9) {
		out = append(out, sigBy(t, signer, i))
	}
	return out
}

func header(t testing.TB, label int, value any) []byte {
	h := protected(id(1), 0, -8)
	h[label] = value
	return marshal(t, h)
}

func longAlg() []byte {
	signer := id(1)
	return append(append([]byte{0xa2, 0x01, 0x38, 0x07, 0x04, 0x58, 0x21}, signer[:]...), 0)
}

func TestPayload(t *testing.T) {
	same, zero := id(1), hufu.ID{}
	for name, c := range map[string]struct {
		rule  hufu.Rule
		field int
		value any
	}{
		"other network":        {tx.RuleNetwork, 1, "other"},
		"unknown kind":         {tx.RuleKind, 2, "did.steal"},
		"no kind":              {tx.RuleKind, 2, ""},
		"no author":            {tx.RuleMalformed, 3, zero[:]},
		"short author":         {tx.RuleMalformed, 3, same[:31]},
		"long author":          {tx.RuleMalformed, 3, append(same[:], 0)},
		"sequence 0":           {tx.RuleInception, 4, 0},
		"null sequence":        {tx.RuleMalformed, 4, nil},
		"negative expiry":      {tx.RuleMalformed, 5, -1},
		"expiry as text":       {tx.RuleMalformed, 5, "100"},
		"self-sponsored":       {tx.RuleSponsor, 6, same[:]},
		"sponsored by nobody":  {tx.RuleSponsor, 6, zero[:]},
		"null sponsor":         {tx.RuleMalformed, 6, nil},
		"body of another kind": {tx.RuleMalformed, 7, encoding.RawCBOR{0xa1, 0x01, 0x01}},
		"body no map":          {tx.RuleMalformed, 7, encoding.RawCBOR{0x01}},
		"null body":            {tx.RuleMalformed, 7, nil},
		"unknown field":        {tx.RuleMalformed, 8, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := fields()
			f[c.field] = c.value
			wantRule(t, good(t, f).message(t), c.rule)
		})
	}
	for n := range fields() {
		f := fields()
		delete(f, n)
		p := good(t, f)
		if _, err := tx.Parse(p.message(t), network); err == nil {
			t.Errorf("accepted without field %d", n)
		}
	}
	if _, err := tx.Parse(good(t, fields()).message(t), "other"); hufu.RuleOf(err) != tx.RuleNetwork {
		t.Errorf("parsed for another network: %v", err)
	}
}

// Payloads that a lenient decoder would take for a good one.
func TestPayloadBytes(t *testing.T) {
	payload := marshal(t, fields())
	replace := func(old, fresh string) []byte {
		o, _ := hex.DecodeString(old)
		f, _ := hex.DecodeString(fresh)
		out := bytes.Replace(payload, o, f, 1)
		if bytes.Equal(out, payload) {
			t.Fatalf("%s is not in %x", old, payload)
		}
		return out
	}
	for name, bad := range map[string][]byte{
		"duplicate key":            append(append([]byte{payload[0] + 1}, payload[1:]...), 0x07, 0xa0),
		"unsorted keys":            replace("0401051864", "0518640401"),
		"sequence not shortest":    replace("0401", "041801"),
		"expiry not shortest":      replace("051864", "05190064"),
		"indefinite map":           append(append([]byte{0xbf}, payload[1:]...), 0xff),
		"trailing bytes":           append(bytes.Clone(payload), 0),
		"float expiry":             replace("051864", "05f95640"),
		"empty where to be absent": replace("07a0", "07a101f6"),
	} {
		t.Run(name, func(t *testing.T) {
			p := good(t, fields())
			p.payload = bad
			wantRule(t, p.message(t), tx.RuleMalformed)
		})
	}
}

func TestEnvelopeLengthsShortest(t *testing.T) {
	raw := good(t, fields()).message(t)
	for name, c := range map[string][2]string{
		"array":      {"d86284", "d8629804"},
		"tag":        {"d862", "d90062"},
		"signature":  {"5840", "590040"},
		"signatures": {"8183", "980183"},
	} {
		old, _ := hex.DecodeString(c[0])
		fresh, _ := hex.DecodeString(c[1])
		bad := bytes.Replace(raw, old, fresh, 1)
		if bytes.Equal(bad, raw) {
			t.Fatal(name)
		}
		wantRule(t, bad, tx.RuleMalformed)
	}
}

func TestInception(t *testing.T) {
	k := key(t, keys.Ed25519, 1)
	other := id(9)
	_, err := tx.Build(nil, tx.Payload{Network: network, Author: other, Expires: 1}, inception(t), tx.SignerRef{Signer: k})
	if hufu.RuleOf(err) != tx.RuleInception {
		t.Errorf("an author that is not the digest: %v", err)
	}
	_, err = tx.Build(nil, tx.Payload{Network: network, Expires: 1, Sequence: 1}, inception(t), tx.SignerRef{Signer: k})
	if hufu.RuleOf(err) != tx.RuleInception {
		t.Errorf("an inception with a sequence: %v", err)
	}
	if tx.InceptionID("demo", inception(t)) == tx.InceptionID("demo2", inception(t)) {
		t.Error("the same identifier on two networks")
	}
}
