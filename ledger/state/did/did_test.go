package did_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

const network hufu.Network = "demo"

// owner holds an identifier's keys: what it has used and what comes next.
type owner struct {
	t     testing.TB
	o     *state.Overlay
	id    hufu.ID
	seed  byte
	turns int // rotations so far
	seq   uint64
	now   state.Context
}

// secret is the owner's key of a turn; turn 0 is the inception's.
func (w *owner) secret(turn int) keys.Signer {
	k, err := keys.Ed25519.Load(append(bytes.Repeat([]byte{w.seed}, 30), byte(turn>>8), byte(turn)))
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func (w *owner) digest(turn int) hufu.Digest { return w.secret(turn).Public().Digest() }
func (w *owner) multikey(turn int) []byte    { return w.secret(turn).Public().Multikey() }

// apply signs body with the owner's key of a turn and applies it in the next block, 10 s later.
func (w *owner) apply(turn int, body tx.Body) error {
	w.t.Helper()
	p := tx.Payload{Network: network, Author: w.id, Sequence: w.seq, Expires: 100}
	raw, err := tx.Build(rand.Reader, p, body, tx.SignerRef{Signer: w.secret(turn), KeyIndex: uint8(turn)})
	if err != nil {
		w.t.Fatal(err)
	}
	t, err := tx.Parse(raw, network)
	if err != nil {
		w.t.Fatal(err)
	}
	w.now.Height++
	w.now.Time += 10
	w.now.TxID = t.ID()
	w.seq++
	return did.Apply(w.now, w.o, t)
}

func (w *owner) must(turn int, body tx.Body) {
	w.t.Helper()
	if err := w.apply(turn, body); err != nil {
		w.t.Fatal(err)
	}
}

func (w *owner) rotation(fall bool) *tx.DIDRotate {
	next := w.turns + 1
	return &tx.DIDRotate{
		Keys: [][]byte{w.multikey(next)}, Threshold: 1, Next: []hufu.Digest{w.digest(next + 1)}, NextThreshold: 1, Fall: fall,
	}
}

func (w *owner) rotate(fall bool) {
	w.t.Helper()
	w.must(w.turns+1, w.rotation(fall))
	w.turns++
}

func (w *owner) record() *did.Record {
	w.t.Helper()
	rec, err := did.Get(w.o, w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// born is an owner whose identifier was created at height 1, time 1010.
func born(t testing.TB, methods ...tx.Method) *owner {
	w := &owner{t: t, o: state.NewOverlay(state.Empty{}), seed: 7, now: state.Context{Network: network, Time: 1000}}
	b := &tx.DIDCreate{
		Keys: [][]byte{w.multikey(0)}, Threshold: 1, Next: []hufu.Digest{w.digest(1)}, NextThreshold: 1, Methods: methods,
	}
	w.must(0, b)
	w.id = tx.InceptionID(network, b)
	return w
}

func method(t testing.TB, fragment string, seed byte) tx.Method {
	k, err := keys.P256.Load(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return tx.Method{Fragment: fragment, Key: k.Public().Multikey(), Purposes: tx.PurposeAssertion}
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

func TestCreate(t *testing.T) {
	w := born(t, method(t, "assert-1", 3))
	rec := w.record()
	if rec.ID != w.id || rec.Sequence != 1 || rec.Version != 1 || rec.Created != 1 || rec.CreatedTime != 1010 || !rec.Member.IsZero() || rec.Open {
		t.Errorf("%+v", rec)
	}
	if len(rec.Keys) != 1 || !rec.Keys[0].Current() || len(rec.Methods) != 1 || rec.Methods[0].FromTime != 1010 {
		t.Errorf("%+v", rec)
	}
	b := &tx.DIDCreate{Keys: [][]byte{w.multikey(0)}, Threshold: 1, Next: []hufu.Digest{w.digest(1)}, NextThreshold: 1}
	b.Methods = []tx.Method{method(t, "assert-1", 3)}
	wantRule(t, did.CheckNew(w.o, w.id), did.RuleExists)
	b.Services = []tx.Service{{Fragment: "assert-1", Type: "T", Endpoint: "x:y"}}
	wantRule(t, did.Create(w.now, w.o, tx.InceptionID(network, b), b, hufu.ID{}, false), did.RuleService)
}

func TestUnknownAuthor(t *testing.T) {
	w := born(t)
	w.id[0] ^= 1
	wantRule(t, w.apply(0, &tx.DIDDeactivate{}), did.RuleUnknown)
	wantRule(t, did.Bump(w.o, w.id), did.RuleUnknown)
	if rec, err := did.Get(w.o, w.id); rec != nil || err != nil {
		t.Errorf("%v, %v", rec, err)
	}
	wantRule(t, w.apply(0, &tx.ContractRetire{Name: "x"}), did.RuleUnknown)
	w.id[0] ^= 1
	wantRule(t, w.apply(0, &tx.ContractRetire{Name: "x"}), tx.RuleKind)
}

func TestBump(t *testing.T) {
	w := born(t)
	before := w.record()
	if err := did.Bump(w.o, w.id); err != nil {
		t.Fatal(err)
	}
	if after := w.record(); after.Sequence != 2 || after.Version != before.Version || after.Updated != before.Updated {
		t.Errorf("%+v", after)
	}
}

// Whoever has stolen the present key, and even knows every earlier one, cannot rotate.
func TestStolenKeyCannotRotate(t *testing.T) {
	w := born(t)
	w.rotate(false)
	thief := &owner{t: t, seed: 66}
	for name, b := range map[string]*tx.DIDRotate{
		"to keys of his own":     {Keys: [][]byte{thief.multikey(0)}, Threshold: 1, Next: []hufu.Digest{thief.digest(1)}, NextThreshold: 1},
		"to the present key":     {Keys: [][]byte{w.multikey(1)}, Threshold: 1, Next: []hufu.Digest{thief.digest(1)}, NextThreshold: 1},
		"to an earlier key":      {Keys: [][]byte{w.multikey(0)}, Threshold: 1, Next: []hufu.Digest{thief.digest(1)}, NextThreshold: 1},
		"adding keys of his own": {Keys: [][]byte{w.multikey(2), thief.multikey(0)}, Threshold: 1, Next: []hufu.Digest{thief.digest(1)}, NextThreshold: 1},
	} {
		t.Run(name, func(t *testing.T) { wantRule(t, w.apply(1, b), did.RuleNextMismatch) })
	}
	w.rotate(false)
}

// A commitment to a key that was used before would let a thief of that key in later.
func TestNextKeyIsFresh(t *testing.T) {
	w := born(t)
	w.rotate(false)
	for turn := range 2 {
		b := w.rotation(false)
		b.Next[0] = w.digest(turn)
		wantRule(t, w.apply(2, b), did.RuleKeyReused)
	}
	w.rotate(false)
}

func TestRotationThreshold(t *testing.T) {
	rec := &did.Record{NextThreshold: 2}
	if rec.RotationThreshold(&tx.DIDRotate{Threshold: 1}) != 2 || rec.RotationThreshold(&tx.DIDRotate{Threshold: 3}) != 3 {
		t.Error("a rotation needs what was committed to and what may act afterwards")
	}
}

func TestKeyAt(t *testing.T) {
	w := born(t, method(t, "m", 3))                                                             // 1010
	w.rotate(false)                                                                             // 1020: key-1
	w.must(1, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "m"}}})                // 1030
	w.must(1, &tx.DIDUpdate{AddMethods: []tx.Method{method(t, "m", 4), method(t, "gone", 5)}})  // 1040
	w.must(1, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "gone", Fall: true}}}) // 1050
	w.rotate(true)                                                                              // 1060: key-1 falls, key-2
	w.must(2, &tx.DIDDeactivate{})                                                              // 1070
	rec := w.record()
	k3, _ := keys.ParseMultikey(method(t, "m", 3).Key)
	k4, _ := keys.ParseMultikey(method(t, "m", 4).Key)
	for _, c := range []struct {
		fragment string
		purpose  uint8
		at       int64
		rule     hufu.Rule
		key      keys.PublicKey
	}{
		{"key-0", tx.PurposeAssertion, 1009, did.RuleKeyNotValidThen, keys.PublicKey{}},
		{"key-0", tx.PurposeAssertion, 1010, "", w.secret(0).Public()},
		{"key-0", tx.PurposeAuthentication, 1019, "", w.secret(0).Public()},
		{"key-0", tx.PurposeInvocation, 1019, "", w.secret(0).Public()},
		{"key-0", tx.PurposeAgreement, 1019, did.RuleKeyPurpose, keys.PublicKey{}},
		{"key-0", tx.PurposeAssertion, 1020, did.RuleKeyNotValidThen, keys.PublicKey{}},
		{"key-1", tx.PurposeAssertion, 1020, did.RuleKeyFallen, keys.PublicKey{}},
		{"key-1", tx.PurposeAssertion, 1060, did.RuleKeyNotValidThen, keys.PublicKey{}},
		{"key-2", tx.PurposeAssertion, 1060, "", w.secret(2).Public()},
		{"key-2", tx.PurposeAssertion, 1070, did.RuleDeactivated, keys.PublicKey{}},
		{"key-3", tx.PurposeAssertion, 1060, did.RuleUnknownKey, keys.PublicKey{}},
		{"key-02", tx.PurposeAssertion, 1060, did.RuleUnknownKey, keys.PublicKey{}},
		{"key--1", tx.PurposeAssertion, 1060, did.RuleUnknownKey, keys.PublicKey{}},
		{"m", tx.PurposeAssertion, 1010, "", k3},
		{"m", tx.PurposeAuthentication, 1010, did.RuleKeyPurpose, keys.PublicKey{}},
		{"m", tx.PurposeAssertion, 1029, "", k3},
		{"m", tx.PurposeAssertion, 1030, did.RuleKeyNotValidThen, keys.PublicKey{}},
		{"m", tx.PurposeAssertion, 1040, "", k4},
		{"gone", tx.PurposeAssertion, 1045, did.RuleKeyFallen, keys.PublicKey{}},
		{"never", tx.PurposeAssertion, 1045, did.RuleUnknownKey, keys.PublicKey{}},
	} {
		got, err := rec.KeyAt(c.fragment, c.purpose, c.at)
		if hufu.RuleOf(err) != c.rule || !got.Equal(c.key) {
			t.Errorf("%s at %d: %v, %v, want %v, %q", c.fragment, c.at, got, err, c.key, c.rule)
		}
	}
	for _, c := range []struct {
		suite   *keys.Suite
		purpose uint8
		at      int64
		want    []keys.PublicKey
	}{
		{keys.P256, tx.PurposeAssertion, 1009, nil},
		{keys.P256, tx.PurposeAssertion, 1010, []keys.PublicKey{k3}},
		{keys.P256, tx.PurposeAuthentication, 1010, nil},
		{keys.P256, tx.PurposeAssertion, 1035, nil},
		{keys.P256, tx.PurposeAssertion, 1045, []keys.PublicKey{k4}}, // the other one's signatures fell later
		{keys.Ed25519, tx.PurposeAssertion, 1015, []keys.PublicKey{w.secret(0).Public()}},
		{keys.Ed25519, tx.PurposeAssertion, 1045, nil}, // fell
		{keys.Ed25519, tx.PurposeAssertion, 1065, []keys.PublicKey{w.secret(2).Public()}},
	} {
		got, err := rec.KeysAt(c.suite, c.purpose, c.at)
		if err != nil || !slices.EqualFunc(got, c.want, keys.PublicKey.Equal) {
			t.Errorf("%s at %d: %v, %v, want %v", c.suite, c.at, got, err, c.want)
		}
	}
	_, err := rec.KeysAt(keys.P256, tx.PurposeAssertion, 1070)
	wantRule(t, err, did.RuleDeactivated)
	authorities := did.Authorities(w.o, network)
	if got, err := authorities(w.id.DID(network), time.Unix(1010, 0)); err != nil || !slices.EqualFunc(got, []keys.PublicKey{k3}, keys.PublicKey.Equal) {
		t.Errorf("%v, %v", got, err)
	}
	for _, stranger := range []hufu.DID{hufu.ID{9}.DID(network), w.id.DID("elsewhere"), "did:web:example.org"} {
		_, err := authorities(stranger, time.Unix(1010, 0))
		wantRule(t, err, did.RuleUnknown)
	}
	wantRule(t, w.apply(2, &tx.DIDDeactivate{}), did.RuleDeactivated)
}

func TestUpdateRefuses(t *testing.T) {
	w := born(t, method(t, "m", 3))
	services := func(fragment string) *[]tx.Service {
		return &[]tx.Service{{Fragment: fragment, Type: "T", Endpoint: "https://x/"}}
	}
	wantRule(t, w.apply(0, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "n"}}}), did.RuleMethod)
	wantRule(t, w.apply(0, &tx.DIDUpdate{AddMethods: []tx.Method{method(t, "m", 4)}}), did.RuleMethod)
	wantRule(t, w.apply(0, &tx.DIDUpdate{SetServices: services("m")}), did.RuleService)
	w.must(0, &tx.DIDUpdate{SetServices: services("s")})
	wantRule(t, w.apply(0, &tx.DIDUpdate{AddMethods: []tx.Method{method(t, "s", 4)}}), did.RuleService)
	w.must(0, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "m"}}, AddMethods: []tx.Method{method(t, "m", 4)}})
	wantRule(t, w.apply(0, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "m"}}, SetServices: services("m")}), did.RuleService)
	w.must(0, &tx.DIDUpdate{SetServices: &[]tx.Service{}})
	if rec := w.record(); len(rec.Services) != 0 || len(rec.Methods) != 2 {
		t.Errorf("%+v", rec)
	}
}

func TestHistoryFull(t *testing.T) {
	w := born(t)
	for w.turns < did.MaxHistory-1 {
		w.rotate(false)
	}
	err := w.record().CheckRotation([]keys.PublicKey{w.secret(w.turns + 1).Public()})
	wantRule(t, err, did.RuleHistoryFull)
	if n := len(w.record().Keys); n != did.MaxHistory {
		t.Errorf("%d keys", n)
	}
	w = born(t)
	for i := range did.MaxHistory / tx.MaxMethods {
		b := &tx.DIDUpdate{}
		for j := range tx.MaxMethods {
			if i > 0 {
				b.RemoveMethods = append(b.RemoveMethods, tx.MethodRemoval{Fragment: fmt.Sprint("m", j)})
			}
			b.AddMethods = append(b.AddMethods, method(t, fmt.Sprint("m", j), 3))
		}
		w.must(0, b)
	}
	wantRule(t, w.apply(0, &tx.DIDUpdate{AddMethods: []tx.Method{method(t, "n", 3)}}), did.RuleHistoryFull)
}

func TestDocument(t *testing.T) {
	agree := method(t, "agree", 4)
	agree.Purposes = tx.PurposeAgreement
	w := born(t, method(t, "assert-1", 3), agree)
	w.rotate(false)
	w.must(1, &tx.DIDUpdate{SetServices: &[]tx.Service{{Fragment: "issuer", Type: "CredentialIssuer", Endpoint: "https://issuer.example/"}}})
	doc, err := did.NewDocument(w.record(), network)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	d := string(w.id.DID(network))
	vm := func(fragment string, k []byte) string {
		return fmt.Sprintf(`{"id":"%s#%s","type":"Multikey","controller":"%s","publicKeyMultibase":"%s"}`, d, fragment, d, hufu.EncodeMultibase(k))
	}
	want := fmt.Sprintf(`{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"],"id":"%[1]s",
		"verificationMethod":[%[2]s,%[3]s,%[4]s],
		"authentication":["%[1]s#key-1"],"assertionMethod":["%[1]s#key-1","%[1]s#assert-1"],"keyAgreement":["%[1]s#agree"],
		"capabilityInvocation":["%[1]s#key-1"],
		"service":[{"id":"%[1]s#issuer","type":"CredentialIssuer","serviceEndpoint":"https://issuer.example/"}]}`,
		d, vm("key-1", w.multikey(1)), vm("assert-1", method(t, "", 3).Key), vm("agree", agree.Key))
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(want), "", " "); err != nil {
		t.Fatal(err)
	}
	if pretty.String() != string(got) {
		t.Errorf("got\n%s\nwant\n%s", got, pretty.String())
	}
	w.must(1, &tx.DIDDeactivate{})
	doc, err = did.NewDocument(w.record(), network)
	if err != nil || len(doc.VerificationMethod) != 0 || len(doc.Service) != 0 {
		t.Errorf("%+v, %v", doc, err)
	}
}

// However events interleave, no key is ever lost, changed or moved, spans do not overlap, and a span
// that has ended stays as it ended.
func TestHistoryOnlyGrows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := born(t, method(t, "a", 3))
		last := w.record()
		rt.Repeat(map[string]func(*rapid.T){
			"rotate": func(rt *rapid.T) {
				fall := rapid.Bool().Draw(rt, "fall")
				if w.apply(w.turns+1, w.rotation(fall)) == nil {
					w.turns++
				}
			},
			"steal": func(rt *rapid.T) {
				b := w.rotation(false)
				b.Keys[0] = w.multikey(rapid.IntRange(0, w.turns).Draw(rt, "key"))
				if w.apply(w.turns, b) == nil {
					rt.Fatal("a present or past key rotated")
				}
			},
			"update": func(rt *rapid.T) {
				name := rapid.SampledFrom([]string{"a", "b"})
				b := &tx.DIDUpdate{}
				if rapid.Bool().Draw(rt, "remove") {
					b.RemoveMethods = []tx.MethodRemoval{{Fragment: name.Draw(rt, "gone"), Fall: rapid.Bool().Draw(rt, "fall")}}
				}
				if len(b.RemoveMethods) == 0 || rapid.Bool().Draw(rt, "add") {
					b.AddMethods = []tx.Method{method(t, name.Draw(rt, "new"), rapid.ByteRange(1, 9).Draw(rt, "key"))}
				}
				_ = w.apply(w.turns, b)
			},
			"": func(rt *rapid.T) {
				rec := w.record()
				checkGrown(rt, last, rec, w.now)
				last = rec
			},
		})
	})
}

func checkGrown(t *rapid.T, last, rec *did.Record, now state.Context) {
	if len(rec.Keys) < len(last.Keys) || len(rec.Methods) < len(last.Methods) || rec.Version < last.Version {
		t.Fatal("something was forgotten")
	}
	for i, k := range last.Keys {
		if !bytes.Equal(k.Multikey, rec.Keys[i].Multikey) || !ended(k.Span, rec.Keys[i].Span, now) {
			t.Fatalf("key %d was %+v and is %+v", i, k, rec.Keys[i])
		}
	}
	for i, m := range last.Methods {
		n := rec.Methods[i]
		if m.Fragment != n.Fragment || m.Purposes != n.Purposes || !bytes.Equal(m.Multikey, n.Multikey) || !ended(m.Span, n.Span, now) {
			t.Fatalf("method %d was %+v and is %+v", i, m, n)
		}
	}
	if current := rec.CurrentKeys(); !slices.Equal(current, []int{len(rec.Keys) - 1}) {
		t.Fatalf("present keys %v of %d", current, len(rec.Keys))
	}
	for i, m := range rec.Methods {
		for _, n := range rec.Methods[:i] {
			if m.Fragment == n.Fragment && (n.Current() || n.Until > m.From) {
				t.Fatalf("two methods %q at a time", m.Fragment)
			}
		}
	}
}

// ended reports whether a span is as before, or has just ended.
func ended(before, after did.Span, now state.Context) bool {
	if before == after {
		return true
	}
	return before.Current() && before.From == after.From && before.FromTime == after.FromTime && after.Until == now.Height && after.UntilTime == now.Time
}
