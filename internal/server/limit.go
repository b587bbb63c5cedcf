package server

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// tooMany is the answer to who has to wait.
func tooMany(w http.ResponseWriter, wait time.Duration) {
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	// Also pages of other origins are told to wait: it is no secret, and they would try again at once.
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", corsExposed)
	writeJSON(w, http.StatusTooManyRequests, "application/json", map[string]string{
		"error": "temporarily_unavailable", "error_description": "too many requests from this address",
	})
}

// caller is the address that a request is counted under: an IPv4 address, or the /64 that an IPv6 customer
// has at least. Behind a proxy on this machine it is the address that the proxy saw. Callers on this
// machine itself have none, and are not counted: whoever is here needs no flood of requests to do harm.
func caller(r *http.Request, behindProxy bool) (key string, counted bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host, true
	}
	if addr.IsLoopback() && behindProxy {
		// The last entry is the proxy's own word; those before it are the caller's.
		all := r.Header.Values("X-Forwarded-For")
		if len(all) == 0 {
			return "", false
		}
		last := all[len(all)-1]
		seen, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
		if err != nil {
			return "unreadable", true
		}
		addr = seen
	}
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.IsLoopback():
		return "", false
	case addr.Is6():
		p, err := addr.Prefix(64)
		if err != nil {
			return addr.String(), true
		}
		return p.String(), true
	}
	return addr.String(), true
}
