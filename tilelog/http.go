package tilelog

import (
	"net/http"
	"os"
	"path"
	"regexp"
)

// resource is what of a log's directory is for everybody: the checkpoint, tiles of hashes and bundles of entries
// (C2SP tlog-tiles, "HTTP"), each whole or partial.
var resource = regexp.MustCompile(`^(checkpoint|tile/([0-9]|[1-5][0-9]|6[0-3]|entries)/(x[0-9]{3}/)*[0-9]{3}(\.p/[1-9][0-9]{0,2})?)$`)

// ServeHTTP serves the log, read-only, to pages of every origin: its own prefix must be stripped. Everything but
// the checkpoint stays as it is for ever.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Clean(r.URL.Path)
	if len(name) > 0 && name[0] == '/' {
		name = name[1:]
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "read only", http.StatusMethodNotAllowed)
		return
	case !resource.MatchString(name):
		http.NotFound(w, r)
		return
	}
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		http.Error(w, "not available", http.StatusServiceUnavailable)
		return
	}
	defer root.Close()
	raw, err := root.ReadFile(name)
	switch {
	case os.IsNotExist(err):
		http.NotFound(w, r)
		return
	case err != nil:
		http.Error(w, "not available", http.StatusServiceUnavailable)
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if name == "checkpoint" {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
	}
	_, _ = w.Write(raw) // a reader who is gone needs nothing
}
