package issuer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// wellKnown are the names of metadata, each before the path of the issuer's URL.
const (
	pathIssuer = "/.well-known/" + oid4vci.MetadataName
	pathServer = "/.well-known/" + oauth.MetadataName
	pathKeys   = "/.well-known/jwt-vc-issuer"
)

// Handler serves what wallets, browsers and verifiers ask of the issuer, at the [Service.Paths] of its
// origin: status lists (Token Status List §8), the log of readings of files (C2SP tlog-tiles) if there is one and, with an [Exchange], the metadata and endpoints of
// OpenID4VCI and of its authorization server.
//
// What is for software may be read from any origin, without cookies; the pages for people may not even
// be framed.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /statuslists/{did}/{list}", s.serveList)
	mux.HandleFunc("OPTIONS /statuslists/{did}/{list}", preflight("GET"))
	if s.cfg.AccessLog != nil {
		mux.Handle("GET "+logPath, s.serveLog())
	}
	if s.exchange == nil {
		return mux
	}
	api := func(method, path string, h http.HandlerFunc) {
		mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, r *http.Request) {
			forAnybody(w)
			h(w, r)
		})
		mux.HandleFunc("OPTIONS "+path, preflight(method))
	}
	p := s.exchange.path
	api("GET", pathIssuer+p, s.serveMetadata)
	api("GET", pathServer+p, s.serveServerMetadata)
	api("GET", pathKeys+p, s.serveKeyMetadata)
	api("GET", p+"/offers/{reference}", s.serveOffer)
	api("POST", p+"/par", s.servePush)
	api("POST", p+"/token", s.serveToken)
	api("POST", p+"/challenge", s.serveChallenge)
	api("POST", p+"/nonce", s.serveNonce)
	api("POST", p+"/credential", s.serveCredential)
	api("POST", p+"/deferred_credential", s.serveDeferred)
	api("POST", p+"/notification", s.serveNotification)
	s.pages(mux, p)
	return mux
}

// Paths are the patterns of [http.ServeMux] that [Service.Handler] is to be mounted at.
func (s *Service) Paths() []string {
	out := []string{"/statuslists/"}
	if s.cfg.AccessLog != nil {
		out = append(out, logPath)
	}
	if s.exchange == nil {
		return out
	}
	p := s.exchange.path
	out = append(out, pathIssuer+p, pathServer+p, pathKeys+p)
	for _, name := range []string{"offers/", "par", "token", "challenge", "nonce", "credential", "deferred_credential", "notification", "authorize", "authorize/"} {
		out = append(out, p+"/"+name)
	}
	return out
}

// forAnybody lets scripts of every origin read an answer: none depends on cookies. What is answered is for
// the caller alone unless the handler says otherwise.
func forAnybody(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "DPoP-Nonce, WWW-Authenticate, ETag, Retry-After, "+oauth.ChallengeHeader)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}

func preflight(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", method)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP, If-None-Match, "+oauth.AttestationHeader+", "+oauth.AttestationProofHeader)
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
	}
}

// negotiate picks of media types the one that an Accept header likes best, the first of equals. A
// header that likes none gets the first (RFC 9110 §12.5.1).
func negotiate(accept string, offers ...string) string {
	best, bestQ := offers[0], 0.0
	for _, offer := range offers {
		kind, _, _ := strings.Cut(offer, "/")
		q, specific := 0.0, -1
		for a := range strings.SplitSeq(accept, ",") {
			t, params, err := mime.ParseMediaType(a)
			if err != nil {
				continue
			}
			level := map[string]int{"*/*": 0, kind + "/*": 1, offer: 2}
			l, fits := level[t]
			if !fits || l <= specific {
				continue
			}
			specific, q = l, 1
			if text, there := params["q"]; there {
				if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
					q = 0
				}
			}
		}
		if q > bestQ {
			best, bestQ = offer, q
		}
	}
	return best
}

// cached answers with something that everybody may keep for a while.
func cached(w http.ResponseWriter, r *http.Request, mediaType string, body []byte, life time.Duration) {
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", max(life/time.Second, 0)))
	h.Set("ETag", etag)
	h.Add("Vary", "Accept")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write(body) //nolint:errcheck // the reader has gone
}

func (s *Service) serveList(w http.ResponseWriter, r *http.Request) {
	forAnybody(w)
	if r.URL.Query().Has("time") { // of lists of the past there are none (Token Status List §8.4)
		http.Error(w, "status lists are served as of now alone", http.StatusNotImplemented)
		return
	}
	text := r.PathValue("list")
	list, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(list, 10) != text || hufu.DID(r.PathValue("did")) != s.cfg.DID {
		http.Error(w, "no such status list", http.StatusNotFound)
		return
	}
	mediaType := negotiate(r.Header.Get("Accept"), credstatus.MediaType, credstatus.MediaTypeCWT)
	token, until, err := s.export(r.Context(), tokenKey{list, mediaType})
	var refusal *hufu.Refusal
	switch {
	case hufu.RuleOf(err) == status.RuleUnknownList:
		http.Error(w, "no such status list", http.StatusNotFound)
	case errors.As(err, &refusal):
		http.Error(w, refusal.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, "the ledger cannot be read now", http.StatusServiceUnavailable)
	default:
		cached(w, r, mediaType, []byte(token), until.Sub(s.cfg.Now()))
	}
}
