package issuer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hufu-id/hufu"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/ledger/state/status"
)

// Handler serves the issuer's status lists (Token Status List §8): GET /statuslists/{did}/{n}. Anybody
// may read them, from any origin: they say nothing about whose an entry is.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /statuslists/{did}/{list}", s.serveList)
	return mux
}

func (s *Service) serveList(w http.ResponseWriter, r *http.Request) {
	text := r.PathValue("list")
	list, err := strconv.ParseUint(text, 10, 64)
	if err != nil || strconv.FormatUint(list, 10) != text || hufu.DID(r.PathValue("did")) != s.cfg.DID {
		http.Error(w, "no such status list", http.StatusNotFound)
		return
	}
	token, until, err := s.Export(r.Context(), list)
	var refusal *hufu.Refusal
	switch {
	case hufu.RuleOf(err) == status.RuleUnknownList:
		http.Error(w, "no such status list", http.StatusNotFound)
		return
	case errors.As(err, &refusal):
		http.Error(w, refusal.Error(), http.StatusServiceUnavailable)
		return
	case err != nil:
		http.Error(w, "the ledger cannot be read now", http.StatusServiceUnavailable)
		return
	}
	sum := sha256.Sum256([]byte(token))
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	left := max(until.Sub(s.cfg.Now())/time.Second, 0)
	h := w.Header()
	h.Set("Content-Type", credstatus.MediaType)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", left))
	h.Set("ETag", etag)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Write([]byte(token)) //nolint:errcheck // the reader has gone
}
