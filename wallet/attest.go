package wallet

import (
	"context"
	"net/http"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Provider vouches for wallets and for where they keep their keys, to issuers that demand it (OpenID4VCI
// 1.0 Appendices D and E). A wallet without one gets nothing there.
type Provider interface {
	// AttestWallet attests that the holder of key is a wallet of this make, whose client identifier is
	// clientID: a client attestation JWT.
	AttestWallet(ctx context.Context, clientID string, key keys.PublicKey) (string, error)
	// AttestKeys attests how the keys are kept, under an issuer's nonce: a key attestation JWT.
	AttestKeys(ctx context.Context, of []keys.PublicKey, nonce string) (string, error)
}

// attested adds the wallet's attestation and a proof of its key to a call to the authorization server,
// where that one asks for them. The key is the one that tokens are bound to, so that each issuer sees
// another.
func (s *session) attested(ctx context.Context, h http.Header) error {
	if s.w.Provider == nil || s.dpop == nil || !slices.Contains(s.server.ClientAuth, oauth.AuthAttestation) {
		return nil
	}
	if s.attestation == "" {
		var err error
		if s.attestation, err = s.w.Provider.AttestWallet(ctx, s.w.ClientID, s.dpop.Public()); err != nil {
			return err
		}
	}
	if s.challenge == "" && s.server.ChallengeEndpoint != "" {
		if err := s.askChallenge(ctx); err != nil {
			return err
		}
	}
	id, err := oauth.NewID(s.w.Rand)
	if err != nil {
		return err
	}
	proof, err := oauth.MakeAttestationProof(s.w.Rand, s.dpop, oauth.AttestationProof{
		Audience: s.server.Issuer, ID: id, IssuedAt: s.w.Now(), Challenge: s.challenge, ClientID: s.w.ClientID,
	})
	if err != nil {
		return err
	}
	h.Set(oauth.AttestationHeader, s.attestation)
	h.Set(oauth.AttestationProofHeader, proof)
	return nil
}

// askChallenge gets a challenge for the proof of the wallet's key.
func (s *session) askChallenge(ctx context.Context) error {
	a, err := s.w.exchange(ctx, call{method: http.MethodPost, url: s.server.ChallengeEndpoint, accept: mediaJSON}, oauth.MaxResponseBytes)
	if err != nil {
		return err
	}
	var reply struct {
		Challenge string `json:"attestation_challenge"`
	}
	if !a.ok() || encoding.UnmarshalJSON(a.body, oauth.MaxResponseBytes, &reply) != nil || reply.Challenge == "" {
		return hufu.Refuse(RuleRemote, "the authorization server gives no challenge: status %d", a.status)
	}
	s.challenge = reply.Challenge
	return nil
}

// proofs proves the keys to the issuer: each by itself or, where the issuer demands it, all by what the
// provider says of them.
func (s *session) proofs(ctx context.Context, ask credentialCall, nonce string) (oid4vci.Proofs, error) {
	if ask.config.ProofTypes[oid4vci.ProofJWT].Required == nil {
		list, err := s.w.Prove(ask.holders, s.issuer.CredentialIssuer, nonce)
		return oid4vci.Proofs{JWT: list}, err
	}
	attestation, err := s.w.Provider.AttestKeys(ctx, ask.holders, nonce)
	if err != nil {
		return oid4vci.Proofs{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	n, ok := s.w.held.number(ask.holders[0])
	if !ok {
		return oid4vci.Proofs{}, hufu.Refuse(RuleForeignKey, "a key that is not the wallet's")
	}
	proof, err := oid4vci.ProofOf{
		Audience: s.issuer.CredentialIssuer, Nonce: nonce, IssuedAt: s.w.Now(), Attestation: attestation,
	}.Make(s.w.Rand, s.w.held.Keys[n].signer)
	return oid4vci.Proofs{JWT: []string{proof}}, err
}
