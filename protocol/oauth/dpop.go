package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// DPoPMediaType is the "typ" of a DPoP proof (RFC 9449 §4.2).
const DPoPMediaType = "dpop+jwt"

// Limits on proofs.
const (
	MaxProofBytes = 4 << 10 // a proof has a key, a URL, a nonce and three short claims
	maxID         = 256     // bytes of a jti
	maxNonce      = 512     // bytes of a nonce
)

// DefaultMaxAge is how old a proof may be when the parameters do not say, and DefaultClockSkew how far
// ahead of the server's clock.
const (
	DefaultMaxAge    = time.Minute
	DefaultClockSkew = 30 * time.Second
)

// SigningAlgs are the algorithms of proofs and attestations: the suites that are registered for JOSE.
func SigningAlgs() []string { return []string{keys.P256.JOSEAlg(), keys.Ed25519.JOSEAlg()} }

// DPoP is what a DPoP proof says.
type DPoP struct {
	Method      string    // htm
	URL         string    // htu
	ID          string    // jti: chosen by the client, never the same twice
	IssuedAt    time.Time // iat
	Nonce       string    // the server's, if it gave one
	AccessToken string    // whose hash is ath, when the proof goes with a token
}

type dpopClaims struct {
	ID       string `json:"jti"`
	Method   string `json:"htm"`
	URL      string `json:"htu"`
	IssuedAt int64  `json:"iat"`
	Hash     string `json:"ath,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
}

// MakeDPoP signs a DPoP proof. The query and fragment of the URL are left away.
func MakeDPoP(rand io.Reader, signer keys.Signer, p DPoP) (string, error) {
	target, err := NormalizeURL(p.URL)
	if err != nil {
		return "", err
	}
	claims := dpopClaims{ID: p.ID, Method: p.Method, URL: target, IssuedAt: p.IssuedAt.Unix(), Nonce: p.Nonce}
	if p.AccessToken != "" {
		claims.Hash = tokenHash(p.AccessToken)
	}
	payload, err := jws.MarshalJSON(claims)
	if err != nil {
		return "", err
	}
	return jws.Sign(rand, jws.Header{"typ": DPoPMediaType, "jwk": jws.NewJWK(signer.Public()).Claim()}, payload, signer)
}

// NewID draws the 128 bits of a jti, a state or a nonce.
func NewID(rand io.Reader) (string, error) {
	var id [16]byte
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return "", err
	}
	return jws.EncodeBase64(id[:]), nil
}

func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return jws.EncodeBase64(sum[:])
}

// DPoPParams is what a DPoP proof is checked against.
type DPoPParams struct {
	Method      string // of the request
	URL         string // of the request, as the server knows its own address; query and fragment are ignored
	AccessToken string // when the request has one: ath must be its hash
	BoundTo     string // thumbprint of the key that the access token is bound to
	// Nonce reports whether this server gave a nonce and it is still good. If nil, none is asked for.
	Nonce     func(nonce string) bool
	Now       time.Time
	MaxAge    time.Duration // 0: [DefaultMaxAge]
	ClockSkew time.Duration // 0: [DefaultClockSkew]
}

// DPoPProof is a proof that was checked, except that it is the first with its ID.
type DPoPProof struct {
	Key        keys.PublicKey
	Thumbprint string // of the key (RFC 7638), as in cnf.jkt
	ID         string
	// Until is how long the ID must be remembered: after it the proof is too old.
	Until time.Time
}

// VerifyDPoP checks a DPoP proof (RFC 9449 §4.3) but for its being used once. It refuses with
// [RuleDPoP], [RuleDPoPNonce] or, for a key that the token is not bound to, [RuleToken].
func VerifyDPoP(proof string, p DPoPParams) (*DPoPProof, error) {
	fail := func(format string, args ...any) (*DPoPProof, error) {
		return nil, hufu.Refuse(RuleDPoP, format, args...)
	}
	m, err := jws.Parse(proof, MaxProofBytes)
	if err != nil {
		return fail("%v", err)
	}
	if m.Header.Text("typ") != DPoPMediaType {
		return fail("typ is not %s", DPoPMediaType)
	}
	jwk, ok := m.Header["jwk"].(map[string]any)
	if !ok {
		return fail("no jwk in the header")
	}
	key, err := signingKey(jwk)
	if err != nil {
		return fail("%v", err)
	}
	var claims map[string]any
	if err := encoding.UnmarshalJSON(m.Payload, MaxProofBytes, &claims); err != nil {
		return fail("claims: %v", err)
	}
	out := &DPoPProof{Key: key, Thumbprint: jws.Thumbprint(key)}
	if err := out.check(claims, &p); err != nil {
		return nil, err
	}
	if err := m.Verify(key); err != nil {
		return fail("%v", err)
	}
	if p.BoundTo != "" && subtle.ConstantTimeCompare([]byte(p.BoundTo), []byte(out.Thumbprint)) != 1 {
		return nil, hufu.Refuse(RuleToken, "the access token is bound to another key")
	}
	nonce, _ := claims["nonce"].(string)
	if p.Nonce != nil && (nonce == "" || !p.Nonce(nonce)) {
		return nil, hufu.Refuse(RuleDPoPNonce, "use the nonce that comes with this answer")
	}
	return out, nil
}

// check reads the claims beside the nonce.
func (d *DPoPProof) check(claims map[string]any, p *DPoPParams) error {
	text := func(name string) string {
		s, _ := claims[name].(string)
		return s
	}
	if d.ID = text("jti"); d.ID == "" || len(d.ID) > maxID {
		return hufu.Refuse(RuleDPoP, "jti is not 1 to %d bytes", maxID)
	}
	if p.Method == "" || text("htm") != p.Method {
		return hufu.Refuse(RuleDPoP, "htm is another method")
	}
	want, err := NormalizeURL(p.URL)
	if err != nil {
		return err
	}
	if got, err := NormalizeURL(text("htu")); err != nil || got != want {
		return hufu.Refuse(RuleDPoP, "htu is another address")
	}
	iat, err := Window(claims["iat"], p.Now, orElse(p.MaxAge, DefaultMaxAge), orElse(p.ClockSkew, DefaultClockSkew))
	if err != nil {
		return hufu.Refuse(RuleDPoP, "%v", err)
	}
	d.Until = iat.Add(orElse(p.MaxAge, DefaultMaxAge))
	if n, there := claims["nonce"]; there {
		if s, ok := n.(string); !ok || len(s) > maxNonce {
			return hufu.Refuse(RuleDPoP, "nonce is no text of at most %d bytes", maxNonce)
		}
	}
	if p.AccessToken != "" && subtle.ConstantTimeCompare([]byte(text("ath")), []byte(tokenHash(p.AccessToken))) != 1 {
		return hufu.Refuse(RuleDPoP, "ath is not the hash of the access token")
	}
	return nil
}

// signingKey reads a key that proofs and attestations may be signed with.
func signingKey(jwk map[string]any) (keys.PublicKey, error) {
	key, err := jws.KeyOf(jwk)
	if err != nil {
		return keys.PublicKey{}, err
	}
	if key.Suite() != keys.P256 && key.Suite() != keys.Ed25519 {
		return keys.PublicKey{}, hufu.Refuse(jws.RuleAlg, "%s is not registered for JOSE", key.Suite())
	}
	return key, nil
}

func orElse(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}

// Window reads an iat claim and refuses, with a plain error, one that is no whole number of seconds
// or outside of maxAge before and skew after now.
func Window(claim any, now time.Time, maxAge, skew time.Duration) (time.Time, error) {
	at, err := seconds(claim)
	switch {
	case err != nil:
		return time.Time{}, errNoTime
	case at.Unix() > now.Add(skew).Unix():
		return time.Time{}, errFuture
	case at.Unix() < now.Add(-maxAge).Unix():
		return time.Time{}, errOld
	}
	return at, nil
}

// maxTime is the last second of the year 9999, the last that formats agree on.
const maxTime = 253402300799

func seconds(claim any) (time.Time, error) {
	number, _ := claim.(json.Number)
	n, err := number.Int64()
	if err != nil || n < 0 || n > maxTime {
		return time.Time{}, errNoTime
	}
	return time.Unix(n, 0).UTC(), nil
}
