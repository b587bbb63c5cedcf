package server

import (
	"mime"
	"net/http"
	"strings"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/didres"
)

// resolve is the HTTP binding of DID Resolution 1.0 §7.1.
func resolve(w http.ResponseWriter, r *http.Request, l Ledger) {
	var result didres.Result
	if err := l.Read(r.Context(), func(v client.View) (err error) {
		result, err = didres.Resolve(v, v.Network(), v.AsOf(), r.PathValue("did"))
		return err
	}); err != nil {
		result = didres.Failed(didres.InternalError)
	}
	if wants(r, didres.DocumentType) && result.Document != nil {
		writeJSON(w, result.Status(), didres.DocumentType, result.Document)
		return
	}
	writeJSON(w, result.Status(), didres.ResultType, result)
}

// wants reports whether the caller asks for a media type by name.
func wants(r *http.Request, mediaType string) bool {
	for a := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if t, _, err := mime.ParseMediaType(a); err == nil && t == mediaType {
			return true
		}
	}
	return false
}
