package receipt_test

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

const (
	gateDID  = hufu.DID("did:hufu:demo:z11111111111111111111111111111111")
	stranger = hufu.DID("did:hufu:demo:z11111111111111111111111111111112")
)

var now = time.Unix(1_790_000_000, 0).UTC()

func seeded(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func key(t testing.TB, n byte) keys.Signer {
	t.Helper()
	k, err := keys.P256.Generate(seeded(n))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var presentations = []string{"one", "two"}

func allowed() *receipt.Receipt {
	return &receipt.Receipt{
		Gate: gateDID, Contract: hufu.ContractID{Owner: gateDID, Name: "clinic"}, Version: 2, Hash: hufu.Digest{1},
		AsOf: hufu.AsOf{Height: 7, Time: now.Add(-3 * time.Second), AppHash: hufu.Digest{2}}, Staleness: 3 * time.Second,
		Decision: hufu.Allow, Policies: []string{"adult", "region"}, Time: now, Until: now.Add(time.Hour),
		Nonce: "nonce-nonce-nonce", Commitment: receipt.Commit("nonce-nonce-nonce", presentations),
	}
}

func refused() *receipt.Receipt {
	return &receipt.Receipt{
		Gate: gateDID, Rule: "gate.unknown-nonce", Reason: "no such request", Time: now,
		Commitment: receipt.Commit("", presentations),
	}
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

func TestRoundTrip(t *testing.T) {
	asked := allowed()
	asked.Asked = &receipt.Asked{
		Audience: "origin:https://shop.example", Format: "mso_mdoc", ResponseURI: "https://gate.example/", Thumbprint: "AAAA",
		Transactions: []oid4vp.TransactionRef{{Hash: "h", Credentials: []string{"person"}, Alg: "sha-256"}},
	}
	for _, want := range []*receipt.Receipt{allowed(), refused(), asked} {
		token, err := receipt.Make(seeded(2), key(t, 1), gateDID.URL("gate"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := receipt.Parse(token)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got.Receipt, want) {
			t.Errorf("read %+v, wrote %+v", got.Receipt, *want)
		}
		if err := got.Verify(key(t, 1).Public()); err != nil {
			t.Error(err)
		}
		wantRule(t, got.Verify(key(t, 9).Public()), receipt.RuleSignature)
	}
}

func TestAnswers(t *testing.T) {
	token, _ := receipt.Make(seeded(2), key(t, 1), gateDID.URL("gate"), allowed())
	r, err := receipt.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Answers("nonce-nonce-nonce", presentations); err != nil {
		t.Error(err)
	}
	wantRule(t, r.Answers("other-nonce", presentations), receipt.RuleNonce)
	wantRule(t, r.Answers("nonce-nonce-nonce", []string{"one"}), receipt.RuleCommitment)
	wantRule(t, r.Answers("nonce-nonce-nonce", []string{"two", "one"}), receipt.RuleCommitment)
}

func TestCommitmentIsFrozen(t *testing.T) {
	one, two := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two"))
	want := sha256.Sum256(append(append([]byte("nonce"), one[:]...), two[:]...))
	if got := receipt.Commit("nonce", presentations); got != want {
		t.Errorf("commitment %s, want %x", got, want)
	}
}

func TestCommitmentBindsEachPresentation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.String(), 1, 4).Draw(t, "presentations")
		nonce := rapid.StringMatching(`[a-z]{16}`).Draw(t, "nonce")
		i := rapid.IntRange(0, len(list)-1).Draw(t, "changed")
		other := append([]string(nil), list...)
		other[i] += "x"
		if receipt.Commit(nonce, list) == receipt.Commit(nonce, other) {
			t.Fatal("two lists, one commitment")
		}
	})
}

func TestRefusals(t *testing.T) {
	token, _ := receipt.Make(seeded(2), key(t, 1), gateDID.URL("gate"), allowed())
	m, _ := jws.Parse(token, receipt.MaxSize)
	var good map[string]any
	if err := json.Unmarshal(m.Payload, &good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set    map[string]any
		header jws.Header
		want   hufu.Rule
	}{
		"as made":                   {},
		"unknown member":            {set: map[string]any{"new": 1}},
		"typ":                       {header: jws.Header{"typ": "JWT", "kid": gateDID.URL("gate")}, want: receipt.RuleMalformed},
		"kid of someone else":       {header: jws.Header{"typ": receipt.Type, "kid": stranger.URL("gate")}, want: receipt.RuleSignature},
		"kid missing":               {header: jws.Header{"typ": receipt.Type}, want: receipt.RuleSignature},
		"iat":                       {set: map[string]any{"iat": 0}, want: receipt.RuleMalformed},
		"exp negative":              {set: map[string]any{"exp": -1}, want: receipt.RuleMalformed},
		"staleness negative":        {set: map[string]any{"staleness": -1}, want: receipt.RuleMalformed},
		"state time negative":       {set: map[string]any{"state_time": -1}, want: receipt.RuleMalformed},
		"no hash":                   {set: map[string]any{"contract_hash": nil}, want: receipt.RuleMalformed},
		"no version":                {set: map[string]any{"contract_version": 0}, want: receipt.RuleMalformed},
		"allowed by no contract":    {set: map[string]any{"contract": nil, "contract_hash": nil, "contract_version": 0}, want: receipt.RuleMalformed},
		"no height":                 {set: map[string]any{"height": 0}, want: receipt.RuleMalformed},
		"no app hash":               {set: map[string]any{"app_hash": nil}, want: receipt.RuleMalformed},
		"no state time":             {set: map[string]any{"state_time": 0}, want: receipt.RuleMalformed},
		"allowed on no state":       {set: map[string]any{"height": 0, "app_hash": nil, "state_time": 0}, want: receipt.RuleMalformed},
		"allowed against a rule":    {set: map[string]any{"rule": "gate.x"}, want: receipt.RuleMalformed},
		"decision of another word":  {set: map[string]any{"decision": "yes"}, want: receipt.RuleMalformed},
		"contract unreadable":       {set: map[string]any{"contract": "x"}, want: receipt.RuleMalformed},
		"commitment too short":      {set: map[string]any{"commitment": "00"}, want: receipt.RuleMalformed},
		"issued by nobody we parse": {set: map[string]any{"iss": 3}, want: receipt.RuleMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			body := maps.Clone(good)
			maps.Copy(body, c.set)
			raw, _ := json.Marshal(body)
			h := jws.Header{"typ": receipt.Type, "kid": gateDID.URL("gate")}
			if c.header != nil {
				h = c.header
			}
			token, err := jws.Sign(seeded(3), h, raw, key(t, 1))
			if err != nil {
				t.Fatal(err)
			}
			_, err = receipt.Parse(token)
			wantRule(t, err, c.want)
		})
	}
	for name, text := range map[string]string{"empty": "", "too large": strings.Repeat("a", receipt.MaxSize+1)} {
		t.Run(name, func(t *testing.T) {
			_, err := receipt.Parse(text)
			wantRule(t, err, receipt.RuleMalformed)
		})
	}
}

// A receipt has exactly these members: whoever adds one has to think about P7 and change this test.
func TestReceiptHasNoRoomForClaims(t *testing.T) {
	token, _ := receipt.Make(seeded(2), key(t, 1), gateDID.URL("gate"), allowed())
	m, _ := jws.Parse(token, receipt.MaxSize)
	var got map[string]any
	if err := json.Unmarshal(m.Payload, &got); err != nil {
		t.Fatal(err)
	}
	known := "iss iat exp nonce contract contract_version contract_hash height state_time app_hash staleness decision policies commitment"
	if len(got) != len(strings.Fields(known)) {
		t.Errorf("%d members: %v", len(got), got)
	}
	for _, name := range strings.Fields(known) {
		if got[name] == nil {
			t.Errorf("no member %s", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	token, _ := receipt.Make(seeded(2), key(f, 1), gateDID.URL("gate"), allowed())
	f.Add(token)
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := receipt.Parse(token); err != nil && hufu.RuleOf(err) == "" {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}
