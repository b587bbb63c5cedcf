package mdoc_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	gocose "github.com/veraison/go-cose"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

// OpenID4VP 1.0 Appendix B.2.6 gives both transcripts.
func TestTranscripts(t *testing.T) {
	key := must(jws.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"DxiH5Q4Yx3UrukE2lWCErq8N8bqC9CHLLrAwLz5BmE0","y":"XtLM4-3h5o3HUH0MHVJV0kyq0iBlrBwlh8qEDMZ4-Pc"}`)))
	thumbprint := must(jws.DecodeBase64(jws.Thumbprint(key)))
	if got := hex.EncodeToString(thumbprint); got != "4283ec927ae0f208daaa2d026a814f2b22dca52cf85ffa8f3f8626c6bd669047" {
		t.Errorf("thumbprint %s", got)
	}
	const nonce = "exc7gBkxjx1rdc9udRrveKvSsJIq80avlXeLHhGwqtA"
	redirect := must(mdoc.RedirectTranscript("x509_san_dns:example.com", nonce, thumbprint, "https://example.com/response"))
	if got := hex.EncodeToString(redirect); got != "83f6f682714f70656e494434565048616e646f7665725820048bc053c00442af9b8eed494cefdd9d95240d254b046b11b68013722aad38ac" {
		t.Errorf("redirect: %s", got)
	}
	api := must(mdoc.DCAPITranscript("https://example.com", nonce, thumbprint))
	if got := hex.EncodeToString(api); got != "83f6f682764f70656e4944345650444341504948616e646f7665725820fbece366f4212f9762c74cfdbf83b8c69e371d5d68cea09cb4c48ca6daab761a" {
		t.Errorf("Digital Credentials API: %s", got)
	}
}

// ISO/IEC 18013-5 D.4.1.2 is a response to a reader nearby: its issuer's half is read and verified here,
// its holder's half is a MAC and refused as such.
func TestISOExample(t *testing.T) {
	text, err := os.ReadFile("testdata/iso-18013-5-d.4.1.2.hex")
	if err != nil {
		t.Fatal(err)
	}
	raw := must(hex.DecodeString(strings.ReplaceAll(string(text), "\n", "")))
	var r struct {
		Documents []struct {
			IssuerSigned cbor.RawMessage `cbor:"issuerSigned"`
		} `cbor:"documents"`
	}
	if err := cbor.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	c, err := mdoc.Parse(jws.EncodeBase64(r.Documents[0].IssuerSigned))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	v, err := c.Verify(mdoc.VerifyParams{Now: at, AnyAuthority: true})
	if err != nil {
		t.Fatal(err)
	}
	const ns = "org.iso.18013.5.1"
	if v.DocType != "org.iso.18013.5.1.mDL" || v.Issuer != "" || v.Signer.Country != "US" || v.DeviceKey.IsZero() || v.Status != nil ||
		!v.Signed.Equal(time.Date(2020, 10, 1, 13, 30, 2, 0, time.UTC)) || !v.ValidUntil.Equal(time.Date(2021, 10, 1, 13, 30, 2, 0, time.UTC)) {
		t.Errorf("read %+v", v)
	}
	portrait, _ := v.Elements[ns]["portrait"].(string)
	delete(v.Elements[ns], "portrait")
	want := map[string]any{
		"family_name": "Doe", "issue_date": "2019-10-20", "expiry_date": "2024-10-20", "document_number": "123456789",
		"driving_privileges": []any{
			map[string]any{"vehicle_category_code": "A", "issue_date": "2018-08-09", "expiry_date": "2024-10-20"},
			map[string]any{"vehicle_category_code": "B", "issue_date": "2017-02-23", "expiry_date": "2024-10-20"},
		},
	}
	if !reflect.DeepEqual(v.Elements[ns], want) || !bytes.HasPrefix(must(jws.DecodeBase64(portrait)), []byte{0xff, 0xd8}) {
		t.Errorf("elements %v", v.Elements[ns])
	}
	_, err = c.Verify(mdoc.VerifyParams{Now: now, AnyAuthority: true})
	wantRule(t, err, mdoc.RuleExpired)
	s := newScene(t)
	p := s.verifyParams()
	p.Now, p.DocType = at, ""
	_, err = mdoc.Verify(jws.EncodeBase64(raw), p)
	wantRule(t, err, mdoc.RuleDeviceMAC)
}

func TestIssuePresentVerify(t *testing.T) {
	s := newScene(t)
	c := s.issue(s.params())
	p := s.verifyParams()
	held, err := c.Verify(p)
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := held.Claims(); err != nil || !reflect.DeepEqual(claims, residentClaims()) {
		t.Errorf("the holder got %v, %v", claims, err)
	}
	v, err := mdoc.Verify(s.present(c, "age_equal_or_over.18", "birthdate"), p)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Claims()
	want := map[string]any{"birthdate": "1990-02-28", "age_equal_or_over": map[string]any{"18": true}}
	if err != nil || !reflect.DeepEqual(claims, want) {
		t.Errorf("the verifier got %v, %v", claims, err)
	}
	if v.Issuer != agency || v.DocType != vct || !v.DeviceKey.Equal(s.holder.Public()) || *v.Status != (mdoc.StatusRef{URI: "https://agency.example/lists/1", Index: 42}) ||
		!v.Signed.Equal(now.Add(-time.Hour)) || !v.ValidFrom.Equal(v.Signed) || !v.ValidUntil.Equal(now.Add(30*24*time.Hour)) {
		t.Errorf("verified %+v", v)
	}
	// Nothing at all can be shown, too: that one has such a document.
	v, err = mdoc.Verify(s.present(c), p)
	if err != nil || len(v.Elements) != 0 {
		t.Errorf("nothing shown: %v, %v", v, err)
	}
}

// go-cose verifies both signatures over what ISO/IEC 18013-5 says they are made of.
func TestSignaturesAgainstGoCOSE(t *testing.T) {
	s := newScene(t)
	raw := must(jws.DecodeBase64(s.present(s.issue(s.params()), "name")))
	var r struct {
		Documents []struct {
			IssuerSigned struct {
				IssuerAuth gocose.UntaggedSign1Message `cbor:"issuerAuth"`
			} `cbor:"issuerSigned"`
			DeviceSigned struct {
				NameSpaces cbor.RawMessage `cbor:"nameSpaces"`
				DeviceAuth struct {
					Signature gocose.UntaggedSign1Message `cbor:"deviceSignature"`
				} `cbor:"deviceAuth"`
			} `cbor:"deviceSigned"`
		} `cbor:"documents"`
	}
	if err := cbor.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	check := func(m *gocose.UntaggedSign1Message, key keys.PublicKey) {
		t.Helper()
		x, y := key.Coordinates()
		pub := must(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)))
		if err := m.Verify(nil, must(gocose.NewVerifier(gocose.AlgorithmES256, pub))); err != nil {
			t.Error(err)
		}
	}
	doc := &r.Documents[0]
	check(&doc.IssuerSigned.IssuerAuth, s.signer.Public())
	if chain, _ := doc.IssuerSigned.IssuerAuth.Headers.Unprotected[gocose.HeaderLabelX5Chain].([]byte); !bytes.Equal(chain, s.leaf) {
		t.Error("x5chain is not the leaf alone")
	}
	doc.DeviceSigned.DeviceAuth.Signature.Payload = embed([]any{"DeviceAuthentication", cbor.RawMessage(s.session), vct, doc.DeviceSigned.NameSpaces})
	check(&doc.DeviceSigned.DeviceAuth.Signature, s.holder.Public())
}

func TestBatchIsUnlinkable(t *testing.T) {
	s := newScene(t)
	p := s.params()
	p.DeviceKey, p.Status = keys.PublicKey{}, nil
	var copies []mdoc.Copy
	for i := range 8 {
		copies = append(copies, mdoc.Copy{DeviceKey: newKey(t, keys.P256).Public(), Status: &mdoc.StatusRef{URI: "https://a.example", Index: uint64(i)}})
	}
	out, err := mdoc.IssueBatch(rand.Reader, p, copies)
	if err != nil {
		t.Fatal(err)
	}
	salts, orders := map[string]bool{}, map[string]bool{}
	for i, text := range out {
		c := must(mdoc.Parse(text))
		if !c.DeviceKey.Equal(copies[i].DeviceKey) || *c.Status != *copies[i].Status {
			t.Error("a copy is another's")
		}
		if _, err := c.Verify(s.verifyParams()); err != nil {
			t.Error(err)
		}
		var w struct {
			NameSpaces map[string][]cbor.RawMessage `cbor:"nameSpaces"`
		}
		if err := cbor.Unmarshal(must(jws.DecodeBase64(text)), &w); err != nil {
			t.Fatal(err)
		}
		order := ""
		for _, raw := range w.NameSpaces[vct] {
			it := unmarshal[dict](embedded(raw))
			salt := string(it["random"].([]byte))
			if salts[salt] || len(salt) < mdoc.MinSalt {
				t.Error("a salt is short or there twice")
			}
			salts[salt] = true
			order += string(rune('a' + it["digestID"].(uint64)))
		}
		orders[order] = true
	}
	if len(orders) < 2 {
		t.Error("all copies number their digests alike")
	}
	for name, bad := range map[string][]mdoc.Copy{
		"one key twice":    {copies[0], {DeviceKey: copies[0].DeviceKey}},
		"one status twice": {copies[0], {DeviceKey: copies[1].DeviceKey, Status: copies[0].Status}},
		"no key":           {{Status: copies[0].Status}},
	} {
		if _, err := mdoc.IssueBatch(rand.Reader, p, bad); err == nil {
			t.Errorf("%s: was issued", name)
		}
	}
	if _, err := mdoc.IssueBatch(rand.Reader, s.params(), copies); err == nil {
		t.Error("a batch with a holder key for all")
	}
}

func TestIssueRefused(t *testing.T) {
	s := newScene(t)
	big := make([]mdoc.Element, mdoc.MaxElements+1)
	for i := range big {
		big[i] = mdoc.Element{Namespace: vct, Identifier: strings.Repeat("x", i+1)}
	}
	for name, change := range map[string]func(*mdoc.IssueParams){
		"no signer":            func(p *mdoc.IssueParams) { p.Signer = nil },
		"no type":              func(p *mdoc.IssueParams) { p.DocType = "" },
		"no time":              func(p *mdoc.IssueParams) { p.Signed = time.Time{} },
		"over before it began": func(p *mdoc.IssueParams) { p.ValidUntil = p.Signed },
		"valid before signed":  func(p *mdoc.IssueParams) { p.ValidFrom = p.Signed.Add(-time.Second) },
		"negative decoys":      func(p *mdoc.IssueParams) { p.Decoys = -1 },
		"no chain":             func(p *mdoc.IssueParams) { p.Chain = nil },
		"another's chain":      func(p *mdoc.IssueParams) { p.Signer = newKey(t, keys.P256) },
		"a reader's chain": func(p *mdoc.IssueParams) {
			p.Chain = [][]byte{s.certify(x5c.Reader, now.Add(-time.Hour*5), now.Add(90*24*time.Hour))}
		},
		"before the chain":   func(p *mdoc.IssueParams) { p.Signed, p.ValidFrom = now.Add(-25*time.Hour), now },
		"longer than chain":  func(p *mdoc.IssueParams) { p.ValidUntil = now.Add(91 * 24 * time.Hour) },
		"no holder":          func(p *mdoc.IssueParams) { p.DeviceKey = keys.PublicKey{} },
		"Ed25519 holder":     func(p *mdoc.IssueParams) { p.DeviceKey = newKey(t, keys.Ed25519).Public() },
		"status without URI": func(p *mdoc.IssueParams) { p.Status = &mdoc.StatusRef{Index: 1} },
		"no elements":        func(p *mdoc.IssueParams) { p.Elements = nil },
		"too many elements":  func(p *mdoc.IssueParams) { p.Elements = big },
		"an element twice":   func(p *mdoc.IssueParams) { p.Elements = append(p.Elements, p.Elements[0]) },
		"no namespace":       func(p *mdoc.IssueParams) { p.Elements[0].Namespace = "" },
		"no identifier":      func(p *mdoc.IssueParams) { p.Elements[0].Identifier = "" },
		"a fraction":         func(p *mdoc.IssueParams) { p.Elements[0].Value = json.Number("1.5") },
		"no JSON value":      func(p *mdoc.IssueParams) { p.Elements[0].Value = struct{}{} },
		"no date":            func(p *mdoc.IssueParams) { p.Elements[0].Value = mdoc.Date("2026-02-30") },
		"too many digests":   func(p *mdoc.IssueParams) { p.Decoys = mdoc.MaxDigests + 1 },
		"too large":          func(p *mdoc.IssueParams) { p.Elements[0].Value = strings.Repeat("x", mdoc.MaxSize) },
		"too deep": func(p *mdoc.IssueParams) {
			var v any = "x"
			for range 10 {
				v = []any{v}
			}
			p.Elements[0].Value = v
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.params()
			change(&p)
			if _, err := mdoc.Issue(rand.Reader, p); err == nil {
				t.Error("was issued")
			}
		})
	}
}

func TestPresentRefused(t *testing.T) {
	s := newScene(t)
	c := s.issue(s.params())
	_, err := c.Present(rand.Reader, []mdoc.ElementID{{Namespace: vct, Identifier: "age_equal_or_over"}}, s.session, s.holder)
	wantRule(t, err, mdoc.RuleUnknownClaim)
	_, err = c.Present(rand.Reader, []mdoc.ElementID{{Namespace: "other", Identifier: "name"}}, s.session, s.holder)
	wantRule(t, err, mdoc.RuleUnknownClaim)
	_, err = c.Present(rand.Reader, nil, s.session, newKey(t, keys.P256))
	wantRule(t, err, mdoc.RuleDeviceKey)
}

func TestClaimsToElements(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"dot in a name": {"a.b": 1},
		"empty name":    {"": 1},
		"empty object":  {"a": map[string]any{}},
	} {
		if _, err := mdoc.ElementsOf(vct, claims, nil); err == nil {
			t.Errorf("%s: has elements", name)
		}
	}
	deep := map[string]any{"x": 1}
	for range 20 {
		deep = map[string]any{"x": deep}
	}
	if _, err := mdoc.ElementsOf(vct, deep, nil); err == nil {
		t.Error("too deep: has elements")
	}
	for name, ids := range map[string][]string{"within a leaf": {"a", "a.b"}, "far within a leaf": {"a.b", "a.b.c.d"}} {
		c := mdoc.Content{DocType: vct, Elements: map[string]map[string]any{vct: {}}}
		for _, id := range ids {
			c.Elements[vct][id] = map[string]any{"b": "x"}
		}
		_, err := c.Claims()
		if hufu.RuleOf(err) != mdoc.RuleValue {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever claims say in JSON comes back the same at the verifier.
func TestClaimsRoundTrip(t *testing.T) {
	s := newScene(t)
	name := rapid.StringMatching(`[a-z0-9_名]{1,12}`)
	leaf := rapid.OneOf(
		rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		rapid.Custom(func(t *rapid.T) any { return json.Number(must(json.Marshal(rapid.Int64().Draw(t, "n")))) }),
		rapid.SliceOfN(rapid.String().AsAny(), 0, 3).AsAny(),
	)
	object := rapid.MapOfN(name, leaf, 1, 4)
	rapid.Check(t, func(rt *rapid.T) {
		claims := map[string]any{}
		for k, v := range rapid.MapOfN(name, leaf, 1, 5).Draw(rt, "claims") {
			claims[k] = v
		}
		for k, v := range rapid.MapOfN(name, object, 0, 2).Draw(rt, "objects") {
			claims[k] = v
		}
		p := s.params()
		p.Elements = must(mdoc.ElementsOf(vct, claims, nil))
		c := s.issue(p)
		show := make([]string, len(p.Elements))
		for i, e := range p.Elements {
			show[i] = e.Identifier
		}
		v, err := mdoc.Verify(s.present(c, show...), s.verifyParams())
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := v.Claims(); err != nil || !reflect.DeepEqual(got, claims) {
			rt.Fatalf("%v became %v, %v", claims, got, err)
		}
	})
}
