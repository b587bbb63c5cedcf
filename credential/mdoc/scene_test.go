package mdoc_test

import (
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

const vct = "urn:hufu:type:resident-id:1"

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	agency = hufu.ID{1}.DID("test")
)

// scene is an agency, a holder and a verifier's session.
type scene struct {
	t       testing.TB
	ca      keys.Signer
	signer  keys.Signer
	leaf    []byte
	holder  keys.Signer
	session mdoc.Transcript
}

func newKey(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{t: t, ca: newKey(t, keys.P256), signer: newKey(t, keys.P256), holder: newKey(t, keys.P256)}
	s.leaf = s.certify(x5c.DocumentSigner, now.Add(-24*time.Hour), now.Add(90*24*time.Hour))
	var err error
	if s.session, err = mdoc.RedirectTranscript("x509_hash:abc", "nonce", nil, "https://gate.example/answer"); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) certify(use x5c.Use, from, until time.Time) []byte {
	s.t.Helper()
	ca, err := x5c.MakeCA(rand.Reader, s.ca, agency, x5c.Subject{CommonName: "CA", Country: "CN"}, now.Add(-1000*time.Hour), now.Add(10000*time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, s.ca, x5c.Leaf{
		Key: s.signer.Public(), DID: agency, Subject: x5c.Subject{CommonName: "DS", Country: "CN"}, Use: use, NotBefore: from, NotAfter: until,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return leaf
}

func residentClaims() map[string]any {
	return map[string]any{
		"name": "Wei", "birthdate": "1990-02-28", "region": "110000", "nationalities": []any{"CN"},
		"age_equal_or_over": map[string]any{"18": true, "60": false},
	}
}

func (s *scene) params() mdoc.IssueParams {
	s.t.Helper()
	elements, err := mdoc.ElementsOf(vct, residentClaims(), func(path []string) bool { return path[0] == "birthdate" })
	if err != nil {
		s.t.Fatal(err)
	}
	return mdoc.IssueParams{
		DocType: vct, Elements: elements, Signer: s.signer, Chain: [][]byte{s.leaf},
		Signed: now.Add(-time.Hour), ValidUntil: now.Add(30 * 24 * time.Hour), Decoys: 4,
		DeviceKey: s.holder.Public(), Status: &mdoc.StatusRef{URI: "https://agency.example/lists/1", Index: 42},
	}
}

func (s *scene) issue(p mdoc.IssueParams) *mdoc.Credential {
	s.t.Helper()
	text, err := mdoc.Issue(rand.Reader, p)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := mdoc.Parse(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *scene) present(c *mdoc.Credential, identifiers ...string) string {
	s.t.Helper()
	ids := make([]mdoc.ElementID, len(identifiers))
	for i, id := range identifiers {
		ids[i] = mdoc.ElementID{Namespace: vct, Identifier: id}
	}
	out, err := c.Present(rand.Reader, ids, s.session, s.holder)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *scene) verifyParams() mdoc.VerifyParams {
	return mdoc.VerifyParams{
		Now: now, Session: s.session, DocType: vct,
		Authorities: func(did hufu.DID, _ time.Time) ([]keys.PublicKey, error) {
			if did != agency {
				return nil, nil
			}
			return []keys.PublicKey{s.ca.Public()}, nil
		},
	}
}

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule || rule == "" && err != nil {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

// The structures as an attacker edits them: every part can be changed and written again.
type (
	dict    = map[string]any
	forgery struct {
		*scene
		response dict   // DeviceResponse
		document dict   // its document
		issued   dict   // IssuerSigned
		items    []dict // the elements shown
		object   dict   // the security object
		device   dict   // DeviceSigned
		added    dict   // DeviceNameSpaces
		header   cose.Header
		resign   keys.Signer // signs the security object; nil: the issuer's signature is kept
		session  mdoc.Transcript
		holder   keys.Signer // signs the session
		auth     []byte      // issuerAuth as it was
		mac      bool
		unsigned bool
		embed    func(any) cbor.RawMessage
	}
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func unmarshal[T any](raw []byte) (v T) {
	mode := must(cbor.DecOptions{DefaultMapType: nil, TimeTagToAny: cbor.TimeTagToRFC3339}.DecMode())
	if err := mode.Unmarshal(raw, &v); err != nil {
		panic(err)
	}
	return v
}

// embedded is the content of #6.24(bstr).
func embedded(raw []byte) []byte { return unmarshal[cbor.Tag](raw).Content.([]byte) }

func embed(item any) cbor.RawMessage {
	return must(cbor.Marshal(cbor.Tag{Number: 24, Content: must(encoding.MarshalForeign(item))}))
}

// embedLoose is the same with a byte string of indefinite length.
func embedLoose(item any) cbor.RawMessage {
	inner := must(cbor.Marshal(must(encoding.MarshalForeign(item))))
	return append(append(cbor.RawMessage{0xd8, 24, 0x5f}, inner...), 0xff)
}

// forge takes a presentation apart.
func (s *scene) forge(presentation string) *forgery {
	s.t.Helper()
	f := &forgery{embed: embed, scene: s, session: s.session, holder: s.holder, header: cose.Header{X5Chain: [][]byte{s.leaf}}}
	f.response = unmarshal[dict](must(jws.DecodeBase64(presentation)))
	type parts map[string]cbor.RawMessage
	doc := unmarshal[parts](must(cbor.Marshal(f.response["documents"].([]any)[0])))
	f.document = dict{"docType": unmarshal[string](doc["docType"])}
	issued := unmarshal[parts](doc["issuerSigned"])
	f.issued, f.auth = dict{}, issued["issuerAuth"]
	for _, list := range unmarshal[map[string][]cbor.RawMessage](issued["nameSpaces"]) {
		for _, raw := range list {
			f.items = append(f.items, unmarshal[dict](embedded(raw)))
		}
	}
	m := must(cose.Parse(issued["issuerAuth"], mdoc.MaxSize))
	f.object = unmarshal[dict](embedded(m.Payload))
	for _, at := range []string{"signed", "validFrom", "validUntil"} {
		v := f.object["validityInfo"].(map[any]any)
		v[at] = cbor.Tag{Number: 0, Content: v[at]}
	}
	f.device, f.added = dict{}, dict{}
	return f
}

// put writes it all again.
func (f *forgery) put() string {
	f.t.Helper()
	var items []cbor.RawMessage
	digests := map[any]any{}
	if all, ok := f.object["valueDigests"].(map[any]any); ok {
		if own, ok := all[vct].(map[any]any); ok {
			digests = own
		}
	}
	for _, it := range f.items {
		raw := f.embed(it)
		items = append(items, raw)
		if sum := sha256.Sum256(raw); f.resign != nil {
			digests[it["digestID"]] = sum[:]
		}
	}
	if _, set := f.issued["nameSpaces"]; !set && len(items) > 0 {
		f.issued["nameSpaces"] = dict{vct: items}
	}
	if _, set := f.issued["issuerAuth"]; !set {
		f.issued["issuerAuth"] = cbor.RawMessage(f.auth)
		if f.resign != nil {
			f.issued["issuerAuth"] = cbor.RawMessage(must(cose.Sign(rand.Reader, f.header, f.embed(f.object), f.resign)))
		}
	}
	added := f.embed(f.added)
	docType, _ := f.object["docType"].(string)
	message := embed([]any{"DeviceAuthentication", cbor.RawMessage(f.session), docType, added})
	signature := cbor.RawMessage(must(cose.SignDetached(rand.Reader, cose.Header{}, message, f.holder)))
	kind := "deviceSignature"
	if f.mac {
		kind = "deviceMac"
	}
	for name, v := range (dict{"nameSpaces": added, "deviceAuth": dict{kind: signature}}) {
		if _, set := f.device[name]; !set {
			f.device[name] = v
		}
	}
	if f.unsigned {
		f.device["deviceAuth"] = dict{}
	}
	for name, v := range (dict{"issuerSigned": f.issued, "deviceSigned": f.device}) {
		if _, set := f.document[name]; !set {
			f.document[name] = v
		}
	}
	if list, ok := f.response["documents"].([]any); ok && len(list) > 0 {
		list[0] = f.document
	}
	return jws.EncodeBase64(must(encoding.MarshalForeign(f.response)))
}
