package mdoc_test

import (
	"crypto/rand"
	"strings"
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

func tdate(t time.Time) cbor.Tag { return cbor.Tag{Number: 0, Content: t.Format(time.RFC3339)} }

// Each row breaks one thing. Where the issuer signs again, it is the issuer that is wrong.
func TestRefusals(t *testing.T) {
	s := newScene(t)
	presentation := s.present(s.issue(s.params()), "name", "age_equal_or_over.18")
	validity := func(f *forgery, at string, v any) {
		f.resign = s.signer
		f.object["validityInfo"].(map[any]any)[at] = v
	}
	object := func(name string, v any) func(*forgery) {
		return func(f *forgery) { f.resign, f.object[name] = s.signer, v }
	}
	item := func(name string, v any) func(*forgery) {
		return func(f *forgery) { f.resign, f.items[0][name] = s.signer, v }
	}
	status := func(v any) func(*forgery) { return object("status", v) }
	for _, c := range []struct {
		name   string
		change func(*forgery)
		rule   hufu.Rule
	}{
		{"nothing", func(*forgery) {}, ""},
		{"nothing, signed again", func(f *forgery) { f.resign = s.signer }, ""},

		{"version 2", func(f *forgery) { f.response["version"] = "2.0" }, mdoc.RuleVersion},
		{"no version", func(f *forgery) { delete(f.response, "version") }, mdoc.RuleVersion},
		{"an error", func(f *forgery) { f.response["status"] = 10 }, mdoc.RuleAnswer},
		{"document errors", func(f *forgery) { f.response["documentErrors"] = []any{dict{vct: 0}} }, mdoc.RuleAnswer},
		{"errors in the document", func(f *forgery) { f.document["errors"] = dict{vct: dict{"name": 0}} }, mdoc.RuleAnswer},
		{"no document", func(f *forgery) { f.response["documents"] = []any{} }, mdoc.RuleAnswer},
		{"two documents", func(f *forgery) { f.response["documents"] = []any{0, 0} }, mdoc.RuleAnswer},
		{"documents of another kind", func(f *forgery) { f.response["documents"] = "x" }, mdoc.RuleMalformed},
		{"document type of another kind", func(f *forgery) { f.document["docType"] = 1 }, mdoc.RuleMalformed},
		{"no issuerSigned", func(f *forgery) { f.document["issuerSigned"] = nil }, mdoc.RuleIssuerAuth},
		{"another document type", func(f *forgery) { f.document["docType"] = "other" }, mdoc.RuleDocType},
		{"another document type, signed", func(f *forgery) {
			f.resign, f.object["docType"], f.document["docType"] = s.signer, "other", "other"
		}, mdoc.RuleDocType},

		{"elements embedded in nothing", func(f *forgery) { f.issued["nameSpaces"] = dict{vct: []any{dict{}}} }, mdoc.RuleMalformed},
		{"an empty namespace", func(f *forgery) { f.issued["nameSpaces"] = dict{vct: []any{}} }, mdoc.RuleMalformed},
		{"too many elements", func(f *forgery) {
			f.issued["nameSpaces"] = dict{vct: make([]any, mdoc.MaxElements+1)}
		}, mdoc.RuleTooLarge},
		{"an element twice", func(f *forgery) { f.items = append(f.items, f.items[0]) }, mdoc.RuleTwice},
		{"a digest number twice", func(f *forgery) { f.items[1]["digestID"] = f.items[0]["digestID"] }, mdoc.RuleTwice},
		{"no identifier", item("elementIdentifier", ""), mdoc.RuleMalformed},
		{"a short salt", item("random", make([]byte, mdoc.MinSalt-1)), mdoc.RuleSalt},
		{"a value of unknown tag", item("elementValue", cbor.Tag{Number: 99, Content: "x"}), mdoc.RuleValue},
		{"a date that is none", item("elementValue", cbor.Tag{Number: 1004, Content: "2026-02-30"}), mdoc.RuleValue},
		{"a value with a number for a name", item("elementValue", map[int]any{1: 2}), mdoc.RuleValue},
		{"a value altered", func(f *forgery) { f.items[0]["elementValue"] = "Mallory" }, mdoc.RuleDigest},
		{"an identifier altered", func(f *forgery) { f.items[0]["elementIdentifier"] = "age_equal_or_over.60" }, mdoc.RuleDigest},
		{"a salt altered", func(f *forgery) { f.items[0]["random"] = make([]byte, 16) }, mdoc.RuleDigest},
		{"elements exchanged", func(f *forgery) {
			a, b := f.items[0], f.items[1]
			a["digestID"], b["digestID"] = b["digestID"], a["digestID"]
		}, mdoc.RuleDigest},
		{"an element added", func(f *forgery) {
			f.items = append(f.items, dict{"digestID": uint64(99), "random": make([]byte, 16), "elementIdentifier": "x", "elementValue": 1})
		}, mdoc.RuleUnsigned},
		{"elements in another namespace", func(f *forgery) {
			f.issued["nameSpaces"] = dict{"other": []any{embed(f.items[0])}}
		}, mdoc.RuleUnsigned},

		{"security object of version 2", object("version", "2.0"), mdoc.RuleVersion},
		{"SHA-512", object("digestAlgorithm", "SHA-512"), mdoc.RuleDigestAlg},
		{"no document type signed", object("docType", ""), mdoc.RuleMalformed},
		{"a short digest", object("valueDigests", dict{vct: map[uint64]any{0: []byte("short")}}), mdoc.RuleMalformed},
		{"digests of another kind", object("valueDigests", dict{vct: "x"}), mdoc.RuleMalformed},
		{"one digest in two places", object("valueDigests", map[any]any{vct: map[any]any{uint64(200): make([]byte, 32), uint64(201): make([]byte, 32)}}), mdoc.RuleTwice},
		{"too many digests", object("valueDigests", dict{vct: func() map[uint64]any {
			m := map[uint64]any{}
			for i := range mdoc.MaxDigests + 1 {
				m[uint64(i)] = make([]byte, 32)
			}
			return m
		}()}), mdoc.RuleTooLarge},
		{"a time that is no tdate", func(f *forgery) { validity(f, "signed", "2026-01-01T00:00:00Z") }, mdoc.RuleMalformed},
		{"a number for a time", func(f *forgery) { validity(f, "signed", cbor.Tag{Number: 0, Content: 5}) }, mdoc.RuleMalformed},
		{"a date for a time", func(f *forgery) { validity(f, "validUntil", cbor.Tag{Number: 0, Content: "2026-01-01"}) }, mdoc.RuleMalformed},
		{"no time", func(f *forgery) { validity(f, "validFrom", nil) }, mdoc.RuleMalformed},
		{"valid before signed", func(f *forgery) { validity(f, "validFrom", tdate(now.Add(-2*time.Hour))) }, mdoc.RuleMalformed},
		{"over before it began", func(f *forgery) { validity(f, "validUntil", tdate(now.Add(-2*time.Hour))) }, mdoc.RuleMalformed},
		{"expired", func(f *forgery) { validity(f, "validUntil", tdate(now)) }, mdoc.RuleExpired},
		{"not yet valid", func(f *forgery) { validity(f, "validFrom", tdate(now.Add(time.Second))) }, mdoc.RuleNotYetValid},
		{"signed in the future", func(f *forgery) {
			validity(f, "signed", tdate(now.Add(time.Second)))
			validity(f, "validFrom", tdate(now.Add(time.Second)))
		}, mdoc.RuleFuture},
		{"signed before the certificate", func(f *forgery) { validity(f, "signed", tdate(now.Add(-25*time.Hour))) }, mdoc.RuleSignedThen},

		{"another status mechanism", status(dict{"identifier_list": dict{"id": []byte{1}, "uri": "https://a.example"}}), mdoc.RuleStatusForm},
		{"a status without index", status(dict{"status_list": dict{"uri": "https://a.example"}}), mdoc.RuleStatusForm},
		{"a status without URI", status(dict{"status_list": dict{"idx": 1}}), mdoc.RuleStatusForm},
		{"a negative index", status(dict{"status_list": dict{"idx": -1, "uri": "https://a.example"}}), mdoc.RuleStatusForm},
		{"a text for a status", status("valid"), mdoc.RuleStatusForm},

		{"elements of the holder's", func(f *forgery) { f.added = dict{vct: dict{"x": 1}} }, mdoc.RuleDeviceElements},
		{"no DeviceSigned", func(f *forgery) { f.document["deviceSigned"] = 1 }, mdoc.RuleMalformed},
		{"no DeviceNameSpaces", func(f *forgery) { f.device["nameSpaces"] = dict{} }, mdoc.RuleMalformed},
		{"no device signature", func(f *forgery) { f.unsigned = true }, mdoc.RuleDeviceMissing},
		{"a MAC", func(f *forgery) { f.mac = true }, mdoc.RuleDeviceMAC},
		{"a signature and a MAC", func(f *forgery) {
			f.device["deviceAuth"] = dict{"deviceMac": []any{}, "deviceSignature": []any{}}
		}, mdoc.RuleDeviceMissing},
		{"a device signature that is none", func(f *forgery) { f.device["deviceAuth"] = dict{"deviceSignature": []any{}} }, mdoc.RuleDeviceSignature},
		{"another holder", func(f *forgery) { f.holder = newKey(t, keys.P256) }, mdoc.RuleDeviceSignature},
		{"another suite", func(f *forgery) { f.holder = newKey(t, keys.Ed25519) }, mdoc.RuleDeviceSignature},
		{"another session", func(f *forgery) {
			f.session = must(mdoc.RedirectTranscript("x509_hash:abc", "other nonce", nil, "https://gate.example/answer"))
		}, mdoc.RuleDeviceSignature},
		{"no holder key", object("deviceKeyInfo", dict{"deviceKey": map[int]any{1: 2, -1: 2}}), mdoc.RuleDeviceKey},

		{"no issuerAuth", func(f *forgery) { f.issued["issuerAuth"] = []any{} }, mdoc.RuleIssuerAuth},
		{"issuerAuth with a tag", func(f *forgery) { f.issued["issuerAuth"] = cbor.RawMessage(cose.Tag(f.auth)) }, mdoc.RuleIssuerAuth},
		{"issuerAuth without certificates", func(f *forgery) { f.resign, f.header = s.signer, cose.Header{} }, mdoc.RuleIssuerAuth},
		{"issuerAuth without content", func(f *forgery) {
			f.issued["issuerAuth"] = cbor.RawMessage(must(cose.SignDetached(rand.Reader, f.header, nil, s.signer)))
		}, mdoc.RuleIssuerAuth},
		{"issuerAuth around no security object", func(f *forgery) {
			f.issued["issuerAuth"] = cbor.RawMessage(must(cose.Sign(rand.Reader, f.header, []byte{0xa0}, s.signer)))
		}, mdoc.RuleMalformed},
		{"a certificate that is none", func(f *forgery) { f.resign, f.header = s.signer, cose.Header{X5Chain: [][]byte{{1}}} }, x5c.RuleMalformed},
		{"a reader's certificate", func(f *forgery) {
			f.resign, f.header = s.signer, cose.Header{X5Chain: [][]byte{s.certify(x5c.Reader, now.Add(-2*time.Hour), now.Add(time.Hour))}}
		}, x5c.RuleUsage},
		{"an expired certificate", func(f *forgery) {
			f.resign, f.header = s.signer, cose.Header{X5Chain: [][]byte{s.certify(x5c.DocumentSigner, now.Add(-2*time.Hour), now.Add(-time.Second))}}
		}, x5c.RuleExpired},
		{"another's authority", func(f *forgery) {
			o := newScene(t)
			f.resign, f.header = o.signer, cose.Header{X5Chain: [][]byte{o.leaf}}
		}, x5c.RuleAnchor},
		{"another signer", func(f *forgery) { f.resign = newKey(t, keys.P256) }, mdoc.RuleSignature},
		{"another signer's suite", func(f *forgery) { f.resign = newKey(t, keys.Ed25519) }, mdoc.RuleSignature},
		{"the issuer's signature of something else", func(f *forgery) {
			other := s.forge(s.present(s.issue(s.params()), "name"))
			f.auth = append([]byte(nil), f.auth...)
			copy(f.auth[len(f.auth)-64:], other.auth[len(other.auth)-64:])
		}, mdoc.RuleSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := s.forge(presentation)
			c.change(f)
			_, err := mdoc.Verify(f.put(), s.verifyParams())
			wantRule(t, err, c.rule)
		})
	}
}

// Others write CBOR in any form; what they sign is judged as they wrote it, and shown so.
func TestAnyFormOfCBOR(t *testing.T) {
	s := newScene(t)
	f := s.forge(s.present(s.issue(s.params()), "name", "age_equal_or_over.18"))
	f.embed, f.resign = embedLoose, s.signer
	v, err := mdoc.Verify(f.put(), s.verifyParams())
	if err != nil || v.Elements[vct]["name"] != "Wei" {
		t.Fatalf("%v, %v", v, err)
	}
	c, err := mdoc.Parse(jws.EncodeBase64(must(encoding.MarshalForeign(f.issued))))
	if err != nil {
		t.Fatal(err)
	}
	v, err = mdoc.Verify(s.present(c, "name"), s.verifyParams())
	if err != nil || v.Elements[vct]["name"] != "Wei" || len(v.Elements[vct]) != 1 {
		t.Fatalf("%v, %v", v, err)
	}
	f = s.forge(s.present(c, "name"))
	f.embed, f.resign = embedLoose, s.signer
	f.session = must(mdoc.DCAPITranscript("https://x.example", "n", nil))
	_, err = mdoc.Verify(f.put(), s.verifyParams())
	wantRule(t, err, mdoc.RuleDeviceSignature)
}

func TestTextRefused(t *testing.T) {
	s := newScene(t)
	good := s.present(s.issue(s.params()), "name")
	for name, c := range map[string]struct {
		text string
		rule hufu.Rule
	}{
		"nothing":      {"", mdoc.RuleMalformed},
		"base64":       {"++++", mdoc.RuleMalformed},
		"padded":       {good + "=", mdoc.RuleMalformed},
		"no CBOR":      {jws.EncodeBase64([]byte{0xff}), mdoc.RuleMalformed},
		"trailing":     {jws.EncodeBase64(append(must(jws.DecodeBase64(good)), 0)), mdoc.RuleMalformed},
		"too large":    {strings.Repeat("A", mdoc.MaxSize*2), mdoc.RuleTooLarge},
		"a bit larger": {jws.EncodeBase64(make([]byte, mdoc.MaxSize+1)), mdoc.RuleTooLarge},
		"too deep":     {jws.EncodeBase64([]byte(strings.Repeat("\x81", 10000))), mdoc.RuleMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mdoc.Verify(c.text, s.verifyParams())
			wantRule(t, err, c.rule)
			_, err = mdoc.Parse(c.text)
			wantRule(t, err, c.rule)
		})
	}
	_, err := mdoc.Parse(good)
	wantRule(t, err, mdoc.RuleIssuerAuth) // a response is no credential
}

func TestClockSkew(t *testing.T) {
	s := newScene(t)
	presentation := s.present(s.issue(s.params()), "name")
	for _, c := range []struct {
		at   time.Time
		skew time.Duration
		rule hufu.Rule
	}{
		{now.Add(-time.Hour), 0, ""},
		{now.Add(-time.Hour - time.Second), 0, mdoc.RuleFuture},
		{now.Add(-time.Hour - time.Second), time.Second, ""},
		{now.Add(30*24*time.Hour - time.Second), 0, ""},
		{now.Add(30 * 24 * time.Hour), 0, mdoc.RuleExpired},
		{now.Add(30 * 24 * time.Hour), time.Second, ""},
	} {
		p := s.verifyParams()
		p.Now, p.ClockSkew = c.at, c.skew
		_, err := mdoc.Verify(presentation, p)
		wantRule(t, err, c.rule)
	}
}

// An authority that was ended signs no more, whatever its certificates' dates.
func TestAuthorityEnded(t *testing.T) {
	s := newScene(t)
	presentation := s.present(s.issue(s.params()), "name")
	ended := func(at time.Time) mdoc.VerifyParams {
		p := s.verifyParams()
		all := p.Authorities
		p.Authorities = func(did hufu.DID, when time.Time) ([]keys.PublicKey, error) {
			if !when.Before(at) {
				return nil, nil
			}
			return all(did, when)
		}
		return p
	}
	_, err := mdoc.Verify(presentation, ended(now))
	wantRule(t, err, "")
	_, err = mdoc.Verify(presentation, ended(now.Add(-2*time.Hour)))
	wantRule(t, err, x5c.RuleAnchor)
}

func TestVerifyFailsClosed(t *testing.T) {
	s := newScene(t)
	c := s.issue(s.params())
	presentation := s.present(c, "name")
	for name, change := range map[string]func(*mdoc.VerifyParams){
		"no time":                     func(p *mdoc.VerifyParams) { p.Now = time.Time{} },
		"no session":                  func(p *mdoc.VerifyParams) { p.Session = nil },
		"no authorities":              func(p *mdoc.VerifyParams) { p.Authorities = nil },
		"authorities and any of them": func(p *mdoc.VerifyParams) { p.AnyAuthority = true },
		"authorities that cannot look": func(p *mdoc.VerifyParams) {
			p.Authorities = func(hufu.DID, time.Time) ([]keys.PublicKey, error) { return nil, errLook }
		},
	} {
		p := s.verifyParams()
		change(&p)
		if _, err := mdoc.Verify(presentation, p); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Verify(p); (err == nil || hufu.RuleOf(err) != "") && name != "no session" {
			if err == nil {
				t.Errorf("%s: the holder's check passed", name)
			}
		}
	}
}

type lookError struct{}

func (lookError) Error() string { return "the ledger does not answer" }

var errLook = lookError{}

func FuzzVerify(f *testing.F) {
	s := newScene(f)
	c := s.issue(s.params())
	f.Add(must(jws.DecodeBase64(c.String())))
	f.Add(must(jws.DecodeBase64(s.present(c, "name"))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := jws.EncodeBase64(raw)
		if c, err := mdoc.Parse(text); err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("no refusal: %v", err)
			}
		} else if v, err := c.Verify(s.verifyParams()); err == nil && v.Issuer != agency {
			t.Fatal("verified for another issuer")
		}
		v, err := mdoc.Verify(text, s.verifyParams())
		if err == nil && (v.Issuer != agency || v.DocType != vct) {
			t.Fatal("verified something else")
		}
		if err != nil && hufu.RuleOf(err) == "" {
			t.Fatalf("no refusal: %v", err)
		}
	})
}
