package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

// attackNames lists the attacks that have to be tried and refused.
var attackNames = []string{
	"altered claim", "stolen copy with another key", "replayed presentation", "wrong audience", "expired copy",
	"issuer key rotated away", "issuer never accredited", "accreditation withdrawn",
	"verifier asking more than its contract", "forged status list", "borrowed status list", "downgraded alg",
	"missing key binding", "issued in the future", "mdoc signed for another session",
	"guessed transaction code", "stolen access token",
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
	door *door       // asks for answers in the clear, or nobody on the wire could read them
	key  keys.Signer // the thief's
}

func (s *story) newAttacker(ctx context.Context) (*attacker, error) {
	clear := *s.doors[readingRoom]
	clear.input.ResponseMode = oid4vp.ModePost
	a := &attacker{story: s, door: &clear}
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
		return a.changed(ctx, alterClaim)
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
		return a.changed(ctx, downgrade)
	case "missing key binding":
		return a.changed(ctx, unbound)
	case "issued in the future":
		return a.forged(ctx, "agency", home.IssuingMethod, func(p *sdjwt.IssueParams) { p.IssuedAt = p.IssuedAt.Add(time.Hour) })
	case "mdoc signed for another session":
		return a.otherSession(ctx)
	case "guessed transaction code":
		return a.guessed(ctx)
	case "stolen access token":
		return a.stolenToken(ctx)
	}
	return "", errors.New("no such attack")
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

// overAsking has the door sign a request for more than its contract asks for, and leads a wallet to it.
func (a *attacker) overAsking(ctx context.Context) (hufu.Rule, error) {
	signer, err := a.offices.MethodSigner("service-"+a.door.name, home.GateMethod)
	if err != nil {
		return "", err
	}
	honest, err := a.asked(ctx, a.door, oid4vp.Format)
	if err != nil {
		return "", err
	}
	more := honest.Request
	if more.Query, err = askMore(honest.Query); err != nil {
		return "", err
	}
	request, err := more.Sign(rand.Reader, signer, a.door.gate.DID.URL(home.GateMethod))
	if err != nil {
		return "", err
	}
	o, err := a.listen(ctx)
	if err != nil {
		return "", err
	}
	o.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", requestMedia)
		_, _ = io.WriteString(w, request)
	}))
	link, err := oid4vp.Link{ClientID: oid4vp.ClientID(a.door.gate.DID), RequestURI: o.url + "/request"}.URI("")
	if err != nil {
		return "", err
	}
	_, err = a.victim.wallet.Consider(ctx, a.ledger, link)
	return refusedBy(err)
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

// guessed takes up an offer that was made to the victim, without knowing the transaction code.
func (a *attacker) guessed(ctx context.Context) (hufu.Rule, error) {
	o, err := a.offer(ctx, a.victim)
	if err != nil {
		return "", err
	}
	guess := "000000"
	if o.TxCode == guess {
		guess = "000001"
	}
	thief, err := a.wallet()
	if err != nil {
		return "", err
	}
	_, err = a.accept(ctx, thief, o, guess)
	return refusedBy(err)
}

// stolenToken uses an access token that the victim's wallet got, with the thief's own key.
func (a *attacker) stolenToken(ctx context.Context) (hufu.Rule, error) {
	o, err := a.offer(ctx, a.victim)
	if err != nil {
		return "", err
	}
	t := &tap{path: "/issuer/token"}
	if err := a.wire.tapped(t, func() error { _, err := a.accept(ctx, a.victim, o, o.TxCode); return err }); err != nil {
		return "", err
	}
	token, err := oauth.ParseTokenResponse(t.said)
	if err != nil {
		return "", err
	}
	header, _, err := a.do(ctx, http.MethodPost, a.office+"/issuer/nonce", http.Header{}, "")
	if err != nil {
		return "", err
	}
	id, err := oauth.NewID(rand.Reader)
	if err != nil {
		return "", err
	}
	endpoint := a.office + "/issuer/credential"
	proof, err := oauth.MakeDPoP(rand.Reader, a.key, oauth.DPoP{
		Method: http.MethodPost, URL: endpoint, ID: id, IssuedAt: time.Now(), Nonce: header.Get("DPoP-Nonce"), AccessToken: token.AccessToken,
	})
	if err != nil {
		return "", err
	}
	_, said, err := a.do(ctx, http.MethodPost, endpoint, http.Header{
		"Authorization": {oauth.TypeDPoP + " " + token.AccessToken}, "DPoP": {proof}, "Content-Type": {"application/json"},
	}, "{}")
	if err != nil {
		return "", err
	}
	refused, err := oauth.ParseErrorResponse(said)
	if err != nil {
		return "", err
	}
	return refusedBy(oauth.ErrorOf(refused.Error, refused.Description))
}

// wallet is the thief's own.
func (a *attacker) wallet() (*person, error) {
	w, err := wallet.Open(wallet.Config{Store: wallet.NewMemory(), HTTP: browse(a.internet)})
	return &person{wallet: w}, err
}

// refusedBy takes a refusal as an attack's end, and other errors as the demonstration's.
func refusedBy(err error) (hufu.Rule, error) {
	if rule := hufu.RuleOf(err); rule != "" {
		return rule, nil
	}
	return "", err
}

// forgedStatusList offers a list in which nothing is revoked, signed by the thief, in place of the one that
// the agency serves.
func (a *attacker) forgedStatusList(ctx context.Context) (hufu.Rule, error) {
	d := a.agency.DID()
	uri := status.URI(a.office, d, 0)
	key, err := a.offices.MethodSigner("agency", home.IssuingMethod)
	if err != nil {
		return "", err
	}
	expect := credstatus.Expect{
		URI: uri, Now: time.Now(), Skew: time.Minute,
		Key: func(string, int64) (keys.PublicKey, error) { return key.Public(), nil },
	}
	honest, err := a.fetch(ctx, uri, credstatus.MediaType)
	if err != nil {
		return "", err
	}
	if _, err := credstatus.Verify(string(honest), expect); err != nil {
		return "", fmt.Errorf("the agency's own list: %w", err)
	}
	list, err := credstatus.NewList(2, issuer.DefaultListSize)
	if err != nil {
		return "", err
	}
	t := credstatus.Token{
		URI: uri, Issuer: string(d), KeyID: d.URL(home.IssuingMethod),
		IssuedAt: expect.Now.Truncate(time.Second), ExpiresAt: expect.Now.Add(time.Hour).Truncate(time.Second), List: list,
	}
	token, err := t.Sign(rand.Reader, a.key)
	if err != nil {
		return "", err
	}
	_, err = credstatus.Verify(token, expect)
	return refusedBy(err)
}
