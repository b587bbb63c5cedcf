package oid4vp

import (
	"errors"
	"net/url"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
)

// The client identifier prefixes that are understood (§5.9.3).
const (
	PrefixDID      = "decentralized_identifier" // a DID; the request is signed by one of its keys
	PrefixDNS      = "x509_san_dns"             // a DNS name of the certificate that the request is signed under
	PrefixHash     = "x509_hash"                // the SHA-256 of that certificate
	PrefixRedirect = "redirect_uri"             // where the answer goes; the request is not signed
	originPrefix   = "origin"                   // reserved for audiences (§A.4); no client may have it
)

// Prefixes lists the client identifier prefixes, for metadata.
func Prefixes() []string { return []string{PrefixDID, PrefixHash, PrefixDNS, PrefixRedirect} }

const (
	maxClientID = 512 // bytes
	maxURL      = 2048
)

// ClientID is the client identifier of a verifier that is known by its DID. Presentations name the whole
// of it as their audience (§14.8).
func ClientID(verifier hufu.DID) string { return PrefixDID + ":" + string(verifier) }

// ClientIDOf is the client identifier of a verifier with a certificate, by one of the x509 prefixes. For
// [PrefixDNS] the first DNS name is taken.
func ClientIDOf(prefix string, leaf x5c.Certified) (string, error) {
	switch {
	case prefix == PrefixHash:
		return PrefixHash + ":" + jws.EncodeBase64(leaf.Thumbprint[:]), nil
	case prefix == PrefixDNS && len(leaf.DNS) > 0:
		return PrefixDNS + ":" + leaf.DNS[0], nil
	case prefix == PrefixDNS:
		return "", errors.New("oid4vp: the certificate has no DNS name")
	}
	return "", errors.New("oid4vp: " + prefix + " is no prefix for certificates")
}

// RedirectClientID is the client identifier of a verifier that is known by nothing but where the answer goes.
func RedirectClientID(responseURI string) string { return PrefixRedirect + ":" + responseURI }

// splitClientID checks a client identifier's form.
func splitClientID(id string) (prefix, name string, err error) {
	prefix, name, found := strings.Cut(id, ":")
	switch {
	case id == "" || len(id) > maxClientID+len(PrefixRedirect)+maxURL:
		return "", "", hufu.Refuse(RuleRequest, "client_id is missing or too long")
	case !found:
		return "", "", hufu.Refuse(RuleUnsupported, "a client identifier without prefix is of a client registered before, and none is")
	}
	switch prefix {
	case PrefixDID:
		if _, _, err := hufu.DID(name).Parse(); err != nil {
			return "", "", hufu.Refuse(RuleUnsupported, "client_id holds no did:hufu identifier")
		}
	case PrefixDNS:
		if name == "" || len(name) > 253 || strings.ContainsAny(name, "/:@?#* \t\r\n") {
			return "", "", hufu.Refuse(RuleRequest, "client_id holds no DNS name")
		}
	case PrefixHash:
		if raw, err := jws.DecodeBase64(name); err != nil || len(raw) != len(hufu.Digest{}) {
			return "", "", hufu.Refuse(RuleRequest, "client_id holds no SHA-256 hash in base64url")
		}
	case PrefixRedirect:
		if err := checkURL(name); err != nil {
			return "", "", hufu.Refuse(RuleRequest, "client_id holds a URL that %v", err)
		}
	case originPrefix:
		return "", "", hufu.Refuse(RuleRequest, "the client identifier prefix origin is reserved")
	default:
		return "", "", hufu.Refuse(RuleUnsupported, "client identifier prefix %q is not supported", clip(prefix))
	}
	return prefix, name, nil
}

// ClientDID is the DID in a client identifier, or "".
func ClientDID(clientID string) hufu.DID {
	if did, ok := strings.CutPrefix(clientID, PrefixDID+":"); ok {
		return hufu.DID(did)
	}
	return ""
}

// matchLeaf checks a client identifier against the certificate that the request is signed under.
func matchLeaf(prefix, name string, leaf x5c.Certified) error {
	if prefix == PrefixHash {
		if name != jws.EncodeBase64(leaf.Thumbprint[:]) {
			return hufu.Refuse(RuleSignature, "client_id is another certificate's hash")
		}
		return nil
	}
	for _, dns := range leaf.DNS {
		if strings.EqualFold(dns, name) {
			return nil
		}
	}
	return hufu.Refuse(RuleSignature, "client_id is no DNS name of the certificate")
}

// checkURL takes https URLs, and http ones on loopback, without user and fragment.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURL || u.Host == "" || u.User != nil || strings.Contains(s, "#") || u.Opaque != "" {
		return errors.New("is no URL to post to")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return errors.New("is neither https nor http on loopback")
	}
	return nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// CheckOrigin checks that s is an origin as browsers write it (RFC 6454 §6.2): https, or http on
// loopback, a host and perhaps a port, and nothing more.
func CheckOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || checkURL(s) != nil || u.Scheme+"://"+u.Host != s || strings.ToLower(s) != s {
		return hufu.Refuse(RuleRequest, "not an origin: https://host, without a path")
	}
	return nil
}

// OriginAudience is the audience of presentations over the Digital Credentials API (§A.4).
func OriginAudience(origin string) string { return originPrefix + ":" + origin }

// urlSafe reports whether s is of the characters §5.2 allows in a nonce and a state.
func urlSafe(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// clip keeps a stranger's text in an error short.
func clip(s string) string {
	if len(s) > 48 {
		return strings.ToValidUTF8(s[:48], "") + "…"
	}
	return s
}
