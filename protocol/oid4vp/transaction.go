package oid4vp

import (
	"crypto/sha256"
	"encoding/json"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

// Limits of transaction_data. A person reads all of it before consenting.
const (
	MaxTransactions = 8
	MaxTransaction  = 8 << 10 // bytes of one, encoded
)

// HashSHA256 is the one algorithm that transactions are hashed with (§B.3.3.1).
const HashSHA256 = "sha-256"

// TypeStatement is the type of transaction that wallets of this network understand: a statement, which
// is shown to the person as it is, in the member "statement".
const TypeStatement = "urn:hufu:transaction:statement:1"

// MaxStatement bounds the bytes of the text of a [TypeStatement].
const MaxStatement = 2048

// Transaction is one element of transaction_data (§5.1, §8.4): what the person is asked to consent to
// with the presentation.
type Transaction struct {
	Type        string
	Credentials []string        // ids of the credential queries that can consent to it
	HashAlgs    []string        // transaction_data_hashes_alg; none: sha-256
	JSON        json.RawMessage // the whole object
	Raw         string          // as it is sent, in base64url
}

type transactionJSON struct {
	Type        string   `json:"type"`
	Credentials []string `json:"credential_ids"`
	HashAlgs    []string `json:"transaction_data_hashes_alg"`
	Statement   *string  `json:"statement"`
}

// NewTransaction makes a transaction of an object with the members that its type has; type and
// credential_ids are among them. It refuses with [RuleTransaction].
func NewTransaction(object json.RawMessage) (Transaction, error) {
	return ParseTransaction(jws.EncodeBase64(object))
}

// NewStatement makes a transaction of [TypeStatement] that any of the credentials can consent to.
func NewStatement(statement string, credentials ...string) (Transaction, error) {
	object, err := jws.MarshalJSON(map[string]any{
		"type": TypeStatement, "credential_ids": credentials, "transaction_data_hashes_alg": []string{HashSHA256}, "statement": statement,
	})
	if err != nil {
		return Transaction{}, err
	}
	return NewTransaction(object)
}

// ParseTransaction reads one element of transaction_data. It refuses with [RuleTransaction]. Whether the
// type is one that can be shown to a person is the wallet's to decide; see [Transaction.Statement].
func ParseTransaction(raw string) (Transaction, error) {
	refuse := func(detail string) (Transaction, error) {
		return Transaction{}, hufu.Refuse(RuleTransaction, "%s", detail)
	}
	if len(raw) > MaxTransaction {
		return refuse("longer than the limit")
	}
	text, err := jws.DecodeBase64(raw)
	if err != nil {
		return refuse("not base64url")
	}
	var t transactionJSON
	if err := encoding.UnmarshalJSON(text, MaxTransaction, &t); err != nil {
		return refuse("not a JSON object of its form")
	}
	switch {
	case t.Type == "" || len(t.Type) > 256:
		return refuse("no type")
	case len(t.Credentials) == 0 || slices.Contains(t.Credentials, ""):
		return refuse("credential_ids is no list of ids")
	case t.HashAlgs != nil && !slices.Contains(t.HashAlgs, HashSHA256):
		return refuse("transaction_data_hashes_alg without sha-256")
	case t.Type == TypeStatement && (t.Statement == nil || *t.Statement == "" || len(*t.Statement) > MaxStatement):
		return refuse("no statement of the length that a person reads")
	}
	return Transaction{Type: t.Type, Credentials: t.Credentials, HashAlgs: t.HashAlgs, JSON: text, Raw: raw}, nil
}

// Statement is the text of a [TypeStatement], to be shown to the person; ok is false for other types.
func (t Transaction) Statement() (text string, ok bool) {
	var o transactionJSON
	if t.Type != TypeStatement || encoding.UnmarshalJSON(t.JSON, MaxTransaction, &o) != nil || o.Statement == nil {
		return "", false
	}
	return *o.Statement, true
}

// Hash is the transaction's hash in transaction_data_hashes: of the text as it was sent (§B.3.3.1).
func (t Transaction) Hash() string {
	sum := sha256.Sum256([]byte(t.Raw))
	return jws.EncodeBase64(sum[:])
}

// TransactionRef is what is needed of a transaction to check consent to it; it says nothing about what
// was consented to.
type TransactionRef struct {
	Hash        string   `json:"hash"`
	Credentials []string `json:"credential_ids"`
	Alg         string   `json:"alg,omitempty"` // transaction_data_hashes_alg that the consent has to repeat
}

// Ref is what is needed of t to check consent.
func (t Transaction) Ref() TransactionRef {
	return TransactionRef{Hash: t.Hash(), Credentials: t.Credentials, Alg: t.HashAlg()}
}

// HashAlg is transaction_data_hashes_alg of a key binding that consents to t: "" unless t names one.
func (t Transaction) HashAlg() string {
	if t.HashAlgs == nil {
		return ""
	}
	return HashSHA256
}

// Consent is what the key binding of a verified presentation consents to.
type Consent struct {
	Hashes []string // transaction_data_hashes
	Alg    string   // transaction_data_hashes_alg
}

// CheckConsent checks that every transaction was consented to with one of the credentials it names, and
// that nothing else was. given holds the key bindings by the id of the credential query. It refuses with
// [RuleTransaction].
func CheckConsent(asked []TransactionRef, given map[string]Consent) error {
	for i := range asked {
		t := &asked[i]
		found := slices.ContainsFunc(t.Credentials, func(id string) bool {
			c, ok := given[id]
			return ok && slices.Contains(c.Hashes, t.Hash) && (c.Alg == HashSHA256 || c.Alg == t.Alg)
		})
		if !found {
			return hufu.Refuse(RuleTransaction, "transaction %d was not consented to", i+1)
		}
	}
	for id, c := range given {
		for _, hash := range c.Hashes {
			if !slices.ContainsFunc(asked, func(t TransactionRef) bool { return t.Hash == hash && slices.Contains(t.Credentials, id) }) {
				return hufu.Refuse(RuleTransaction, "a presentation consents to what was not asked")
			}
		}
	}
	return nil
}
