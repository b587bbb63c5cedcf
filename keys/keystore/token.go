package keystore

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hufu-id/hufu/keys"
)

// What goes wrong with tokens. Errors name the token by its label; none holds a PIN.
var (
	ErrNoPKCS11     = errors.New(`keystore: this program has no PKCS#11; build it with CGO_ENABLED=1 go build -tags pkcs11`)
	ErrModule       = errors.New("keystore: the PKCS#11 module does not load")
	ErrNoToken      = errors.New("keystore: the PKCS#11 token is not there")
	ErrPIN          = errors.New("keystore: the PKCS#11 token refuses the PIN")
	ErrPINLocked    = errors.New("keystore: the PKCS#11 token's PIN is locked, or would be with one more wrong PIN")
	ErrSuite        = errors.New("keystore: the PKCS#11 token does not have the signature suite")
	ErrTokenKeyGone = errors.New("keystore: the key is no longer in the PKCS#11 token")
	ErrToken        = errors.New("keystore: the PKCS#11 token failed")
)

// tokenKey is a signing key that is in a token, where it was made and which it never leaves.
type tokenKey struct {
	Name   string `cbor:"1,keyasint"`
	Suite  string `cbor:"2,keyasint"`
	Public []byte `cbor:"3,keyasint"` // [keys.PublicKey.Raw]
	Token  string `cbor:"4,keyasint"` // label, of one of contents.Tokens
	ID     []byte `cbor:"5,keyasint"` // CKA_ID of both halves
}

// token is an opened token. It is safe for concurrent use; what it needs of the device it gets when it is
// first used, and again after it was lost.
type token interface {
	// generate makes a key pair that never leaves the token.
	generate(label string, suite *keys.Suite) (id []byte, pub keys.PublicKey, err error)
	// sign returns the token's signature as its suite's mechanism makes it, r||s or R||S.
	sign(id []byte, suite *keys.Suite, message []byte) ([]byte, error)
	// destroy removes both halves of a key pair. One that is gone is no error.
	destroy(id []byte) error
	// check logs in and reports whether the token has suites.
	check(suites ...*keys.Suite) error
}

// UseToken has signing keys made in a token from now on, and says how to reach it from now on if the store has
// keys in it already. The token is asked whether it is there and takes the PIN first. Keys in the file stay
// there. The zero URI has new keys made in the file again.
func (s *Store) UseToken(u TokenURI) error {
	if u != (TokenURI{}) {
		t, err := openToken(u)
		if err != nil {
			return err
		}
		if err := t.check(); err != nil {
			return err
		}
	}
	return s.update(func(c *contents) (func() error, error) {
		c.NewIn = u.Token
		if u == (TokenURI{}) {
			return nil, nil
		}
		c.Tokens = slices.DeleteFunc(c.Tokens, func(text string) bool {
			old, err := ParseTokenURI(text)
			return err == nil && old.Token == u.Token
		})
		return nil, c.addToken(u)
	})
}

// Token is the token that new signing keys are made in; ok says whether there is one.
func (s *Store) Token() (u TokenURI, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data.NewIn == "" {
		return u, false
	}
	u, err := s.data.token(s.data.NewIn)
	return u, err == nil
}

func (c *contents) addToken(u TokenURI) error {
	if _, err := c.token(u.Token); err == nil {
		return nil
	}
	c.Tokens = append(c.Tokens, u.String())
	_, err := c.token(u.Token) // reads
	return err
}

func (c *contents) token(label string) (TokenURI, error) {
	for _, text := range c.Tokens {
		u, err := ParseTokenURI(text)
		if err != nil {
			return u, err
		}
		if u.Token == label {
			return u, nil
		}
	}
	return TokenURI{}, fmt.Errorf("%w: %q is not written down", ErrNoToken, label)
}

func (c *contents) openToken(label string) (token, error) {
	u, err := c.token(label)
	if err != nil {
		return nil, err
	}
	return openToken(u)
}

// generateInToken makes keys in the token for new keys. Should they not be kept, undo destroys them.
func (c *contents) generateInToken(suites map[string]*keys.Suite, made map[string]keys.Signer) (undo func() error, err error) {
	t, err := c.openToken(c.NewIn)
	if err != nil {
		return nil, err
	}
	if err := t.check(slices.Collect(maps.Values(suites))...); err != nil {
		return nil, err
	}
	var ids [][]byte
	undo = func() (err error) {
		for _, id := range ids {
			err = errors.Join(err, t.destroy(id))
		}
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(suites)) {
		id, pub, err := t.generate(name, suites[name])
		if err != nil {
			return undo, err
		}
		ids = append(ids, id)
		k := tokenKey{Name: name, Suite: suites[name].Name(), Public: pub.Raw(), Token: c.NewIn, ID: id}
		if made[name], err = c.tokenSigner(k); err != nil {
			return undo, err
		}
		c.TokenKeys = append(c.TokenKeys, k)
	}
	return undo, nil
}

// maxTokenID bounds a CKA_ID in bytes.
const maxTokenID = 64

func (c *contents) tokenSigner(k tokenKey) (*tokenSigner, error) {
	suite, err := keys.SuiteByName(k.Suite)
	if err != nil {
		return nil, err
	}
	pub, err := keys.NewPublicKey(suite, k.Public)
	if err != nil {
		return nil, err
	}
	if len(k.ID) == 0 || len(k.ID) > maxTokenID {
		return nil, errors.New("a key in a token has an id")
	}
	u, err := c.token(k.Token)
	return &tokenSigner{uri: u, id: k.ID, pub: pub}, err
}

// tokenSigner signs with a key in a token.
type tokenSigner struct {
	uri TokenURI
	id  []byte
	pub keys.PublicKey
}

func (s *tokenSigner) Public() keys.PublicKey { return s.pub }

// Sign has the token sign. What it gives is put into the one form that the ledger accepts, and checked: a token
// that signs with another key, or wrongly, is found before the signature leaves.
func (s *tokenSigner) Sign(_ io.Reader, message []byte) ([]byte, error) {
	t, err := openToken(s.uri)
	if err != nil {
		return nil, err
	}
	sig, err := t.sign(s.id, s.pub.Suite(), message)
	if err != nil {
		return nil, err
	}
	if s.pub.Suite() == keys.P256 {
		sig = keys.LowS(sig)
	}
	if !s.pub.VerifyConsensus(message, sig) {
		return nil, fmt.Errorf("%w: %q: its signature does not verify with the key that it has to be of", ErrToken, s.uri.Token)
	}
	return sig, nil
}
