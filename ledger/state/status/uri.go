package status

import (
	"strconv"
	"strings"

	"github.com/hufu-id/hufu"
)

const uriPath = "/statuslists/"

// URI is where a list is served below base, which has no "/" at its end: the form that [ParseURI]
// reads.
func URI(base string, issuer hufu.DID, list uint64) string {
	return base + uriPath + string(issuer) + "/" + strconv.FormatUint(list, 10)
}

// ParseURI reads the URI of a status list, as credentials name it: https, or http to a loopback host,
// ending in /statuslists/<issuer's DID>/<list>. The host is only where a copy is served; what the
// list says is on the ledger. It refuses with [RuleURI].
func ParseURI(uri string) (issuer hufu.DID, list uint64, err error) {
	rest, secure := strings.CutPrefix(uri, "https://")
	if !secure {
		var plain bool
		if rest, plain = strings.CutPrefix(uri, "http://"); !plain {
			return "", 0, hufu.Refuse(RuleURI, "neither https nor http")
		}
	}
	slash := strings.IndexByte(rest, '/')
	path := strings.LastIndex(rest, uriPath)
	if slash < 1 || path < slash {
		return "", 0, hufu.Refuse(RuleURI, "not a host and a path with %s", uriPath)
	}
	host := rest[:slash]
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
		return "", 0, hufu.Refuse(RuleURI, "a host that is not lower-case letters, digits, dots and a port")
	}
	if !secure && !loopback(host) {
		return "", 0, hufu.Refuse(RuleURI, "http to a host that is not this machine")
	}
	if strings.ContainsAny(rest, "?#%\\") || strings.Contains(rest[slash:], "//") || strings.Contains(rest[slash:], "/.") {
		return "", 0, hufu.Refuse(RuleURI, "a query, a fragment or a path with a second spelling")
	}
	did, number, ok := strings.Cut(rest[path+len(uriPath):], "/")
	if !ok {
		return "", 0, hufu.Refuse(RuleURI, "no list number")
	}
	if _, _, err := hufu.DID(did).Parse(); err != nil {
		return "", 0, hufu.Refuse(RuleURI, "%v", err)
	}
	list, err = strconv.ParseUint(number, 10, 64)
	if err != nil || strconv.FormatUint(list, 10) != number {
		return "", 0, hufu.Refuse(RuleURI, "the list's number is not a plain number")
	}
	return hufu.DID(did), list, nil
}

// loopback reports whether a host, perhaps with a port, is a name of this machine.
func loopback(host string) bool {
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]"} {
		if rest, ok := strings.CutPrefix(host, name); ok && (rest == "" || rest[0] == ':') {
			return true
		}
	}
	return false
}
