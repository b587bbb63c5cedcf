package gate

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// Limits of the gate's endpoints.
const (
	// maxForm holds the longest answer: base64url is written as it is in a form, the JSON around it triples.
	maxForm      = oid4vp.MaxVPToken + oid4vp.MaxVPToken/2
	maxFetch     = 3*oid4vp.MaxWalletMetadata + 4096
	maxHTTPTime  = 10 * time.Second // for one call
	formType     = "application/x-www-form-urlencoded"
	requestMedia = "application/oauth-authz-req+jwt" // OpenID4VP 1.0 §5.10.1

	codeUnavailable = "temporarily_unavailable" // RFC 6749 §4.1.2.1
)

// answerJSON is what a wallet is told. Members beyond the standard's are allowed (OpenID4VP 1.0 §8.2).
type answerJSON struct {
	Error       string        `json:"error,omitempty"`
	Description string        `json:"error_description,omitempty"`
	Redirect    string        `json:"redirect_uri,omitempty"`
	Decision    hufu.Decision `json:"decision"`
	Receipt     string        `json:"receipt"`
	Rule        hufu.Rule     `json:"rule,omitempty"`
	Grant       *Grant        `json:"grant,omitempty"`
}

type errorJSON struct {
	Error       string    `json:"error"` // RFC 6749 §5.2
	Rule        hufu.Rule `json:"rule,omitempty"`
	Description string    `json:"error_description,omitempty"`
}

// Handler serves the gate:
//
//	POST /gate/{contract}/request       a new signed request object for one of the gate's contracts
//	GET  /gate/vp/request/{state}       the request object of a session (OpenID4VP 1.0 §5.4)
//	POST /gate/vp/request/{state}       the same, for a wallet that says what it can do (§5.10)
//	POST /gate/response                 direct_post and direct_post.jwt (§8.2, §8.3.1), form encoded
//	GET  /gate/vp/page/{page}           for a browser on another device than the wallet: a QR code
//	GET  /gate/vp/page/{page}/events    server-sent events: answered, expired
//	POST /gate/vp/page/{page}/return    where that browser goes on, once the session is answered
//	GET  /gate/vp/done                  where the wallet's browser ends then
//	GET  /gate/log/checkpoint           with tile/...: the log of receipts (C2SP tlog-tiles), if there is one
//	GET  /gate/log/entry/{digest}       which entry of it a receipt is
//
// A decision, allow or deny, is answered with 200: the response was processed. What is no answer to the
// request is answered with 400 and "invalid_request"; it has a receipt as well. Wallets may be pages of any
// origin; the endpoints for them answer to all, and take no credentials.
func (g *Gate) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gate/{contract}/request", bounded(g.serveRequest, maxFetch))
	for path, h := range map[string]struct {
		serve http.HandlerFunc
		most  int64
	}{
		"/gate/vp/request/{state}": {g.serveFetch, maxFetch},
		"/gate/response":           {g.serveResponse, maxForm},
	} {
		mux.HandleFunc("POST "+path, anyOrigin(bounded(h.serve, h.most)))
		mux.HandleFunc("OPTIONS "+path, anyOrigin(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	}
	mux.HandleFunc("GET /gate/vp/request/{state}", anyOrigin(bounded(g.serveFetch, 0)))
	mux.HandleFunc("GET /gate/vp/page/{page}", bounded(g.servePage, 0))
	mux.HandleFunc("GET /gate/vp/page/{page}/events", g.serveEvents)
	mux.HandleFunc("POST /gate/vp/page/{page}/return", bounded(g.serveReturn, 0))
	mux.HandleFunc("GET /gate/vp/done", bounded(g.serveDone, 0))
	mux.HandleFunc("GET /gate/vp/assets/{name}", bounded(serveAsset, 0))
	if g.Log != nil {
		mux.Handle("GET /gate/log/", http.StripPrefix("/gate/log", g.Log))
		mux.HandleFunc("GET /gate/log/entry/{digest}", anyOrigin(bounded(g.serveEntry, 0)))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // addresses hold what names a session
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

// bounded bounds the time and the body of a call.
func bounded(serve http.HandlerFunc, most int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), maxHTTPTime)
		defer cancel()
		// For servers that support it, also of a body that trickles in.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(maxHTTPTime))
		r.Body = http.MaxBytesReader(w, r.Body, most)
		serve(w, r.WithContext(ctx))
	}
}

// anyOrigin lets pages of every origin call, without cookies.
func anyOrigin(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Content-Type, Accept")
			h.Set("Access-Control-Max-Age", "600")
		}
		serve(w, r)
	}
}

func (g *Gate) serveRequest(w http.ResponseWriter, r *http.Request) {
	token, err := g.Request(r.Context(), hufu.ContractID{Owner: g.DID, Name: r.PathValue("contract")})
	writeRequest(w, token, err)
}

// serveFetch serves the request URI.
func (g *Gate) serveFetch(w http.ResponseWriter, r *http.Request) {
	form := url.Values{}
	if r.Method == http.MethodPost {
		var ok bool
		if form, ok = readForm(w, r); !ok {
			return
		}
		for _, name := range []string{"wallet_nonce", "wallet_metadata"} {
			if len(form[name]) > 1 {
				fail(w, http.StatusBadRequest, codeInvalidRequest, hufu.Refuse(oid4vp.RuleRequest, "%s is there twice", name))
				return
			}
		}
	}
	token, err := g.FetchRequest(r.Context(), r.PathValue("state"), form.Get("wallet_nonce"), form.Get("wallet_metadata"))
	writeRequest(w, token, err)
}

func writeRequest(w http.ResponseWriter, token string, err error) {
	switch rule := hufu.RuleOf(err); rule {
	case RuleNotPublished, RuleUnknownRequest:
		fail(w, http.StatusNotFound, codeInvalidRequest, err)
		return
	case RuleRetired, RuleSuperseded, RuleReplayed, RuleExpiredRequest:
		fail(w, http.StatusGone, codeInvalidRequest, err)
		return
	case oid4vp.RuleRequest, oid4vp.RuleUnsupported, oid4vp.RuleFormats:
		fail(w, http.StatusBadRequest, oid4vp.ErrorCode(err), err)
		return
	}
	if err != nil {
		fail(w, http.StatusServiceUnavailable, codeUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", requestMedia)
	_, _ = w.Write([]byte(token)) // a wallet that is gone needs no request
}

// readForm reads a form, or says what is wrong with it.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != formType {
		fail(w, http.StatusUnsupportedMediaType, codeInvalidRequest, hufu.Refuse(oid4vp.RuleResponse, "not %s", formType))
		return nil, false
	}
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			fail(w, http.StatusRequestEntityTooLarge, codeInvalidRequest, hufu.Refuse(oid4vp.RuleResponse, "the body is too large"))
			return nil, false
		}
		fail(w, http.StatusBadRequest, codeInvalidRequest, hufu.Refuse(oid4vp.RuleResponse, "the body is no form"))
		return nil, false
	}
	return r.PostForm, true
}

func (g *Gate) serveResponse(w http.ResponseWriter, r *http.Request) {
	form, ok := readForm(w, r)
	if !ok {
		return
	}
	if len(form["state"]) != 1 && !form.Has("response") {
		fail(w, http.StatusBadRequest, codeInvalidRequest, hufu.Refuse(oid4vp.RuleResponse, "state is wanted, once"))
		return
	}
	o, err := g.Answer(r.Context(), form)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, codeUnavailable, err)
		return
	}
	a := answerJSON{
		Error: o.ErrorCode(), Redirect: o.Redirect, Decision: o.Decision, Receipt: o.Token, Rule: o.Receipt.Rule, Grant: o.Grant,
	}
	code := http.StatusOK
	if a.Error == codeInvalidRequest {
		code = http.StatusBadRequest
	}
	if a.Error != "" {
		a.Description = o.Receipt.Reason
	}
	writeJSON(w, code, a)
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
	_, _ = w.Write(body) // a caller who is gone needs no answer
}
