package server

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/didres"
)

// resolve is the GET version of the HTTP binding of DID Resolution 1.0 §10.1. Anybody may ask, also a
// page of another origin; an answer is not to be kept, as a key may be revoked in the next block.
func resolve(w http.ResponseWriter, r *http.Request, l Ledger) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	result, as := didres.Result{}, representation(r.Header.Values("Accept"))
	options, bad := didres.ParseOptions(r.URL.Query())
	switch {
	case as == "":
		result = didres.Failed(didres.RepresentationNotSupported, "the representations are "+didres.ResultType+" and "+didres.DocumentType)
	case bad != nil:
		result = *bad
	default:
		if err := l.Read(r.Context(), func(v client.View) (err error) {
			result, err = didres.Resolve(v, v.Network(), v.AsOf(), r.PathValue("did"), options)
			return err
		}); err != nil {
			result = didres.Failed(didres.InternalError, "")
		}
	}
	if as == didres.DocumentType && result.Document != nil {
		writeJSON(w, result.Status(), didres.DocumentType, result.Document)
		return
	}
	writeJSON(w, result.Status(), didres.ResultType, result)
}

// representation is the media type that suits the caller best (RFC 9110 §12.5.1), empty for none. Without
// a preference it is the whole result.
func representation(accept []string) string {
	whole := strings.TrimSpace(strings.Join(accept, ","))
	if whole == "" {
		return didres.ResultType
	}
	best, bestQuality := "", 0.0
	for _, offer := range []string{didres.ResultType, didres.DocumentType} {
		if q := quality(whole, offer); q > bestQuality {
			best, bestQuality = offer, q
		}
	}
	return best
}

// quality is how much the caller wants a media type: by its name or, failing that, by the range that it
// falls in.
func quality(accept, offer string) float64 {
	class, _, _ := strings.Cut(offer, "/")
	q, closest := 0.0, 0
	for part := range strings.SplitSeq(accept, ",") {
		name, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		precision := 0
		switch name {
		case offer:
			precision = 3
		case class + "/*":
			precision = 2
		case "*/*":
			precision = 1
		case "application/json": // what callers ask for who know no better: the result is JSON
			if offer == didres.ResultType {
				precision = 1
			}
		}
		if precision <= closest {
			continue
		}
		closest, q = precision, 1
		if text, there := params["q"]; there {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				q = 0
			}
		}
	}
	return q
}
