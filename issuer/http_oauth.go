package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// proofsOf takes what a wallet shows of itself out of a request's header.
func proofsOf(r *http.Request) *Proofs {
	return &Proofs{
		Authorization: r.Header.Values("Authorization"), DPoP: r.Header.Values("DPoP"),
		Attestation: r.Header.Values(oauth.AttestationHeader), AttestationProof: r.Header.Values(oauth.AttestationProofHeader),
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	raw, err := jws.MarshalJSON(v)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(raw) //nolint:errcheck // the reader has gone
}

// freshen puts new nonces on an answer, for the wallet's next request.
func (s *Service) freshen(w http.ResponseWriter) {
	if nonce, err := s.DPoPNonce(); err == nil {
		w.Header().Set("DPoP-Nonce", nonce)
	}
	if len(s.exchange.Providers) == 0 {
		return
	}
	if challenge, err := s.Challenge(); err == nil {
		w.Header().Set(oauth.ChallengeHeader, challenge)
	}
}

var (
	errMediaType = hufu.Refuse(oauth.RuleRequest, "another media type than is taken here")
	errTooLarge  = errors.New("too large")
)

// body reads a request's body of a media type and at most most bytes.
func body(w http.ResponseWriter, r *http.Request, most int64, mediaTypes ...string) (raw []byte, mediaType string, err error) {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, "", errMediaType
	}
	for _, t := range mediaTypes {
		if got != t {
			continue
		}
		raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, t, errTooLarge
		}
		return raw, t, err
	}
	return nil, "", errMediaType
}

func form(w http.ResponseWriter, r *http.Request) (oauth.Form, error) {
	raw, _, err := body(w, r, oauth.MaxFormBytes, "application/x-www-form-urlencoded")
	if err != nil {
		return nil, err
	}
	return oauth.ParseForm(string(raw))
}

// broken answers what no refusal accounts for, and reports whether it did.
func (s *Service) broken(w http.ResponseWriter, r *http.Request, err error) bool {
	switch {
	case errors.Is(err, errTooLarge):
		writeJSON(w, http.StatusRequestEntityTooLarge, oauth.ErrorResponse{Error: "invalid_request", Description: "the body is too large"})
	case hufu.RuleOf(err) != "":
		return false
	case errors.Is(err, context.Canceled):
		w.WriteHeader(499) // as is the custom: the client has gone
	default:
		s.cfg.Log.ErrorContext(r.Context(), "issuer", "path", r.Pattern, "error", err)
		writeJSON(w, http.StatusInternalServerError, oauth.ErrorResponse{Error: "server_error"})
	}
	return true
}

// refuseClient answers an error of the authorization server (RFC 6749 §5.2).
func (s *Service) refuseClient(w http.ResponseWriter, r *http.Request, err error) {
	if s.broken(w, r, err) {
		return
	}
	status := http.StatusBadRequest
	switch rule := hufu.RuleOf(err); {
	case rule == oauth.RuleClient, rule == oauth.RuleAttestation:
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", "attestation")
	case !strings.HasPrefix(string(rule), "oauth."):
		s.cfg.Log.ErrorContext(r.Context(), "issuer", "path", r.Pattern, "error", err)
		writeJSON(w, http.StatusInternalServerError, oauth.ErrorResponse{Error: "server_error"})
		return
	}
	writeJSON(w, status, oauth.NewErrorResponse(err))
}

func (s *Service) servePush(w http.ResponseWriter, r *http.Request) {
	s.freshen(w)
	f, err := form(w, r)
	if err != nil {
		s.refuseClient(w, r, err)
		return
	}
	out, err := s.Push(r.Context(), f, proofsOf(r))
	if err != nil {
		s.refuseClient(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, out)
}

func (s *Service) serveToken(w http.ResponseWriter, r *http.Request) {
	s.freshen(w)
	w.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1
	f, err := form(w, r)
	if err != nil {
		s.refuseClient(w, r, err)
		return
	}
	out, err := s.Token(r.Context(), f, proofsOf(r))
	if err != nil {
		s.refuseClient(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Service) serveChallenge(w http.ResponseWriter, r *http.Request) {
	challenge, err := s.Challenge()
	if err != nil {
		s.refuseClient(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"attestation_challenge": challenge})
}

func (s *Service) serveServerMetadata(w http.ResponseWriter, r *http.Request) {
	s.serveDocument(w, r, "server", "application/json", func(ctx context.Context) ([]byte, error) {
		m, err := s.ServerMetadata(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(m)
	})
}

func (s *Service) serveKeyMetadata(w http.ResponseWriter, r *http.Request) {
	s.serveDocument(w, r, "keys", "application/json", func(context.Context) ([]byte, error) {
		m, err := s.KeyMetadata()
		if err != nil {
			return nil, err
		}
		return json.Marshal(m)
	})
}

func (s *Service) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if negotiate(r.Header.Get("Accept"), "application/json", oid4vci.EncryptedMediaType) == oid4vci.EncryptedMediaType {
		s.serveDocument(w, r, "issuer, signed", oid4vci.EncryptedMediaType, func(ctx context.Context) ([]byte, error) {
			token, err := s.SignedMetadata(ctx)
			return []byte(token), err
		})
		return
	}
	s.serveDocument(w, r, "issuer", "application/json", func(ctx context.Context) ([]byte, error) {
		m, err := s.Metadata(ctx)
		if err != nil {
			return nil, err
		}
		return json.Marshal(m)
	})
}

// serveDocument serves what is the same for everybody.
func (s *Service) serveDocument(w http.ResponseWriter, r *http.Request, name, mediaType string, compose func(context.Context) ([]byte, error)) {
	doc, err := s.document(r.Context(), name, compose)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	cached(w, r, mediaType, doc, offeringLife)
}

func (s *Service) serveOffer(w http.ResponseWriter, r *http.Request) {
	s.freshen(w) // a wallet that takes the nonce along need not be refused for want of one
	offer, err := s.FetchOffer(r.Context(), r.PathValue("reference"))
	switch {
	case hufu.RuleOf(err) == RuleOffer:
		writeJSON(w, http.StatusNotFound, oauth.ErrorResponse{Error: "invalid_request", Description: oauth.Description(err)})
	case err != nil:
		s.broken(w, r, err)
	default:
		writeJSON(w, http.StatusOK, offer)
	}
}
