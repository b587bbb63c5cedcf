package gate

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// Limits of the gate's endpoints.
const (
	maxForm      = 3*oid4vp.MaxVPToken + 1024 // bytes; form encoding triples at worst
	maxHTTPTime  = 10 * time.Second           // for one call
	formType     = "application/x-www-form-urlencoded"
	requestMedia = "application/oauth-authz-req+jwt" // OpenID4VP 1.0 §5.10.1
)

// answerJSON is what a wallet is told. Members beyond the standard's are allowed (OpenID4VP 1.0 §8.2).
type answerJSON struct {
	Decision hufu.Decision `json:"decision"`
	Receipt  string        `json:"receipt"`
	Rule     hufu.Rule     `json:"rule,omitempty"`
	Grant    *Grant        `json:"grant,omitempty"`
}

type errorJSON struct {
	Error       string    `json:"error"` // RFC 6749 §5.2
	Rule        hufu.Rule `json:"rule,omitempty"`
	Description string    `json:"error_description,omitempty"`
}

// Handler serves the gate:
//
//	POST /gate/{contract}/request   a new signed request object for one of the gate's contracts
//	POST /gate/response             direct_post (OpenID4VP 1.0 §8.2): vp_token and state, form encoded
//
// A decision, allow or deny, is answered with 200: the response was processed. What cannot be read, or
// answers nothing, is answered with 400; it has a receipt as well.
func (g *Gate) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gate/{contract}/request", g.serveRequest)
	mux.HandleFunc("POST /gate/response", g.serveResponse)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxHTTPTime)
		defer cancel()
		// For servers that support it, also of a body that trickles in.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(maxHTTPTime))
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

func (g *Gate) serveRequest(w http.ResponseWriter, r *http.Request) {
	token, err := g.Request(r.Context(), hufu.ContractID{Owner: g.DID, Name: r.PathValue("contract")})
	switch hufu.RuleOf(err) {
	case RuleNotPublished:
		fail(w, http.StatusNotFound, "invalid_request", err)
		return
	case RuleRetired:
		fail(w, http.StatusGone, "invalid_request", err)
		return
	}
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", err)
		return
	}
	w.Header().Set("Content-Type", requestMedia)
	w.Write([]byte(token))
}

func (g *Gate) serveResponse(w http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != formType {
		fail(w, http.StatusUnsupportedMediaType, "invalid_request", hufu.Refuse(oid4vp.RuleResponse, "not %s", formType))
		return
	}
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			fail(w, http.StatusRequestEntityTooLarge, "invalid_request", hufu.Refuse(oid4vp.RuleResponse, "the body is too large"))
			return
		}
		fail(w, http.StatusBadRequest, "invalid_request", hufu.Refuse(oid4vp.RuleResponse, "the body is no form"))
		return
	}
	form := r.PostForm
	if len(form["vp_token"]) != 1 || len(form["state"]) != 1 {
		fail(w, http.StatusBadRequest, "invalid_request", hufu.Refuse(oid4vp.RuleResponse, "vp_token and state are wanted, once each"))
		return
	}
	o, err := g.RespondForm(r.Context(), form.Get("vp_token"), form.Get("state"))
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", err)
		return
	}
	code := http.StatusOK
	if o.Receipt.Rule == oid4vp.RuleResponse || o.Receipt.Rule == RuleUnknownRequest {
		code = http.StatusBadRequest
	}
	writeJSON(w, code, answerJSON{Decision: o.Decision, Receipt: o.Token, Rule: o.Receipt.Rule, Grant: o.Grant})
}

// fail answers with a refusal's own words, which hold nothing personal, and with no others.
func fail(w http.ResponseWriter, code int, name string, err error) {
	e := errorJSON{Error: name}
	var refusal *hufu.Refusal
	if errors.As(err, &refusal) {
		e.Rule, e.Description = refusal.Rule, refusal.Detail
	}
	writeJSON(w, code, e)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(body)
}
