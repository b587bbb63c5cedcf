package gate_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

func TestDoors(t *testing.T) {
	s := newScene(t)
	adult, child := s.resident("north", true), s.resident("north", false)
	foreigner := s.resident("west", true)
	wantAllowed(t, adult.Enters(s.room))
	wantAllowed(t, adult.Enters(s.clinic))
	wantRefused(t, child.Enters(s.room), contract.RuleNoPermit)
	wantRefused(t, child.Enters(s.clinic), contract.RuleForbidden) // a minor without guardianship
	wantRefused(t, foreigner.Enters(s.clinic), contract.RuleNoPermit)
	guarded := s.resident("south", false)
	guarded.withGuardian(guarded.key.Public())
	wantAllowed(t, guarded.Enters(s.clinic))
}

func TestOutcomeOfAnEntry(t *testing.T) {
	s := newScene(t)
	s.late = 7 * time.Second
	o := s.resident("north", true).Enters(s.room)
	wantAllowed(t, o)
	v := must[*world.View](t)(s.View())
	r := o.Receipt
	switch {
	case r.Gate != s.owner.DID, r.Contract != s.room, r.Version != 1, r.Hash == hufu.Digest{}:
		t.Errorf("receipt of another contract: %+v", r)
	case r.AsOf != v.AsOf(), r.Staleness != 7*time.Second:
		t.Errorf("receipt of another state: %+v", r)
	case len(r.Policies) != 1 || r.Policies[0] != "adults":
		t.Errorf("decided by %v", r.Policies)
	case o.Grant == nil || o.Grant.Until != s.clock().Add(time.Hour) || r.Until != o.Grant.Until:
		t.Errorf("grant %+v", o.Grant)
	}
}

// bind makes a key binding by hand, as an attacker would.
func bind(t *testing.T, s *scene, bare, audience, nonce string, at time.Time, signer keys.Signer) string {
	t.Helper()
	sum := sha256.Sum256([]byte(bare))
	payload, err := json.Marshal(map[string]any{
		"aud": audience, "nonce": nonce, "iat": at.Unix(), "sd_hash": jws.EncodeBase64(sum[:]),
	})
	check(t, err)
	return bare + must[string](t)(jws.Sign(s.Rand, jws.Header{"typ": "kb+jwt"}, payload, signer))
}

// rewrite changes header and payload of a credential's issuer-signed part and leaves the signature.
func rewrite(t *testing.T, credential string, header, payload func(map[string]any)) string {
	t.Helper()
	token, rest, _ := strings.Cut(credential, "~")
	parts := strings.Split(token, ".")
	for i, change := range []func(map[string]any){header, payload} {
		if change == nil {
			continue
		}
		raw := must[[]byte](t)(jws.DecodeBase64(parts[i]))
		var m map[string]any
		check(t, json.Unmarshal(raw, &m))
		change(m)
		parts[i] = jws.EncodeBase64(must[[]byte](t)(json.Marshal(m)))
	}
	return strings.Join(parts, ".") + "~" + rest
}

func setAlg(alg string) func(map[string]any) { return func(m map[string]any) { m["alg"] = alg } }

// Each attack is refused by its own rule, and the same person without the attack gets in.
func TestAttacksOnPresentations(t *testing.T) {
	for name, attack := range map[string]struct {
		answer func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken
		want   hufu.Rule
	}{
		"altered claim": {func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return tamper(alice.Presents(r), func(p string) string {
				parts := strings.Split(p, "~")
				raw := must[[]byte](t)(jws.DecodeBase64(parts[1]))
				parts[1] = jws.EncodeBase64([]byte(strings.Replace(string(raw), "true", "1234", 1)))
				bare := strings.Join(parts[:len(parts)-1], "~") + "~"
				return bind(t, alice.scene, bare, oid4vp.ClientID(r.Verifier), r.Nonce, alice.clock(), alice.key)
			})
		}, sdjwt.RuleUnreferenced},
		"altered expiry": {func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) {
				p.credential = rewrite(t, p.credential, nil, func(m map[string]any) { m["exp"] = alice.clock().AddDate(9, 0, 0).Unix() })
			})
		}, sdjwt.RuleSignature},
		"stolen copy with another key": {func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return tamper(alice.Presents(r), func(p string) string {
				return bind(t, alice.scene, withoutBinding(p), oid4vp.ClientID(r.Verifier), r.Nonce, alice.clock(), alice.scene.key(1))
			})
		}, sdjwt.RuleKeyBindingSignature},
		"wrong audience": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.audience = oid4vp.ClientID(alice.agency.DID) })
		}, sdjwt.RuleAudience},
		"unknown nonce": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.nonce = "made-up-made-up-made-up" })
		}, gate.RuleUnknownNonce},
		"missing key binding": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return tamper(alice.Presents(r), withoutBinding)
		}, sdjwt.RuleKeyBindingMissing},
		"disclosure taken away after binding": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return tamper(alice.Presents(r), func(p string) string {
				parts := strings.Split(p, "~")
				return strings.Join(append(parts[:1:1], parts[2:]...), "~")
			})
		}, sdjwt.RuleSDHash},
		"stale presentation": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.at = alice.clock().Add(-gate.MaxAnswer - 2*gate.ClockSkew) })
		}, sdjwt.RuleStalePresentation},
		"presentation from the future": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.at = alice.clock().Add(2 * gate.ClockSkew) })
		}, sdjwt.RuleFuturePresentation},
		"alg none": {func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return tamper(alice.Presents(r), func(p string) string {
				bare := rewrite(t, withoutBinding(p), setAlg("none"), nil)
				return bind(t, alice.scene, bare, oid4vp.ClientID(r.Verifier), r.Nonce, alice.clock(), alice.key)
			})
		}, sdjwt.RuleAlg},
		"alg HS512 keyed with the public key": {func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return tamper(alice.Presents(r), func(p string) string {
				bare := rewrite(t, withoutBinding(p), setAlg("HS512"), nil)
				token, rest, _ := strings.Cut(bare, "~")
				input := token[:strings.LastIndexByte(token, '.')]
				mac := hmac.New(sha512.New, alice.agency.Signer.Public().Raw())
				mac.Write([]byte(input))
				bare = input + "." + jws.EncodeBase64(mac.Sum(nil)) + "~" + rest
				return bind(t, alice.scene, bare, oid4vp.ClientID(r.Verifier), r.Nonce, alice.clock(), alice.key)
			})
		}, sdjwt.RuleAlg},
		"alg of another suite": {func(t *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.credential = rewrite(t, p.credential, setAlg("EdDSA"), nil) })
		}, sdjwt.RuleAlg},
		"more claims than asked for": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.disclose = append(p.disclose, dcql.Path{"name"}) })
		}, gate.RuleExtraClaims},
		"a whole object where one member is asked for": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.disclose = []dcql.Path{{"age"}} })
		}, gate.RuleExtraClaims},
		"a claim too few": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			return alice.Presents(r, func(p *presentation) { p.disclose = nil })
		}, dcql.RuleClaim},
		"a credential nobody asked for": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			token := alice.Presents(r)
			token["other"] = token["person"]
			return token
		}, dcql.RuleUnrequested},
		"two presentations where one is asked for": {func(_ *testing.T, alice *person, r *oid4vp.SignedRequest) oid4vp.VPToken {
			token := alice.Presents(r)
			token["person"] = append(token["person"], token["person"]...)
			return token
		}, dcql.RuleUnrequested},
		"nothing presented": {func(*testing.T, *person, *oid4vp.SignedRequest) oid4vp.VPToken { return oid4vp.VPToken{} }, dcql.RuleMissing},
		"not a credential": {func(*testing.T, *person, *oid4vp.SignedRequest) oid4vp.VPToken {
			return oid4vp.VPToken{"person": {"hello"}}
		}, sdjwt.RuleMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			alice := s.resident("north", true)
			r := s.ask(s.room)
			wantRefused(t, s.respond(attack.answer(t, alice, r), r.State), attack.want)
			wantAllowed(t, alice.Enters(s.room))
		})
	}
}

func TestReplays(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	first := s.ask(s.room)
	answer := alice.Presents(first)
	wantAllowed(t, s.respond(answer, first.State))
	wantRefused(t, s.respond(answer, first.State), gate.RuleReplayed)
	second := s.ask(s.room)
	wantRefused(t, s.respond(answer, second.State), gate.RuleReplayed)
	wantRefused(t, s.respond(alice.Presents(second), second.State), gate.RuleReplayed) // used up by the attempt
	wantRefused(t, s.respond(answer, "never-opened"), gate.RuleUnknownRequest)
}

func TestLateAnswer(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	r := s.ask(s.room)
	s.late = gate.DefaultLifetime
	wantRefused(t, s.respond(alice.Presents(r), r.State), gate.RuleExpiredRequest)
	r = s.ask(s.room)
	s.late += gate.DefaultLifetime - time.Second
	o := s.respond(alice.Presents(r), r.State)
	if o.Receipt.Rule == gate.RuleExpiredRequest {
		t.Error("refused in the last second")
	}
}

func TestCredentialTimes(t *testing.T) {
	s := newScene(t)
	for name, c := range map[string]struct {
		change func(*sdjwt.IssueParams)
		want   hufu.Rule
	}{
		"expired":              {func(p *sdjwt.IssueParams) { p.ExpiresAt = p.IssuedAt.Add(time.Second) }, sdjwt.RuleExpired},
		"not yet valid":        {func(p *sdjwt.IssueParams) { p.NotBefore = p.IssuedAt.Add(time.Hour) }, sdjwt.RuleNotYetValid},
		"issued in the future": {func(p *sdjwt.IssueParams) { p.IssuedAt = p.IssuedAt.Add(time.Hour) }, sdjwt.RuleFuture},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.resident("north", true, c.change)
			s.late = 2 * gate.ClockSkew
			wantRefused(t, p.Enters(s.room), c.want)
		})
	}
}

func TestIssuerKeys(t *testing.T) {
	s := newScene(t)
	before := s.resident("north", true)
	old, oldID := s.agency.Signer, s.agency.KeyID()
	check(t, s.Pass(time.Minute))
	check(t, s.Rotate(s.agency.Actor, false))
	check(t, s.Pass(time.Minute))
	wantAllowed(t, before.Enters(s.room))
	wantAllowed(t, s.resident("north", true).Enters(s.room))
	thief := s.resident("north", true, func(p *sdjwt.IssueParams) { p.Signer, p.KeyID = old, oldID })
	wantRefused(t, thief.Enters(s.room), did.RuleKeyNotValidThen)

	forger := s.resident("north", true, func(p *sdjwt.IssueParams) { p.Signer = s.key(2) })
	wantRefused(t, forger.Enters(s.room), sdjwt.RuleSignature)
	nameless := s.resident("north", true, func(p *sdjwt.IssueParams) { p.KeyID = "" })
	wantRefused(t, nameless.Enters(s.room), sdjwt.RuleIssuerKey)
	borrowed := s.resident("north", true, func(p *sdjwt.IssueParams) { p.KeyID = s.owner.KeyID() })
	wantRefused(t, borrowed.Enters(s.room), sdjwt.RuleIssuerKey)
	nobody := s.resident("north", true, func(p *sdjwt.IssueParams) {
		d := hufu.ID{1}.DID(world.Network)
		p.Issuer, p.KeyID = string(d), d.URL("key-0")
	})
	wantRefused(t, nobody.Enters(s.room), gate.RuleUnknownIssuer)
	abroad := s.resident("north", true, func(p *sdjwt.IssueParams) {
		d := s.agency.ID.DID("elsewhere")
		p.Issuer, p.KeyID = string(d), d.URL("key-0")
	})
	wantRefused(t, abroad.Enters(s.room), gate.RuleUnknownIssuer)

	check(t, s.Rotate(s.agency.Actor, true))
	wantRefused(t, s.resident("north", true, func(p *sdjwt.IssueParams) {
		p.Signer, p.KeyID, p.IssuedAt = old, oldID, p.IssuedAt.Add(-3*time.Minute)
	}).Enters(s.room), did.RuleKeyNotValidThen)
	wantAllowed(t, s.resident("north", true).Enters(s.room))
}

func TestFallenKey(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	check(t, s.Pass(time.Minute))
	check(t, s.Rotate(s.agency.Actor, true))
	wantRefused(t, alice.Enters(s.room), did.RuleKeyFallen)
}

func TestAccreditation(t *testing.T) {
	s := newScene(t)
	stranger := &world.Agency{Actor: must[*world.Actor](t)(s.Actor(keys.P256)), Bits: 2}
	accredited := s.agency
	s.agency = stranger
	wantRefused(t, s.resident("north", true, func(p *sdjwt.IssueParams) { p.Status = nil }).Enters(s.room), trust.RuleNotAccredited)
	s.agency = accredited

	alice := s.resident("north", true)
	alice.withGuardian(alice.key.Public())
	check(t, s.Pass(time.Minute))
	check(t, s.Withdraw(s.agency.Actor, world.Guardianship, true))
	check(t, s.Pass(time.Minute))
	wantAllowed(t, alice.Enters(s.clinic)) // issued before, and stands
	late := s.resident("north", true)
	late.withGuardian(late.key.Public())
	wantRefused(t, late.Enters(s.clinic), trust.RuleWithdrawn)
	wantAllowed(t, late.Enters(s.room)) // the other type is not withdrawn
	check(t, s.Withdraw(s.agency.Actor, world.Resident, false))
	wantRefused(t, alice.Enters(s.room), trust.RuleWithdrawn)
}

func TestStatus(t *testing.T) {
	s := newScene(t)
	alice, bob := s.resident("north", true), s.resident("north", true)
	check(t, s.SetStatus(s.agency, alice.index["person"], hufu.StatusSuspended))
	wantRefused(t, alice.Enters(s.room), gate.RuleSuspended)
	wantAllowed(t, bob.Enters(s.room))
	check(t, s.SetStatus(s.agency, alice.index["person"], hufu.StatusValid))
	wantAllowed(t, alice.Enters(s.room))
	check(t, s.SetStatus(s.agency, alice.index["person"], hufu.StatusRevoked))
	wantRefused(t, alice.Enters(s.room), gate.RuleRevoked)
	wantAllowed(t, bob.Enters(s.room))
}

func TestForgedStatusReferences(t *testing.T) {
	s := newScene(t)
	other := must[*world.Agency](t)(s.Agency(keys.P256))
	for name, c := range map[string]struct {
		ref  sdjwt.StatusRef
		want hufu.Rule
	}{
		"another issuer's list":   {sdjwt.StatusRef{URI: other.ListURI(), Index: 1}, status.RuleURI},
		"a list never opened":     {sdjwt.StatusRef{URI: status.URI("https://agency.example", s.agency.DID, 7), Index: 1}, status.RuleUnknownList},
		"the list somewhere else": {sdjwt.StatusRef{URI: status.URI("https://evil.example", s.agency.DID, 0), Index: 1}, status.RuleURI},
		"no status list":          {sdjwt.StatusRef{URI: "https://agency.example/", Index: 1}, status.RuleURI},
		"an entry past the end":   {sdjwt.StatusRef{URI: s.agency.ListURI(), Index: 1 << 40}, status.RuleRange},
	} {
		t.Run(name, func(t *testing.T) {
			p := s.resident("north", true, func(p *sdjwt.IssueParams) { p.Status = &c.ref })
			wantRefused(t, p.Enters(s.room), c.want)
		})
	}
	short := s.resident("north", true, func(p *sdjwt.IssueParams) { p.Status = nil })
	wantAllowed(t, short.Enters(s.room)) // a short life instead of an entry is the issuer's choice
}

func TestGuardianOfAnotherKey(t *testing.T) {
	s := newScene(t)
	child, other := s.resident("north", false), s.key(3)
	child.withGuardian(other.Public())
	r := s.ask(s.clinic)
	token := child.Presents(r, func(p *presentation) {
		if p.credential == child.copies["guardian"] {
			p.signer = other
		}
	})
	wantRefused(t, s.respond(token, r.State), contract.RuleHolder)
}

func TestStaleLedger(t *testing.T) {
	s := newScene(t)
	alice := s.resident("north", true)
	s.late = 5 * time.Minute
	o := alice.Enters(s.room)
	wantAllowed(t, o)
	if o.Receipt.Staleness != 5*time.Minute {
		t.Errorf("staleness %s", o.Receipt.Staleness)
	}
	s.late += time.Second
	o = alice.Enters(s.room)
	wantRefused(t, o, contract.RuleStale)
	s.late = -time.Hour // a clock behind the ledger makes nothing fresher than fresh
	if o := alice.Enters(s.room); o.Receipt.Staleness != 0 {
		t.Errorf("staleness %s", o.Receipt.Staleness)
	}
}
