package receipt

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// Type is the "typ" of a receipt's JWS header.
const Type = "hufu-receipt+jwt"

// MaxSize bounds a receipt, in bytes of its compact form.
const MaxSize = 16 << 10

// Rules that receipts are refused by.
const (
	RuleMalformed  hufu.Rule = "receipt.malformed"  // not a receipt, or one with impossible content
	RuleSignature  hufu.Rule = "receipt.signature"  // not signed by a key of the gate it names
	RuleNonce      hufu.Rule = "receipt.nonce"      // about another request
	RuleCommitment hufu.Rule = "receipt.commitment" // about other presentations
)

// Receipt is one decision. An answer that was refused before a contract could be found for it, because
// its nonce is unknown, has no contract, version, hash and ledger state.
type Receipt struct {
	Gate       hufu.DID        // who decided and signed
	Contract   hufu.ContractID // what was decided by; zero when unknown
	Version    uint32          // of the contract
	Hash       hufu.Digest     // SHA-256 of the contract's text
	AsOf       hufu.AsOf       // the ledger state it was decided on
	Staleness  time.Duration   // how old that state was, in whole seconds
	Decision   hufu.Decision   // allow or deny
	Policies   []string        // ids of the deciding policies, sorted
	Rule       hufu.Rule       // the rule the answer was refused by; empty when the policies decided
	Reason     string          // one sentence without personal data
	Time       time.Time       // when it was decided, in whole seconds
	Until      time.Time       // until when an allowed entry lasts; zero when denied
	Nonce      string          // of the request that was answered
	Commitment hufu.Digest     // see [Commit]
	Asked      *Asked          // how it was asked for; nil: in the default way
}

// Asked is how an answer was asked for, as far as presentations are bound to it, so that a decision can
// be made again. The default way is with the gate's DID as client identifier, for dc+sd-jwt, and nothing
// to consent to.
type Asked struct {
	Audience     string                  `json:"aud,omitempty"`          // client identifier or, with the prefix origin:, an origin; "": that of the gate's DID
	Format       string                  `json:"format,omitempty"`       // "": dc+sd-jwt
	ResponseURI  string                  `json:"response_uri,omitempty"` // of an mdoc's session transcript, like the next
	Thumbprint   string                  `json:"jkt,omitempty"`          // of the key that the answer was encrypted to, in base64url
	Transactions []oid4vp.TransactionRef `json:"transactions,omitempty"`
}

// Commit is the commitment to what was presented: SHA-256(nonce ‖ SHA-256(p₁) ‖ SHA-256(p₂) …) with the
// presentations in the order of the contract's credential queries.
func Commit(nonce string, presentations []string) hufu.Digest {
	h := sha256.New()
	h.Write([]byte(nonce))
	one, piece := sha256.New(), make([]byte, 512) // rather than a copy of each presentation
	for _, p := range presentations {
		one.Reset()
		for len(p) > 0 {
			n := copy(piece, p)
			one.Write(piece[:n])
			p = p[n:]
		}
		h.Write(one.Sum(piece[:0]))
	}
	return hufu.Digest(h.Sum(nil))
}

// payload is the receipt's JSON form. Times are seconds since 1970.
type payload struct {
	Issuer     hufu.DID         `json:"iss"`
	IssuedAt   int64            `json:"iat"`
	Expires    int64            `json:"exp,omitempty"`
	Nonce      string           `json:"nonce"`
	Contract   *hufu.ContractID `json:"contract,omitempty"`
	Version    uint32           `json:"contract_version,omitempty"`
	Hash       *hufu.Digest     `json:"contract_hash,omitempty"`
	Height     hufu.Height      `json:"height,omitempty"`
	StateTime  int64            `json:"state_time,omitempty"`
	AppHash    *hufu.Digest     `json:"app_hash,omitempty"`
	Staleness  int64            `json:"staleness,omitempty"`
	Decision   hufu.Decision    `json:"decision"`
	Policies   []string         `json:"policies,omitempty"`
	Rule       hufu.Rule        `json:"rule,omitempty"`
	Reason     string           `json:"reason,omitempty"`
	Commitment hufu.Digest      `json:"commitment"`
	Asked      *Asked           `json:"asked,omitempty"`
}

// Make signs r as a JWS whose kid is keyID, a DID URL of the gate.
func Make(rand io.Reader, signer keys.Signer, keyID string, r *Receipt) (string, error) {
	p := payload{
		Issuer: r.Gate, IssuedAt: r.Time.Unix(), Nonce: r.Nonce, Decision: r.Decision, Policies: r.Policies,
		Rule: r.Rule, Reason: r.Reason, Commitment: r.Commitment, Asked: r.Asked,
	}
	if !r.Until.IsZero() {
		p.Expires = r.Until.Unix()
	}
	if r.Contract != (hufu.ContractID{}) {
		p.Contract, p.Version, p.Hash = &r.Contract, r.Version, &r.Hash
	}
	if r.AsOf.Height != 0 {
		p.Height, p.StateTime, p.AppHash = r.AsOf.Height, r.AsOf.Time.Unix(), &r.AsOf.AppHash
		p.Staleness = int64(r.Staleness / time.Second)
	}
	body, err := jws.MarshalJSON(p)
	if err != nil {
		return "", err
	}
	return jws.Sign(rand, jws.Header{"typ": Type, "kid": keyID}, body, signer)
}

// Signed is a receipt that was read but whose signature was not checked.
type Signed struct {
	Receipt
	KeyID string // DID URL of the key it says it is signed with; a key of Gate
	token *jws.Message
}

// Parse reads a receipt strictly, without checking its signature.
func Parse(token string) (*Signed, error) {
	t, err := jws.Parse(token, MaxSize)
	if err != nil {
		return nil, hufu.Refuse(RuleMalformed, "not a JWS")
	}
	if t.Header.Text("typ") != Type {
		return nil, hufu.Refuse(RuleMalformed, "typ is not %s", Type)
	}
	var p payload
	if err := encoding.UnmarshalJSON(t.Payload, MaxSize, &p); err != nil {
		return nil, hufu.Refuse(RuleMalformed, "payload is not a receipt")
	}
	s := &Signed{KeyID: t.Header.Text("kid"), token: t}
	if s.Receipt, err = p.receipt(); err != nil {
		return nil, hufu.Refuse(RuleMalformed, "%v", err)
	}
	did, _, err := hufu.SplitDIDURL(s.KeyID)
	if err != nil || did != s.Gate {
		return nil, hufu.Refuse(RuleSignature, "kid is no key of the gate that the receipt names")
	}
	return s, nil
}

func (p *payload) receipt() (Receipt, error) {
	r := Receipt{
		Gate: p.Issuer, Decision: p.Decision, Policies: p.Policies, Rule: p.Rule, Reason: p.Reason,
		Time: time.Unix(p.IssuedAt, 0).UTC(), Nonce: p.Nonce, Commitment: p.Commitment,
		Staleness: time.Duration(p.Staleness) * time.Second, Asked: p.Asked,
	}
	switch {
	case p.IssuedAt <= 0 || p.Expires < 0 || p.Staleness < 0 || p.StateTime < 0:
		return r, errors.New("a time out of range")
	case (p.Contract == nil) != (p.Hash == nil) || (p.Contract == nil) != (p.Version == 0):
		return r, errors.New("contract, contract_version and contract_hash go together")
	case (p.Height == 0) != (p.AppHash == nil) || (p.Height == 0) != (p.StateTime == 0):
		return r, errors.New("height, state_time and app_hash go together")
	case p.Decision == hufu.Allow && (p.Contract == nil || p.Height == 0 || p.Rule != ""):
		return r, errors.New("allowed without contract and ledger state, or against a rule")
	}
	if p.Expires != 0 {
		r.Until = time.Unix(p.Expires, 0).UTC()
	}
	if p.Contract != nil {
		r.Contract, r.Version, r.Hash = *p.Contract, p.Version, *p.Hash
	}
	if p.Height != 0 {
		r.AsOf = hufu.AsOf{Height: p.Height, Time: time.Unix(p.StateTime, 0).UTC(), AppHash: *p.AppHash}
	}
	return r, nil
}

// Verify checks the signature with key, which the caller took from the ledger for s.KeyID.
func (s *Signed) Verify(key keys.PublicKey) error {
	if err := s.token.Verify(key); err != nil {
		return hufu.Refuse(RuleSignature, "the signature is not by the gate's key")
	}
	return nil
}

// Answers checks that the receipt is about this request and these presentations, given in the order of
// the contract's credential queries.
func (s *Signed) Answers(nonce string, presentations []string) error {
	switch {
	case s.Nonce != nonce:
		return hufu.Refuse(RuleNonce, "the receipt is about another request")
	case s.Commitment != Commit(nonce, presentations):
		return hufu.Refuse(RuleCommitment, "the receipt commits to other presentations")
	}
	return nil
}

// LogEntry is what a gate's log has of a receipt: the SHA-256 of the signed token. The token has no claim, and a
// signature besides, so the entry says nothing to whoever does not have the receipt.
func LogEntry(token string) hufu.Digest { return sha256.Sum256([]byte(token)) }
