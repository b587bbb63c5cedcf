package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// attackNames lists the attacks that have to be tried and refused.
var attackNames = []string{
	"altered claim", "stolen copy with another key", "replayed presentation", "wrong audience", "expired copy",
	"issuer key rotated away", "issuer never accredited", "accreditation withdrawn",
	"verifier asking more than its contract", "forged status list", "borrowed status list", "downgraded alg",
	"missing key binding", "issued in the future",
}

func (s *story) attack(ctx context.Context) error {
	s.chapterf("Every known attack is tried")
	a, err := s.newAttacker(ctx)
	if err != nil {
		return err
	}
	for _, name := range attackNames {
		rule, err := a.try(ctx, name)
		if err != nil {
			return fmt.Errorf("demo: attack %q: %w", name, err)
		}
		if rule != "" {
			s.report.Attacks[name] = rule
		}
		s.row(name, "%s", orWorked(rule))
	}
	return nil
}

func orWorked(r hufu.Rule) string {
	if r == "" {
		return "NOT REFUSED"
	}
	return "refused: " + string(r)
}

// attacker is a thief with stolen credentials, a key of its own, a rogue agency, and access to the keys
// that the honest agency has retired.
type attacker struct {
	*story
	door string
	gate *gate.Gate
	key  keys.Signer // the thief's
}

func (s *story) newAttacker(ctx context.Context) (*attacker, error) {
	a := &attacker{story: s, door: readingRoom, gate: s.gates[readingRoom]}
	var err error
	if a.key, err = keys.P256.Generate(rand.Reader); err != nil {
		return nil, err
	}
	// The agency ends a signing key; from here on only a thief uses it.
	_, err = s.agency.Submit(ctx, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: retiredMethod}}}, nil)
	return a, err
}

func (a *attacker) try(ctx context.Context, name string) (hufu.Rule, error) {
	switch name {
	case "altered claim":
		return a.present(ctx, a.gate, alterClaim)
	case "stolen copy with another key":
		return a.stolen(ctx)
	case "replayed presentation":
		return a.replayed(ctx)
	case "wrong audience":
		return a.wrongAudience(ctx)
	case "expired copy":
		return a.expired(ctx)
	case "issuer key rotated away":
		return a.forged(ctx, "agency", retiredMethod, nil)
	case "issuer never accredited":
		if _, err := a.identity(ctx, "impostor", issuing(home.IssuingMethod)); err != nil {
			return "", err
		}
		return a.forged(ctx, "impostor", home.IssuingMethod, nil)
	case "accreditation withdrawn":
		return a.withdrawn(ctx)
	case "verifier asking more than its contract":
		return a.overAsking(ctx)
	case "forged status list":
		return a.forgedStatusList(ctx)
	case "borrowed status list":
		return a.forged(ctx, "agency", home.IssuingMethod, func(p *sdjwt.IssueParams) {
			p.Status.URI = strings.Replace(p.Status.URI, string(a.agency.DID()), string(a.members[0].DID()), 1)
		})
	case "downgraded alg":
		return a.present(ctx, a.gate, downgrade)
	case "missing key binding":
		return a.present(ctx, a.gate, func(p string) string { return p[:strings.LastIndexByte(p, '~')+1] })
	case "issued in the future":
		return a.forged(ctx, "agency", home.IssuingMethod, func(p *sdjwt.IssueParams) { p.IssuedAt = p.IssuedAt.Add(time.Hour) })
	}
	return "", errors.New("no such attack")
}

// respond gives a gate an answer and returns the rule it was refused by, "" when the door opened.
func (a *attacker) respond(ctx context.Context, g *gate.Gate, answer oid4vp.Response) (hufu.Rule, error) {
	o, err := g.Respond(ctx, answer)
	if err != nil {
		return "", err
	}
	if o.Decision == hufu.Allow {
		return "", nil
	}
	return o.Receipt.Rule, nil
}

// present lets the victim's wallet answer honestly, changes the presentation on its way, and hands it in.
func (a *attacker) present(ctx context.Context, g *gate.Gate, change func(string) string) (hufu.Rule, error) {
	answer, err := a.show(ctx, a.victim, a.door)
	if err != nil || answer == nil {
		return "", errors.Join(err, errNoAnswer(answer))
	}
	for id, list := range answer.VPToken {
		for i := range list {
			answer.VPToken[id][i] = change(list[i])
		}
	}
	return a.respond(ctx, g, *answer)
}

func errNoAnswer(r *oid4vp.Response) error {
	if r == nil {
		return errors.New("the victim's wallet did not answer")
	}
	return nil
}

// alterClaim turns what the first disclosure says around.
func alterClaim(p string) string {
	parts := strings.Split(p, "~")
	for i := 1; i < len(parts)-1; i++ {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			continue
		}
		var disclosure []any
		if json.Unmarshal(raw, &disclosure) != nil || len(disclosure) != 3 {
			continue
		}
		if b, ok := disclosure[2].(bool); ok {
			disclosure[2] = !b
			if raw, err = json.Marshal(disclosure); err == nil {
				parts[i] = base64.RawURLEncoding.EncodeToString(raw)
			}
		}
	}
	return strings.Join(parts, "~")
}

// downgrade makes the issuer's token one that claims to need no signature, and keeps the one it has.
func downgrade(p string) string {
	head, rest, _ := strings.Cut(p, "~")
	parts := strings.Split(head, ".")
	parts[0] = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"dc+sd-jwt"}`))
	return strings.Join(parts, ".") + "~" + rest
}

// answerTo presents a credential by hand, as no honest wallet would.
func answerTo(g *gate.Gate, request, credential, audience string, signer keys.Signer, at time.Time) (oid4vp.Response, error) {
	r, err := oid4vp.ParseRequest(request)
	if err != nil {
		return oid4vp.Response{}, err
	}
	cred, err := sdjwt.Parse(credential)
	if err != nil {
		return oid4vp.Response{}, err
	}
	if audience == "" {
		audience = oid4vp.ClientID(g.DID)
	}
	p, err := cred.Present(rand.Reader, []sdjwt.Path{{"age_equal_or_over", "18"}}, sdjwt.KeyBinding{
		Audience: audience, Nonce: r.Nonce, IssuedAt: at, Signer: signer,
	})
	return oid4vp.Response{VPToken: oid4vp.VPToken{"person": {p}}, State: r.State}, err
}

// stolen presents the victim's copy with a key binding signed by the thief.
func (a *attacker) stolen(ctx context.Context) (hufu.Rule, error) {
	request, err := a.gate.Request(ctx, a.doors[a.door])
	if err != nil {
		return "", err
	}
	mine, err := a.credential("agency", home.IssuingMethod, a.key.Public(), nil)
	if err != nil {
		return "", err
	}
	answer, err := answerTo(a.gate, request, mine, "", a.key, time.Now())
	if err != nil {
		return "", err
	}
	// The thief's own key binding, on the victim's copy.
	presentation := answer.VPToken["person"][0]
	binding := presentation[strings.LastIndexByte(presentation, '~')+1:]
	answer.VPToken["person"][0] = a.story.stolen[0] + binding
	return a.respond(ctx, a.gate, answer)
}

func (a *attacker) replayed(ctx context.Context) (hufu.Rule, error) {
	answer, err := a.show(ctx, a.victim, a.door)
	if err != nil || answer == nil {
		return "", errors.Join(err, errNoAnswer(answer))
	}
	if rule, err := a.respond(ctx, a.gate, *answer); err != nil || rule != "" {
		return "", errors.Join(err, fmt.Errorf("the honest answer was refused by %q", rule))
	}
	return a.respond(ctx, a.gate, *answer)
}

// wrongAudience hands a presentation made for the bank to the reading room.
func (a *attacker) wrongAudience(ctx context.Context) (hufu.Rule, error) {
	request, err := a.gate.Request(ctx, a.doors[a.door])
	if err != nil {
		return "", err
	}
	credential, err := a.credential("agency", home.IssuingMethod, a.key.Public(), nil)
	if err != nil {
		return "", err
	}
	answer, err := answerTo(a.gate, request, credential, oid4vp.ClientID(a.gates[bank].DID), a.key, time.Now())
	if err != nil {
		return "", err
	}
	return a.respond(ctx, a.gate, answer)
}

// expired presents a genuine copy a year later.
func (a *attacker) expired(ctx context.Context) (hufu.Rule, error) {
	later := func() time.Time { return time.Now().AddDate(1, 0, 0) }
	st, err := gate.OpenStore(ctx, database.Memory)
	if err != nil {
		return "", err
	}
	defer st.Close() //nolint:errcheck // it ends with its memory
	g, err := a.newGate(a.door, a.ledger, st, later)
	if err != nil {
		return "", err
	}
	request, err := g.Request(ctx, a.doors[a.door])
	if err != nil {
		return "", err
	}
	credential, err := a.credential("agency", home.IssuingMethod, a.key.Public(), nil)
	if err != nil {
		return "", err
	}
	answer, err := answerTo(g, request, credential, "", a.key, later())
	if err != nil {
		return "", err
	}
	return a.respond(ctx, g, answer)
}

// credential is one that says what the thief wants, signed by a key of the home's.
func (a *attacker) credential(name, fragment string, holder keys.PublicKey, change func(*sdjwt.IssueParams)) (string, error) {
	d, err := a.home.Identity(name)
	if err != nil {
		return "", err
	}
	signer, err := a.home.MethodSigner(name, fragment)
	if err != nil {
		return "", err
	}
	now := time.Now().Truncate(time.Second)
	p := sdjwt.IssueParams{
		Type: issuer.TypeResidentID, Issuer: string(d), KeyID: d.URL(fragment), Signer: signer,
		Claims:    map[string]any{"age_equal_or_over": map[string]any{"14": true, "16": true, "18": true, "60": false}},
		HolderKey: holder, IssuedAt: now, ExpiresAt: now.AddDate(0, 1, 0),
		Status: &sdjwt.StatusRef{URI: status.URI("http://"+a.process.listen, d, 0), Index: 0},
	}
	if change != nil {
		change(&p)
	}
	return sdjwt.Issue(rand.Reader, p)
}

// forged presents a credential that the thief had signed by a key of somebody's.
func (a *attacker) forged(ctx context.Context, name, fragment string, change func(*sdjwt.IssueParams)) (hufu.Rule, error) {
	credential, err := a.credential(name, fragment, a.key.Public(), change)
	if err != nil {
		return "", err
	}
	request, err := a.gate.Request(ctx, a.doors[a.door])
	if err != nil {
		return "", err
	}
	answer, err := answerTo(a.gate, request, credential, "", a.key, time.Now())
	if err != nil {
		return "", err
	}
	return a.respond(ctx, a.gate, answer)
}

// withdrawn has an agency accredited, and its accreditation withdrawn, and then uses it.
func (a *attacker) withdrawn(ctx context.Context) (hufu.Rule, error) {
	rogue, err := a.identity(ctx, "rogue", issuing(home.IssuingMethod))
	if err != nil {
		return "", err
	}
	if _, _, err := a.accredit(ctx, rogue); err != nil {
		return "", err
	}
	_, _, err = a.decide(ctx, "Withdraw the accreditation", tx.Action{Withdraw: &tx.TrustWithdraw{Subject: rogue.ID(), Type: issuer.TypeResidentID}})
	if err != nil {
		return "", err
	}
	return a.forged(ctx, "rogue", home.IssuingMethod, nil)
}

// overAsking has the gate sign a request for more than its contract asks for, and shows it to a wallet.
func (a *attacker) overAsking(ctx context.Context) (hufu.Rule, error) {
	signer, err := a.home.MethodSigner("service-"+a.door, home.GateMethod)
	if err != nil {
		return "", err
	}
	honest, err := a.gate.Request(ctx, a.doors[a.door])
	if err != nil {
		return "", err
	}
	r, err := oid4vp.ParseRequest(honest)
	if err != nil {
		return "", err
	}
	more := r.Request
	if more.Query, err = askMore(r.Query); err != nil {
		return "", err
	}
	request, err := more.Sign(rand.Reader, signer, a.gate.DID.URL(home.GateMethod))
	if err != nil {
		return "", err
	}
	return refusedBy(a.ledger.Read(ctx, func(v client.View) error {
		_, err := a.victim.wallet.Present(v, request)
		return err
	}))
}

// askMore adds the resident number to what a query asks of its first credential.
func askMore(query json.RawMessage) (json.RawMessage, error) {
	var q struct {
		Credentials []map[string]any `json:"credentials"`
	}
	if err := json.Unmarshal(query, &q); err != nil {
		return nil, err
	}
	claims, ok := q.Credentials[0]["claims"].([]any)
	if !ok {
		return nil, errors.New("the query asks for no claims")
	}
	q.Credentials[0]["claims"] = append(claims, map[string]any{"path": []string{"resident_number"}})
	return json.Marshal(q)
}

// refusedBy takes a refusal as an attack's end, and other errors as the demonstration's.
func refusedBy(err error) (hufu.Rule, error) {
	if rule := hufu.RuleOf(err); rule != "" {
		return rule, nil
	}
	return "", err
}

// forgedStatusList offers a list in which nothing is revoked, signed by the thief.
func (a *attacker) forgedStatusList(ctx context.Context) (hufu.Rule, error) {
	list, err := credstatus.NewList(2, issuer.DefaultListSize)
	if err != nil {
		return "", err
	}
	now := time.Now()
	d := a.agency.DID()
	t := credstatus.Token{
		URI: status.URI("http://"+a.process.listen, d, 0), Issuer: string(d), KeyID: d.URL(home.IssuingMethod),
		IssuedAt: now.Truncate(time.Second), ExpiresAt: now.Add(time.Hour).Truncate(time.Second), List: list,
	}
	token, err := t.Sign(rand.Reader, a.key)
	if err != nil {
		return "", err
	}
	honest, err := a.home.MethodSigner("agency", home.IssuingMethod)
	if err != nil {
		return "", err
	}
	_, err = credstatus.Verify(token, credstatus.Expect{
		URI: t.URI, Now: now, Skew: time.Minute,
		Key: func(string, int64) (keys.PublicKey, error) { return honest.Public(), ctx.Err() },
	})
	return refusedBy(err)
}
