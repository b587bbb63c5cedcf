package issuer

import (
	"context"
	"net/http"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// maxRequestBody is an encrypted request: a third more than a plain one.
const maxRequestBody = oid4vci.MaxRequestBytes/3*4 + 16<<10

func (s *Service) serveNonce(w http.ResponseWriter, r *http.Request) {
	s.freshen(w)
	nonce, err := s.Nonce()
	if err != nil {
		s.broken(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, oid4vci.NonceResponse{Nonce: nonce})
}

func (s *Service) serveCredential(w http.ResponseWriter, r *http.Request) {
	s.serveAnswer(w, r, s.Credential)
}

func (s *Service) serveDeferred(w http.ResponseWriter, r *http.Request) {
	s.serveAnswer(w, r, s.Deferred)
}

func (s *Service) serveAnswer(w http.ResponseWriter, r *http.Request, answer func(context.Context, []byte, bool, *Proofs) (*Answer, error)) {
	s.freshen(w)
	raw, mediaType, err := body(w, r, maxRequestBody, "application/json", oid4vci.EncryptedMediaType)
	if hufu.RuleOf(err) != "" {
		err = hufu.Refuse(oid4vci.RuleRequest, "a request is application/json or %s", oid4vci.EncryptedMediaType)
	}
	if err != nil {
		s.refuseWallet(w, r, err)
		return
	}
	out, err := answer(r.Context(), raw, mediaType == oid4vci.EncryptedMediaType, proofsOf(r))
	if err != nil {
		s.refuseWallet(w, r, err)
		return
	}
	status := http.StatusOK
	if out.Deferred() {
		status = http.StatusAccepted
	}
	if out.Encryption == nil {
		writeJSON(w, status, out.CredentialResponse)
		return
	}
	token, err := oid4vci.Encrypt(s.cfg.Rand, out.Encryption.Key, out.Encryption.Enc, out.CredentialResponse)
	if err != nil {
		s.refuseWallet(w, r, err)
		return
	}
	w.Header().Set("Content-Type", oid4vci.EncryptedMediaType)
	w.WriteHeader(status)
	w.Write([]byte(token)) //nolint:errcheck // the reader has gone
}

func (s *Service) serveNotification(w http.ResponseWriter, r *http.Request) {
	s.freshen(w)
	raw, _, err := body(w, r, oid4vci.MaxNotificationBytes, "application/json")
	if hufu.RuleOf(err) != "" {
		err = hufu.Refuse(oid4vci.RuleNotification, "a notification is application/json")
	}
	if err == nil {
		err = s.Notify(r.Context(), raw, proofsOf(r))
	}
	if err != nil {
		s.refuseWallet(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// refuseWallet answers an error of the issuer's protected endpoints: what is wrong with the token as
// RFC 6750 §3 and RFC 9449 §7.1 have it, what is wrong with the request as OpenID4VCI 1.0 §8.3.1.2.
func (s *Service) refuseWallet(w http.ResponseWriter, r *http.Request, err error) {
	if s.broken(w, r, err) {
		return
	}
	rule := hufu.RuleOf(err)
	switch {
	case rule == oauth.RuleToken, rule == oauth.RuleDPoP, rule == oauth.RuleDPoPNonce:
		s.challenge(w, r, err)
		writeJSON(w, http.StatusUnauthorized, oauth.NewErrorResponse(err))
	case rule == oauth.RuleNotAllowed:
		s.challenge(w, r, err)
		writeJSON(w, http.StatusForbidden, oauth.NewErrorResponse(err))
	case rule == RuleTooOften:
		w.Header().Set("Retry-After", "60")
		writeJSON(w, http.StatusTooManyRequests, oauth.ErrorResponse{Error: "temporarily_unavailable", Description: "too many requests for this person"})
	case strings.HasPrefix(string(rule), "oid4vci."):
		writeJSON(w, http.StatusBadRequest, oid4vci.NewErrorResponse(err))
	default:
		s.cfg.Log.ErrorContext(r.Context(), "issuer", "path", r.Pattern, "error", err)
		writeJSON(w, http.StatusInternalServerError, oauth.ErrorResponse{Error: "server_error"})
	}
}

// challenge says how to authorize a request. One that shows no token is told no error (RFC 6750 §3.1); the
// error of one that does is told of the scheme it used alone (RFC 9449 §7.1).
func (s *Service) challenge(w http.ResponseWriter, r *http.Request, err error) {
	params := map[string]string{}
	if header := r.Header.Get("Authorization"); header != "" {
		used, _, _ := strings.Cut(header, " ")
		if !strings.EqualFold(used, oauth.TypeBearer) || !s.exchange.Bearer {
			used = oauth.TypeDPoP
		} else {
			used = oauth.TypeBearer
		}
		e := oauth.NewErrorResponse(err)
		params[used] = ` error="` + e.Error + `", error_description="` + e.Description + `"`
	}
	dpop := ` algs="` + strings.Join(oauth.SigningAlgs(), " ") + `"`
	if of := params[oauth.TypeDPoP]; of != "" {
		dpop = of + "," + dpop
	}
	h := w.Header()
	h.Add("WWW-Authenticate", oauth.TypeDPoP+dpop)
	if s.exchange.Bearer {
		h.Add("WWW-Authenticate", oauth.TypeBearer+params[oauth.TypeBearer])
	}
}
