package gate_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

const eitherName = `
[asks]
dcql = '''{"credentials": [
  {"id": "person", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:example:resident"]},
   "claims": [{"id": "n", "path": ["name"]}, {"id": "r", "path": ["region"]}, {"id": "b", "path": ["birth_date"]}],
   "claim_sets": [["n", "r"], ["b"]]}
]}'''
[opens]
cedar = '''
@id("anybody")
permit (principal, action, resource);
'''
`

// TestRefusedPresentations breaks one thing of an answer at a time, and holds the gate to the standard's error.
func TestRefusedPresentations(t *testing.T) {
	s := newSite(t)
	must[hufu.ContractID](t)(s.Publish(s.owner, "either", 1, eitherName))
	alice := s.resident("north", true).withMdoc("north")
	young := s.resident("north", false)
	thief := s.key(0)
	edit := func(change func(*presentation)) func(*oid4vp.Request) reply {
		return func(r *oid4vp.Request) reply { return s.sends(r, alice.shows(r, "", change)) }
	}
	alter := func(change func(string) string) func(*oid4vp.Request) reply {
		return func(r *oid4vp.Request) reply { return s.sends(r, tamper(alice.shows(r, ""), change)) }
	}
	path := func(names ...any) dcql.Path { return names }
	for name, c := range map[string]struct {
		contract string
		answer   func(*oid4vp.Request) reply
		code     int
		standard string
		rule     hufu.Rule
	}{
		"nonce of nobody":           {"", edit(func(p *presentation) { p.nonce = "another-nonce-1234" }), 400, "invalid_request", gate.RuleUnknownNonce},
		"audience: another gate":    {"", edit(func(p *presentation) { p.audience = oid4vp.ClientID(s.agency.DID) }), 400, "invalid_request", sdjwt.RuleAudience},
		"audience: the bare DID":    {"", edit(func(p *presentation) { p.audience = string(s.owner.DID) }), 400, "invalid_request", sdjwt.RuleAudience},
		"key binding too old":       {"", edit(func(p *presentation) { p.at = p.at.Add(-gate.MaxAnswer - gate.ClockSkew - time.Second) }), 400, "invalid_request", sdjwt.RuleStalePresentation},
		"key binding in the future": {"", edit(func(p *presentation) { p.at = p.at.Add(gate.ClockSkew + time.Second) }), 400, "invalid_request", sdjwt.RuleFuturePresentation},
		"no key binding":            {"", alter(withoutBinding), 400, "invalid_request", sdjwt.RuleKeyBindingMissing},
		"key binding's signature": {"", alter(func(p string) string {
			if strings.HasSuffix(p, "AAAA") {
				return p[:len(p)-4] + "BBBB"
			}
			return p[:len(p)-4] + "AAAA"
		}), 400, "invalid_request", sdjwt.RuleKeyBindingSignature},
		"sd_hash of other disclosures": {"", alter(func(p string) string { // a disclosure taken away after binding
			parts := strings.Split(p, "~")
			return strings.Join(append(parts[:1:1], parts[2:]...), "~")
		}), 400, "invalid_request", sdjwt.RuleSDHash},
		"issuer's signature": {"", alter(func(p string) string {
			head, rest, _ := strings.Cut(p, "~")
			return head[:len(head)-8] + "AAAAAAAA" + "~" + rest
		}), 400, "invalid_request", sdjwt.RuleSDHash},
		"one credential too many": {"", func(r *oid4vp.Request) reply {
			token := alice.shows(r, "")
			token["guardian"] = token["person"]
			return s.sends(r, token)
		}, 400, "invalid_request", dcql.RuleUnrequested},
		"two where one is asked": {"", func(r *oid4vp.Request) reply {
			token := alice.shows(r, "")
			token["person"] = append(token["person"], token["person"]...)
			return s.sends(r, token)
		}, 400, "invalid_request", dcql.RuleUnrequested},
		"a credential is missing": {"", func(r *oid4vp.Request) reply {
			return s.sends(r, oid4vp.VPToken{})
		}, 400, "invalid_request", oid4vp.RuleResponse},
		"a required one is missing": {"clinic", func(r *oid4vp.Request) reply {
			p := s.resident("north", true).withGuardian(alice.key.Public())
			delete(p.copies, "person")
			p.key = alice.key
			return s.sends(r, p.shows(r, ""))
		}, 400, "invalid_request", dcql.RuleMissing},
		"a claim is missing": {"clinic", edit(func(p *presentation) { p.disclose = []dcql.Path{path("region")} }), 400, "invalid_request", dcql.RuleClaim},
		"no claim set":       {"either", edit(func(p *presentation) { p.disclose = []dcql.Path{path("name")} }), 400, "invalid_request", dcql.RuleClaim},
		"more than a claim set": {"either", edit(func(p *presentation) {
			p.disclose = []dcql.Path{path("name"), path("region"), path("birth_date")}
		}), 400, "invalid_request", gate.RuleExtraClaims},
		"a claim too many": {"", edit(func(p *presentation) { p.disclose = append(p.disclose, path("name")) }), 400, "invalid_request", gate.RuleExtraClaims},
		"another vct": {"", func(r *oid4vp.Request) reply {
			p := s.resident("north", true)
			p.get("person", world.Guardianship, map[string]any{"relation": "parent", "guardian_name": "x"}, p.key.Public())
			return s.sends(r, p.shows(r, "", func(how *presentation) { how.disclose = nil }))
		}, 400, "invalid_request", dcql.RuleType},
		"somebody else's key": {"", func(r *oid4vp.Request) reply {
			p := s.resident("north", true)
			p.get("person", world.Resident, world.Person("x", "north", "1990-01-02", true), thief.Public())
			return s.sends(r, tamper(alice.shows(r, ""), func(good string) string {
				return p.copies["person"] + good[strings.LastIndexByte(good, '~')+1:]
			}))
		}, 400, "invalid_request", sdjwt.RuleSDHash},
		"not of age": {"", func(r *oid4vp.Request) reply { return s.sends(r, young.shows(r, "")) }, 200, "access_denied", ""},
		"the wallet declines": {"", func(r *oid4vp.Request) reply {
			return s.post(r.ResponseURI, oid4vp.WalletError{Code: "access_denied"}.Form(r.State))
		}, 200, "access_denied", oid4vp.RuleDenied},
		"unreadable": {"", func(r *oid4vp.Request) reply {
			return s.post(r.ResponseURI, url.Values{"vp_token": {`{"person":"x"}`}, "state": {r.State}})
		}, 400, "invalid_request", oid4vp.RuleResponse},
	} {
		for _, mode := range []string{oid4vp.ModePost, oid4vp.ModePostJWT} {
			t.Run(name+" "+mode, func(t *testing.T) {
				o := s.open(gate.SessionInput{Contract: c.contract, ResponseMode: mode, Claims: true})
				r := s.reads(o.URI)
				got := c.answer(r)
				rule := c.rule
				if name == "not of age" {
					rule = "contract.no-permit"
				}
				if name == "unreadable" && mode == oid4vp.ModePostJWT || name == "a credential is missing" {
					rule = oid4vp.RuleResponse
				}
				wantAnswer(t, got, c.code, c.standard, rule)
				if got.json["receipt"] == nil || got.json["grant"] != nil {
					t.Errorf("body %s", got.body)
				}
				if res := s.result(o, ""); res.Status != gate.StatusAnswered || *res.Decision != hufu.Deny || res.Rule != rule || res.Claims != nil {
					t.Errorf("the service learns %+v", res)
				}
				// Whatever was wrong with it, it was the one answer.
				wantAnswer(t, s.sends(r, alice.shows(r, "")), 400, "invalid_request", gate.RuleReplayed)
			})
		}
	}
}

func TestRefusedDocuments(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true).withMdoc("north")
	guardian := s.resident("north", true).withMdoc("north", func(p *mdoc.IssueParams) {
		p.DocType = world.Guardianship
		p.Elements = []mdoc.Element{{Namespace: world.Guardianship, Identifier: "relation", Value: "parent"}}
	})
	show := func(p *person, change func(*transcript)) func(*oid4vp.Request) oid4vp.VPToken {
		return func(r *oid4vp.Request) oid4vp.VPToken { return p.showsMdoc(r, "", change) }
	}
	for name, c := range map[string]struct {
		token func(*oid4vp.Request) oid4vp.VPToken
		code  int
		rule  hufu.Rule
	}{
		"transcript: another client":  {show(alice, func(t *transcript) { t.client = "x509_san_dns:evil.example" }), 400, mdoc.RuleDeviceSignature},
		"transcript: another nonce":   {show(alice, func(t *transcript) { t.nonce += "x" }), 400, mdoc.RuleDeviceSignature},
		"transcript: another address": {show(alice, func(t *transcript) { t.uri = "https://evil.example/" }), 400, mdoc.RuleDeviceSignature},
		"transcript: another key":     {show(alice, func(t *transcript) { t.thumbprint = make([]byte, 32) }), 400, mdoc.RuleDeviceSignature},
		"transcript: not encrypted":   {show(alice, func(t *transcript) { t.thumbprint = nil }), 400, mdoc.RuleDeviceSignature},
		"an element too many":         {show(alice, func(t *transcript) { t.elements = append(t.elements, "name") }), 400, gate.RuleExtraClaims},
		"an element missing":          {show(alice, func(t *transcript) { t.elements = nil }), 400, dcql.RuleClaim},
		"another document type":       {show(guardian, func(t *transcript) { t.elements = nil }), 400, mdoc.RuleDocType},
		"a credential of the other format": {func(r *oid4vp.Request) oid4vp.VPToken {
			q := *r
			q.Query = json.RawMessage(`{"credentials":[{"id":"person","format":"dc+sd-jwt","meta":{"vct_values":["urn:example:resident"]},"claims":[{"path":["age","18"]}]}]}`)
			return alice.shows(&q, "")
		}, 400, mdoc.RuleMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.open(gate.SessionInput{Format: oid4vp.FormatMdoc})
			r := s.reads(o.URI)
			wantAnswer(t, s.sends(r, c.token(r)), c.code, "invalid_request", c.rule)
		})
	}
	t.Run("revoked", func(t *testing.T) {
		check(t, s.SetStatus(s.agency, alice.index["mdoc"], hufu.StatusRevoked))
		r := s.reads(s.open(gate.SessionInput{Format: oid4vp.FormatMdoc}).URI)
		wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "access_denied", gate.RuleRevoked)
	})
	t.Run("under an authority that is not the issuer's", func(t *testing.T) {
		mallory := s.resident("north", true)
		stranger := *s.agency
		other := must[*world.Actor](t)(s.Actor(s.agency.Signer.Public().Suite()))
		real := s.agency
		s.agency = &stranger
		s.agency.Actor = &world.Actor{DID: real.DID, Signer: other.Signer}
		mallory.agency = s.agency
		mallory.withMdoc("north")
		s.agency = real
		r := s.reads(s.open(gate.SessionInput{Format: oid4vp.FormatMdoc}).URI)
		wantAnswer(t, s.sends(r, mallory.shows(r, "")), 200, "access_denied", x5c.RuleAnchor)
	})
}

func TestRefusedEncryption(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	other := must[*jwe.PrivateKey](t)(jwe.GenerateKey(s.Rand, "other"))
	header := func(change func(map[string]any)) func(*oid4vp.Request) string {
		return func(r *oid4vp.Request) string {
			token := must[string](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}.Encrypt(s.Rand, r))
			head, rest, _ := strings.Cut(token, ".")
			var h map[string]any
			check(t, json.Unmarshal(must[[]byte](t)(jws.DecodeBase64(head)), &h))
			change(h)
			return jws.EncodeBase64(must[[]byte](t)(json.Marshal(h))) + "." + rest
		}
	}
	for name, c := range map[string]struct {
		token func(*oid4vp.Request) string
		rule  hufu.Rule
		taken bool // whether it used the request up
	}{
		"to another key": {func(r *oid4vp.Request) string {
			q := *r
			q.Key = must[*jwe.PrivateKey](t)(jwe.LoadKey(other.Secret(), r.State)).Public()
			return must[string](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}.Encrypt(s.Rand, &q))
		}, jwe.RuleDecrypt, true},
		"to a key of nobody": {func(r *oid4vp.Request) string {
			q := *r
			q.Key = other.Public()
			return must[string](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}.Encrypt(s.Rand, &q))
		}, gate.RuleUnknownRequest, false},
		"apv":           {header(func(h map[string]any) { h["apv"] = "d3Jvbmc" }), jwe.RuleDecrypt, true},
		"apu":           {header(func(h map[string]any) { h["apu"] = "d3Jvbmc" }), jwe.RuleDecrypt, true},
		"alg":           {header(func(h map[string]any) { h["alg"] = "ECDH-ES+A128KW" }), jwe.RuleAlg, false},
		"alg none":      {header(func(h map[string]any) { h["alg"] = "none" }), jwe.RuleAlg, false},
		"enc":           {header(func(h map[string]any) { h["enc"] = "A128CBC-HS256" }), jwe.RuleEnc, false},
		"enc exchanged": {header(func(h map[string]any) { h["enc"] = "A128GCM" }), jwe.RuleDecrypt, true},
		"compressed":    {header(func(h map[string]any) { h["zip"] = "DEF" }), jwe.RuleUnsupported, false},
		"no JWE":        {func(*oid4vp.Request) string { return "e30.e30.e30" }, jwe.RuleMalformed, false},
		"state of another session": {func(r *oid4vp.Request) string {
			another := s.reads(s.open(gate.SessionInput{}).URI)
			return must[string](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: another.State}.Encrypt(s.Rand, r))
		}, gate.RuleOtherState, true},
		"no state": {func(r *oid4vp.Request) string {
			return must[string](t)(oid4vp.Response{VPToken: alice.shows(r, "")}.Encrypt(s.Rand, r))
		}, gate.RuleOtherState, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.reads(s.open(gate.SessionInput{}).URI)
			wantAnswer(t, s.post(r.ResponseURI, url.Values{"response": {c.token(r)}}), 400, "invalid_request", c.rule)
			code, standard, rule := 200, "", hufu.Rule("")
			if c.taken {
				code, standard, rule = 400, "invalid_request", gate.RuleReplayed
			}
			wantAnswer(t, s.sends(r, alice.shows(r, "")), code, standard, rule)
		})
	}
	t.Run("in the clear where encrypted is asked", func(t *testing.T) {
		r := s.reads(s.open(gate.SessionInput{}).URI)
		form := must[url.Values](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}.Form())
		wantAnswer(t, s.post(r.ResponseURI, form), 400, "invalid_request", oid4vp.RuleResponse)
	})
	t.Run("encrypted where it is not asked", func(t *testing.T) {
		r := s.reads(s.open(gate.SessionInput{ResponseMode: oid4vp.ModePost}).URI)
		q := *r
		q.Key, q.Encs = must[*jwe.PrivateKey](t)(jwe.LoadKey(other.Secret(), r.State)).Public(), jwe.Encs()
		token := must[string](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}.Encrypt(s.Rand, &q))
		wantAnswer(t, s.post(r.ResponseURI, url.Values{"response": {token}}), 400, "invalid_request", oid4vp.RuleResponse)
	})
}

func TestRefusedSessions(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	for _, mode := range []string{oid4vp.ModePost, oid4vp.ModePostJWT} {
		t.Run("second answer "+mode, func(t *testing.T) {
			o := s.open(gate.SessionInput{ResponseMode: mode})
			r := s.reads(o.URI)
			wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "", "")
			wantAnswer(t, s.sends(r, alice.shows(r, "")), 400, "invalid_request", gate.RuleReplayed)
			if res := s.result(o, ""); *res.Decision != hufu.Allow {
				t.Errorf("a second answer changed the result: %+v", res)
			}
			wantAnswer(t, s.do(http.MethodGet, o.Request, "", ""), http.StatusGone, "invalid_request", gate.RuleReplayed)
		})
		t.Run("answer of another session "+mode, func(t *testing.T) {
			first, second := s.reads(s.open(gate.SessionInput{ResponseMode: mode}).URI), s.reads(s.open(gate.SessionInput{ResponseMode: mode}).URI)
			wantAnswer(t, s.sends(second, alice.shows(first, "")), 400, "invalid_request", gate.RuleUnknownNonce)
			again := s.reads(s.open(gate.SessionInput{ResponseMode: mode}).URI)
			wantAnswer(t, s.sends(first, alice.shows(first, "")), 200, "", "")
			wantAnswer(t, s.sends(again, s.last), 400, "invalid_request", gate.RuleReplayed) // a nonce that was answered
		})
		t.Run("after revocation "+mode, func(t *testing.T) {
			bob := s.resident("north", true)
			r := s.reads(s.open(gate.SessionInput{ResponseMode: mode}).URI)
			token := bob.shows(r, "")
			check(t, s.SetStatus(s.agency, bob.index["person"], hufu.StatusRevoked))
			wantAnswer(t, s.sends(r, token), 200, "access_denied", gate.RuleRevoked)
		})
		t.Run("expired "+mode, func(t *testing.T) {
			o := s.open(gate.SessionInput{ResponseMode: mode})
			r := s.reads(o.URI)
			token := alice.shows(r, "")
			s.late = gate.DefaultLifetime
			defer func() { s.late = 0 }()
			wantAnswer(t, s.do(http.MethodGet, o.Request, "", ""), http.StatusGone, "invalid_request", gate.RuleExpiredRequest)
			if res := s.result(o, ""); res.Status != gate.StatusExpired {
				t.Errorf("status %s", res.Status)
			}
			wantAnswer(t, s.sends(r, token), 400, "invalid_request", gate.RuleExpiredRequest)
		})
	}
	t.Run("state of nobody", func(t *testing.T) {
		r := s.reads(s.open(gate.SessionInput{ResponseMode: oid4vp.ModePost}).URI)
		q := *r
		q.State = "AAAAAAAAAAAAAAAAAAAAAA"
		wantAnswer(t, s.sends(&q, alice.shows(r, "")), 400, "invalid_request", gate.RuleUnknownRequest)
		wantAnswer(t, s.do(http.MethodGet, s.server.URL+"/gate/vp/request/"+q.State, "", ""), 404, "invalid_request", gate.RuleUnknownRequest)
	})
	t.Run("bodies", func(t *testing.T) {
		at := s.server.URL + "/gate/response"
		o := s.open(gate.SessionInput{})
		for name, c := range map[string]struct {
			address, media, body string
			code                 int
		}{
			"oversized":             {at, formMedia, "vp_token=" + strings.Repeat("a", 1<<20), 413},
			"oversized response":    {at, formMedia, "response=" + strings.Repeat("a", 1<<20), 413},
			"oversized request":     {o.Request, formMedia, "wallet_metadata=" + strings.Repeat("a", 1<<20), 413},
			"JSON":                  {at, "application/json", "{}", 415},
			"broken":                {at, formMedia, "%zz", 400},
			"nothing":               {at, formMedia, "", 400},
			"state twice":           {at, formMedia, "vp_token={}&state=a&state=b", 400},
			"metadata no JSON":      {o.Request, formMedia, "wallet_metadata=x", 400},
			"metadata twice":        {o.Request, formMedia, "wallet_metadata={}&wallet_metadata={}", 400},
			"wallet nonce too long": {o.Request, formMedia, "wallet_nonce=" + strings.Repeat("a", 600), 400},
			"a format it has not":   {o.Request, formMedia, `wallet_metadata={"vp_formats_supported":{"mso_mdoc":{}}}`, 400},
		} {
			r := s.do(http.MethodPost, c.address, c.media, c.body)
			standard := "invalid_request"
			if name == "a format it has not" {
				standard = "vp_formats_not_supported"
			}
			if got := r.json["error"]; r.code != c.code || got != standard {
				t.Errorf("%s: %d %s", name, r.code, r.body)
			}
		}
	})
}
