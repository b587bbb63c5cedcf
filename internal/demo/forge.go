package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

const (
	requestMedia = "application/oauth-authz-req+jwt" // OpenID4VP 1.0 §5.10.1
	formMedia    = "application/x-www-form-urlencoded"

	maxAnswer = 1 << 20 // bytes that the thief reads of any answer
)

// verdict is what a gate says to an answer.
type verdict struct {
	Decision hufu.Decision `json:"decision"`
	Rule     hufu.Rule     `json:"rule"`
	Receipt  string        `json:"receipt"`
}

// rule is what the gate refused by, "" when the door opened.
func ruleOf(said []byte) (hufu.Rule, error) {
	var v verdict
	if err := json.Unmarshal(said, &v); err != nil {
		return "", fmt.Errorf("the gate's answer: %w", err)
	}
	switch {
	case v.Receipt == "":
		return "", errors.New("the gate did not decide")
	case v.Decision == hufu.Allow:
		return "", nil
	}
	return v.Rule, nil
}

// do makes one of the thief's own requests.
func (a *attacker) do(ctx context.Context, method, address string, header http.Header, body string) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header = header
	res, err := browse(a.internet).Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if method == http.MethodGet && err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("an answer of status %d", res.StatusCode)
	}
	return res.Header, raw, err
}

func (a *attacker) fetch(ctx context.Context, address, accept string) ([]byte, error) {
	_, raw, err := a.do(ctx, http.MethodGet, address, http.Header{"Accept": {accept}}, "")
	return raw, err
}

// post hands a gate an answer and returns the rule it was refused by, "" when the door opened.
func (a *attacker) post(ctx context.Context, address string, form url.Values) (hufu.Rule, error) {
	_, said, err := a.do(ctx, http.MethodPost, address, http.Header{"Content-Type": {formMedia}}, form.Encode())
	if err != nil {
		return "", err
	}
	return ruleOf(said)
}

// asked is a door's request for credentials in a format, as the thief's own program fetches it.
func (a *attacker) asked(ctx context.Context, d *door, format string) (*oid4vp.SignedRequest, error) {
	s, err := d.ask(ctx, format)
	if err != nil {
		return nil, err
	}
	raw, err := a.fetch(ctx, s.Request, requestMedia)
	if err != nil {
		return nil, err
	}
	return oid4vp.ParseRequest(string(raw))
}

// answer presents a credential by hand, as no honest wallet would.
type answer struct {
	credential string
	audience   string // "": the gate that asks
	at         time.Time
	binding    keys.Signer
	instead    string // of the credential, under the same binding; "": the credential itself
}

// present answers a door's request with what the thief has made.
func (a *attacker) present(ctx context.Context, d *door, how answer) (hufu.Rule, error) {
	r, err := a.asked(ctx, d, oid4vp.Format)
	if err != nil {
		return "", err
	}
	cred, err := sdjwt.Parse(how.credential)
	if err != nil {
		return "", err
	}
	if how.audience == "" {
		how.audience = r.PresentationAudience("")
	}
	p, err := cred.Present(rand.Reader, []sdjwt.Path{{"age_equal_or_over", "18"}}, sdjwt.KeyBinding{
		Audience: how.audience, Nonce: r.Nonce, IssuedAt: how.at, Signer: how.binding,
	})
	if err != nil {
		return "", err
	}
	if how.instead != "" {
		p = how.instead + p[strings.LastIndexByte(p, '~')+1:]
	}
	form, err := oid4vp.Response{VPToken: oid4vp.VPToken{"person": {p}}, State: r.State}.Form()
	if err != nil {
		return "", err
	}
	return a.post(ctx, r.ResponseURI, form)
}

// tamper lets the victim's wallet answer honestly, with a thief on the wire.
func (a *attacker) tamper(ctx context.Context, t *tap) error {
	if _, err := a.victim.wallet.Refill(ctx, a.ledger); err != nil {
		return err
	}
	q, err := a.consider(ctx, a.victim, a.door, a.ledger)
	if err != nil {
		return err
	}
	if q == nil {
		return errors.New("the victim's wallet did not answer")
	}
	t.path = "/gate/response"
	return a.wire.tapped(t, func() error {
		_, err := a.victim.wallet.Agree(ctx, a.ledger, q)
		if t.said != nil || t.cut && errors.Is(err, errCut) {
			return nil // what the wallet makes of what the gate says is its own affair
		}
		return errors.Join(err, errors.New("the wallet sent no answer"))
	})
}

// changed is the rule by which an honest presentation is refused that was changed on its way.
func (a *attacker) changed(ctx context.Context, change func(string) string) (hufu.Rule, error) {
	var problem error
	t := &tap{change: func(form url.Values) { problem = eachPresentation(form, change) }}
	if err := errors.Join(a.tamper(ctx, t), problem); err != nil {
		return "", err
	}
	return ruleOf(t.said)
}

// eachPresentation changes what a form shows.
func eachPresentation(form url.Values, change func(string) string) error {
	token, err := oid4vp.ParseVPToken(json.RawMessage(form.Get("vp_token")))
	if err != nil {
		return err
	}
	for _, list := range token {
		for i := range list {
			list[i] = change(list[i])
		}
	}
	raw, err := json.Marshal(token)
	form.Set("vp_token", string(raw))
	return err
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

// stolen presents the victim's copy, caught on its way to a door, with a key binding signed by the thief.
func (a *attacker) stolen(ctx context.Context) (hufu.Rule, error) {
	var copies []string
	t := &tap{cut: true}
	if err := a.tamper(ctx, t); err != nil {
		return "", err
	}
	if err := eachPresentation(t.sent, func(p string) string {
		copies = append(copies, unbound(p))
		return p
	}); err != nil {
		return "", err
	}
	mine, err := a.credential("agency", home.IssuingMethod, a.key.Public(), nil)
	if err != nil {
		return "", err
	}
	return a.present(ctx, a.door, answer{credential: mine, at: time.Now(), binding: a.key, instead: copies[0]})
}

// unbound is a presentation without its key binding.
func unbound(p string) string { return p[:strings.LastIndexByte(p, '~')+1] }

// replayed sends an answer that the door has accepted once more.
func (a *attacker) replayed(ctx context.Context) (hufu.Rule, error) {
	var address string
	t := &tap{}
	if err := a.tamper(ctx, t); err != nil {
		return "", err
	}
	if rule, err := ruleOf(t.said); err != nil || rule != "" {
		return "", errors.Join(err, fmt.Errorf("the honest answer was refused by %q", rule))
	}
	address = a.door.gate.ResponseURI
	return a.post(ctx, address, t.sent)
}

// wrongAudience hands a presentation made for the bank to the reading room.
func (a *attacker) wrongAudience(ctx context.Context) (hufu.Rule, error) {
	credential, err := a.credential("agency", home.IssuingMethod, a.key.Public(), nil)
	if err != nil {
		return "", err
	}
	return a.present(ctx, a.door, answer{
		credential: credential, audience: oid4vp.ClientID(a.doors[bank].gate.DID), at: time.Now(), binding: a.key,
	})
}

// expired presents a genuine copy a year later.
func (a *attacker) expired(ctx context.Context) (hufu.Rule, error) {
	later := func() time.Time { return time.Now().AddDate(1, 0, 0) }
	d, err := a.openDoor(ctx, a.door.name, a.ledger, database.Memory, later)
	if err != nil {
		return "", err
	}
	defer d.store.Close() //nolint:errcheck // it ends with its memory
	credential, err := a.credential("agency", home.IssuingMethod, a.key.Public(), nil)
	if err != nil {
		return "", err
	}
	return a.present(ctx, d, answer{credential: credential, at: later(), binding: a.key})
}

// credential is one that says what the thief wants, signed by a key of the home's.
func (a *attacker) credential(name, fragment string, holder keys.PublicKey, change func(*sdjwt.IssueParams)) (string, error) {
	d, err := a.offices.Identity(name)
	if err != nil {
		return "", err
	}
	signer, err := a.offices.MethodSigner(name, fragment)
	if err != nil {
		return "", err
	}
	now := time.Now().Truncate(time.Second)
	p := sdjwt.IssueParams{
		Type: issuer.TypeResidentID, Issuer: string(d), KeyID: d.URL(fragment), Signer: signer,
		Claims:    adult(),
		HolderKey: holder, IssuedAt: now, ExpiresAt: now.AddDate(0, 1, 0),
		Status: &sdjwt.StatusRef{URI: status.URI(a.office, d, 0), Index: 0},
	}
	if change != nil {
		change(&p)
	}
	return sdjwt.Issue(rand.Reader, p)
}

// adult is what the thief would like to have said.
func adult() map[string]any {
	return map[string]any{"age_equal_or_over": map[string]any{"14": true, "16": true, "18": true, "60": false}}
}

// forged presents a credential that the thief had signed by a key of somebody's.
func (a *attacker) forged(ctx context.Context, name, fragment string, change func(*sdjwt.IssueParams)) (hufu.Rule, error) {
	credential, err := a.credential(name, fragment, a.key.Public(), change)
	if err != nil {
		return "", err
	}
	return a.present(ctx, a.door, answer{credential: credential, at: time.Now(), binding: a.key})
}

// otherSession presents a genuine mdoc whose device signature is for an earlier request of the same door.
func (a *attacker) otherSession(ctx context.Context) (hufu.Rule, error) {
	d := a.agency.DID()
	signer, err := a.offices.MethodSigner("agency", home.IssuingMethod)
	if err != nil {
		return "", err
	}
	elements, err := mdoc.ElementsOf(issuer.TypeResidentID, adult(), func([]string) bool { return false })
	if err != nil {
		return "", err
	}
	chain, err := x5c.Parse(a.chain)
	if err != nil {
		return "", err
	}
	signed := time.Now()
	if from := chain.Leaf().NotBefore; signed.Before(from) { // the story is quick: the certificate may be of this second
		signed = from
	}
	text, err := mdoc.Issue(rand.Reader, mdoc.IssueParams{
		DocType: issuer.TypeResidentID, Elements: elements, Signer: signer, Chain: a.chain, DeviceKey: a.key.Public(),
		Signed: signed, ValidUntil: signed.AddDate(0, 1, 0), Status: &mdoc.StatusRef{URI: status.URI(a.office, d, 0)},
	})
	if err != nil {
		return "", err
	}
	cred, err := mdoc.Parse(text)
	if err != nil {
		return "", err
	}
	earlier, err := a.asked(ctx, a.door, oid4vp.FormatMdoc)
	if err != nil {
		return "", err
	}
	now, err := a.asked(ctx, a.door, oid4vp.FormatMdoc)
	if err != nil {
		return "", err
	}
	session, err := mdoc.RedirectTranscript(now.PresentationAudience(""), earlier.Nonce, now.Thumbprint(), now.ResponseURI)
	if err != nil {
		return "", err
	}
	p, err := cred.Present(rand.Reader, []mdoc.ElementID{{Namespace: issuer.TypeResidentID, Identifier: "age_equal_or_over.18"}}, session, a.key)
	if err != nil {
		return "", err
	}
	form, err := oid4vp.Response{VPToken: oid4vp.VPToken{"person": {p}}, State: now.State}.Form()
	if err != nil {
		return "", err
	}
	return a.post(ctx, now.ResponseURI, form)
}
