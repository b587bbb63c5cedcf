package wallet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/wallet"
)

// provider makes wallets, and vouches for them.
type provider struct {
	s       *scene
	signer  keys.Signer
	wallets map[string]bool // keys that it attested, by thumbprint
	broken  error
}

func (s *scene) provider() *provider {
	return &provider{s: s, signer: s.stranger(), wallets: map[string]bool{}}
}

func (p *provider) knows(jws.Header, string) (keys.PublicKey, error) { return p.signer.Public(), nil }

func (p *provider) AttestWallet(_ context.Context, clientID string, key keys.PublicKey) (string, error) {
	p.wallets[jws.Thumbprint(key)] = true
	return must[string](p.s.t)(oauth.MakeAttestation(p.s.Rand, jws.Header{"kid": "p"}, p.signer, &oauth.Attestation{
		ClientID: clientID, Key: key, ExpiresAt: p.s.Now().Add(time.Hour),
	})), p.broken
}

func (p *provider) AttestKeys(_ context.Context, of []keys.PublicKey, nonce string) (string, error) {
	return must[string](p.s.t)(oid4vci.MakeKeyAttestation(p.s.Rand, jws.Header{"kid": "p"}, p.signer, &oid4vci.KeyAttestation{
		Keys: of, IssuedAt: p.s.Now(), ExpiresAt: p.s.Now().Add(time.Hour), KeyStorage: []string{oid4vci.ResistsHigh}, Nonce: nonce,
	})), nil
}

func (o *office) newChallenge() string {
	o.challenged++
	return fmt.Sprint("challenge-", o.challenged)
}

// attested checks that a genuine wallet calls. Each challenge is good once.
func (o *office) attested(w http.ResponseWriter, r *http.Request) bool {
	token := r.Header.Get(oauth.AttestationHeader)
	if o.provider == nil {
		if token != "" {
			o.t.Error("the wallet said what it is without being asked")
		}
		return true
	}
	a, err := oauth.VerifyAttestation(token, oauth.AttestationParams{Signer: o.provider.knows, ClientID: wallet.DefaultClientID, Now: o.s.Now()})
	if err == nil {
		good := fmt.Sprint("challenge-", o.challenged)
		_, _, err = oauth.VerifyAttestationProof(r.Header.Get(oauth.AttestationProofHeader), a, oauth.AttestationProofParams{
			Audience: o.URL, Challenge: func(c string) bool { return c == good }, Now: o.s.Now(),
		})
	}
	w.Header().Set(oauth.ChallengeHeader, o.newChallenge())
	if err != nil {
		fail(w, oauth.CodeOf(err))
	}
	return err == nil
}

// An issuer that demands to know what wallet it is, and where keys are kept, is told by the wallet's
// provider; each issuer another key.
func TestAttested(t *testing.T) {
	s := newScene(t)
	p := s.provider()
	o, w := s.office(), must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: wallet.NewMemory(), Now: s.Now, Rand: s.Rand, Provider: p}))
	o.provider, o.dpopNonce = p, true
	got := must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{Copies: 3}))
	if got.Copies != 9 {
		t.Errorf("got %+v", got)
	}
	offer := o.offer()
	offer.PreAuthorized, offer.Code = nil, &oid4vci.CodeGrant{}
	a := wallet.Acceptance{Copies: 2, RedirectURI: "http://127.0.0.1:1/back", SignIn: func(_ context.Context, address string) (string, error) { return o.signIn(address), nil }}
	if got := must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link("x://"))), a)); got.Copies != 6 {
		t.Errorf("got %+v", got)
	}
	if len(p.wallets) != 2 || !p.wallets[o.thumbprint] {
		t.Errorf("%d keys were attested", len(p.wallets))
	}
	p.broken = errors.New("the provider is down")
	o.thumbprint = ""
	if _, err := w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{}); !errors.Is(err, p.broken) {
		t.Errorf("%v", err)
	}
}

// A wallet that nobody vouches for is told at once.
func TestNotAttested(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	o.provider = s.provider()
	_, err := w.Invited(context.Background(), s, o.link())
	wantRule(t, err, wallet.RuleNoFormat)
}
