package oauth

import (
	"errors"
	"net/url"
	"strings"

	"github.com/hufu-id/hufu"
)

var (
	errNoTime = errors.New("no time in whole seconds")
	errFuture = errors.New("made in the future")
	errOld    = errors.New("made too long ago")
)

// MaxURL bounds every URL in a message. Browsers and proxies cut at 8 KiB; nothing here needs half.
const MaxURL = 4 << 10

// NormalizeURL is the form in which two http or https URLs are compared (RFC 9449 §4.3): normalised by
// syntax and scheme (RFC 3986 §6.2.2, §6.2.3), without query and fragment. It refuses with
// [RuleRequest] what is no such URL, or names a user.
func NormalizeURL(text string) (string, error) {
	if len(text) > MaxURL {
		return "", hufu.Refuse(RuleRequest, "a URL of more than %d bytes", MaxURL)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return "", hufu.Refuse(RuleRequest, "not an http or https URL")
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		host += ":" + port
	}
	return u.Scheme + "://" + host + removeDots(normalEscapes(u.EscapedPath())), nil
}

// normalEscapes spells percent-escapes in one way: capitals, and none for what needs none.
func normalEscapes(path string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' || i+2 >= len(path) {
			b.WriteByte(path[i])
			continue
		}
		c := unhex(path[i+1])<<4 | unhex(path[i+2])
		if i += 2; unreserved(c) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
	return b.String()
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// removeDots takes "." and ".." segments out of an absolute path (RFC 3986 §5.2.4).
func removeDots(path string) string {
	var out []string
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

// CheckIssuer refuses with [RuleRequest] what is no identifier of an issuer: an https URL, or one of
// plain HTTP on loopback where a network is tried out, without user, query or fragment (RFC 8414 §2).
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || len(issuer) > MaxURL || u.Hostname() == "" || u.Opaque != "" || strings.ContainsAny(issuer, " \t\r\n"):
		return hufu.Refuse(RuleRequest, "an issuer is identified by a URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return hufu.Refuse(RuleRequest, "an issuer's identifier has neither user nor query nor fragment")
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return hufu.Refuse(RuleRequest, "an issuer's identifier is an https URL")
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.") && strings.Trim(host, "0123456789.") == ""
}

// CheckEndpoint refuses with [RuleRequest] what is no address that messages may be sent to: an https
// URL, or plain HTTP on loopback, without user or fragment.
func CheckEndpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || len(address) > MaxURL || u.Hostname() == "" || u.Opaque != "" || u.User != nil || strings.Contains(address, "#") ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return hufu.Refuse(RuleRequest, "an endpoint is an https URL without user or fragment")
	}
	return nil
}

// WellKnown is where an issuer's metadata is: "/.well-known/" and the name between host and path
// (RFC 8414 §3.1, OpenID4VCI 1.0 §12.2.2).
func WellKnown(issuer, name string) (string, error) {
	if err := CheckIssuer(issuer); err != nil {
		return "", err
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return "", hufu.Refuse(RuleRequest, "an issuer is identified by a URL")
	}
	return u.Scheme + "://" + u.Host + "/.well-known/" + name + strings.TrimSuffix(u.EscapedPath(), "/"), nil
}
