package wallet

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Accept takes credentials from an issuer, all or none of them. Each must be signed by its issuer's key
// on the ledger as of issuance, or under a certificate of an authority there, be in force, and be bound to
// one of the wallet's keys.
func (w *Wallet) Accept(v client.View, credentials []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.change(func(c *contents) error {
		_, err := c.acceptAll(credentials, newExaminer(v, w.Now()), 0)
		return err
	})
}

// acceptAll adds credentials and returns their copies.
func (c *contents) acceptAll(credentials []string, e *examiner, from uint64) ([]heldCopy, error) {
	first := len(c.Copies)
	for i, text := range credentials {
		h, err := c.accept(text, e)
		if err != nil {
			return nil, fmt.Errorf("wallet: credential %d of %d: %w", i+1, len(credentials), err)
		}
		h.Source = from
		c.Copies = append(c.Copies, h)
	}
	return c.Copies[first:], nil
}

func (c *contents) accept(text string, e *examiner) (heldCopy, error) {
	h, holder, err := e.examine(text)
	if err != nil {
		return h, err
	}
	key, ok := c.number(holder)
	if holder.IsZero() || !ok {
		return h, hufu.Refuse(RuleForeignKey, "the credential is bound to no key of this wallet")
	}
	h.Key = uint64(key)
	for i := range c.Copies {
		if c.Copies[i].Key == h.Key && c.Copies[i].Kind == h.Kind {
			return h, hufu.Refuse(RuleDuplicate, "the wallet has such a credential bound to that key")
		}
	}
	return h, nil
}

// examiner finds out whether credentials are genuine, on one state of the ledger.
type examiner struct {
	view    client.View
	now     time.Time
	known   map[question]keys.PublicKey // the copies of a batch have one issuer
	foreign bool                        // strangers may issue
	fetched map[string][]keyOfIssuer    // of strangers that publish their keys, by issuer
}

type question struct {
	kid string
	iat int64
}

func newExaminer(v client.View, now time.Time) *examiner {
	return &examiner{view: v, now: now, known: map[question]keys.PublicKey{}}
}

// examine reads and verifies a credential of either format. It returns the copy but for its key's number,
// and the key.
func (e *examiner) examine(text string) (heldCopy, keys.PublicKey, error) {
	if isMdoc(text) {
		return e.mdoc(text)
	}
	return e.sdJWT(text)
}

// isMdoc tells the formats apart: a map in CBOR, in base64url, begins with one of these letters, and has
// not the characters that every SD-JWT has.
func isMdoc(text string) bool {
	return text != "" && text[0] >= 'o' && text[0] <= 'v' && !strings.ContainsAny(text, ".~")
}

func (e *examiner) sdJWT(text string) (heldCopy, keys.PublicKey, error) {
	h := heldCopy{Credential: text}
	cred, err := sdjwt.Parse(text)
	if err != nil {
		return h, keys.PublicKey{}, err
	}
	_, _, err = hufu.DID(cred.Issuer).Parse()
	if h.Foreign = err != nil; h.Foreign && !e.foreign {
		return h, keys.PublicKey{}, errUnknownIssuer
	}
	p := sdjwt.VerifyParams{Now: e.now, ClockSkew: ClockSkew, AnyAuthority: h.Foreign}
	if p.ResolveKey = e.strangersKey; !h.Foreign {
		p.ResolveKey, p.Authorities = e.ledgerKey, did.Authorities(e.view, e.view.Network())
	}
	got, err := cred.Verify(p)
	if err != nil {
		return h, keys.PublicKey{}, err
	}
	if h.Kind, err = kindOf(got.Claims); err != nil {
		return h, keys.PublicKey{}, err
	}
	h.Type, h.Issuer = got.Type, got.Issuer
	if !got.ExpiresAt.IsZero() {
		h.Expires = got.ExpiresAt.Unix()
	}
	return h, got.HolderKey, nil
}

var errUnknownIssuer = hufu.Refuse(RuleUnknownIssuer, "the issuer is no DID of this ledger")

// strangersKey is a key that a stranger publishes.
func (e *examiner) strangersKey(iss, kid, _ string, _ int64) (keys.PublicKey, error) {
	for _, k := range e.fetched[iss] {
		if k.id == kid || kid == "" && len(e.fetched[iss]) == 1 {
			return k.key, nil
		}
	}
	return keys.PublicKey{}, hufu.Refuse(RuleUnknownIssuer, "the issuer publishes no such key")
}

func (e *examiner) ledgerKey(iss, kid, _ string, iat int64) (keys.PublicKey, error) {
	if key, ok := e.known[question{kid, iat}]; ok && strings.HasPrefix(kid, iss+"#") {
		return key, nil
	}
	key, err := keyAt(e.view, hufu.DID(iss), kid, tx.PurposeAssertion, iat, RuleUnknownIssuer)
	if err == nil {
		e.known[question{kid, iat}] = key
	}
	return key, err
}

func (e *examiner) mdoc(text string) (heldCopy, keys.PublicKey, error) {
	h := heldCopy{Credential: text, Format: dcql.FormatMdoc}
	cred, err := mdoc.Parse(text)
	if err != nil {
		return h, keys.PublicKey{}, err
	}
	p := mdoc.VerifyParams{Now: e.now, ClockSkew: ClockSkew}
	if n, _, err := cred.Signer.DID.Parse(); err == nil && n == e.view.Network() {
		p.Authorities = did.Authorities(e.view, e.view.Network())
	} else if h.Foreign, p.AnyAuthority = true, true; !e.foreign {
		return h, keys.PublicKey{}, errUnknownIssuer
	}
	got, err := cred.Verify(p)
	if err != nil {
		return h, keys.PublicKey{}, err
	}
	if h.Kind, err = kindOf(map[string]any{
		"doctype": got.DocType, "elements": anyElements(&got.Content), "from": got.ValidFrom.Unix(), "until": got.ValidUntil.Unix(),
		"iss": string(got.Signer.DID),
	}); err != nil {
		return h, keys.PublicKey{}, err
	}
	h.Type, h.Issuer, h.Expires = got.DocType, string(got.Issuer), got.ValidUntil.Unix()
	if h.Foreign && len(got.Signer.DNS) > 0 {
		h.Issuer = got.Signer.DNS[0]
	}
	return h, got.DeviceKey, nil
}

// anyElements is a document's elements as claims that a query's paths lead into.
func anyElements(c *mdoc.Content) map[string]any {
	out := make(map[string]any, len(c.Elements))
	for ns, elements := range c.Elements {
		out[ns] = elements
	}
	return out
}

// kindOf is what all copies of a batch have in common: everything they say but the key and the status.
func kindOf(claims map[string]any) (hufu.Digest, error) {
	common := make(map[string]any, len(claims))
	for name, v := range claims {
		if name != "cnf" && name != "status" {
			common[name] = v
		}
	}
	raw, err := encoding.JCS(common)
	if err != nil {
		return hufu.Digest{}, fmt.Errorf("wallet: %w", err)
	}
	return sha256.Sum256(raw), nil
}

// keyAt is the key under a DID URL, which must be one of owner's, as of a time.
func keyAt(v client.View, owner hufu.DID, url string, purpose uint8, at int64, unknown hufu.Rule) (keys.PublicKey, error) {
	var none keys.PublicKey
	named, fragment, err := hufu.SplitDIDURL(url)
	if err != nil || named != owner {
		return none, hufu.Refuse(unknown, "the key named is none of the signer's")
	}
	network, id, err := owner.Parse()
	if err != nil || network != v.Network() {
		return none, hufu.Refuse(unknown, "the signer is no DID of this ledger")
	}
	rec, err := did.Get(v, id)
	if err != nil {
		return none, err
	}
	if rec == nil {
		return none, hufu.Refuse(unknown, "the signer is no DID of this ledger")
	}
	return rec.KeyAt(fragment, purpose, at)
}

// keyOfIssuer is a key that a stranger publishes (SD-JWT VC, JWT VC Issuer Metadata).
type keyOfIssuer struct {
	id  string
	key keys.PublicKey
}

// maxIssuerKeys bounds the JSON of an issuer's keys.
const maxIssuerKeys = 64 << 10

// parseIssuerKeys reads a JWK Set and leaves out what are no keys of our suites.
func parseIssuerKeys(raw []byte) ([]keyOfIssuer, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := encoding.UnmarshalJSON(raw, maxIssuerKeys, &set); err != nil {
		return nil, hufu.Refuse(RuleRemote, "the issuer's keys are no JWK Set")
	}
	var out []keyOfIssuer
	for _, m := range set.Keys {
		if key, err := jws.KeyOf(m); err == nil {
			out = append(out, keyOfIssuer{jws.Header(m).Text("kid"), key})
		}
	}
	return out, nil
}

// issuerKeysDocument is an issuer's metadata with its keys or where they are.
type issuerKeysDocument struct {
	Issuer string          `json:"issuer"`
	JWKS   json.RawMessage `json:"jwks"`
	URI    string          `json:"jwks_uri"`
}
