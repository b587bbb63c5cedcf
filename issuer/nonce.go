package issuer

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// nonceLifetime is how long a nonce is good for: the time a person takes to confirm on a phone.
const nonceLifetime = 5 * time.Minute

// nonces gives nonces and takes each back once. A nonce carries its expiry under a MAC whose key
// belongs to the store, so giving one writes nothing, every process of the issuer takes it, and
// only used ones are kept.
type nonces struct {
	rand io.Reader
	key  []byte
}

const nonceBody = 16 + 8

func (n *nonces) next(now time.Time) (string, error) {
	b := make([]byte, nonceBody, nonceBody+16)
	if _, err := io.ReadFull(n.rand, b[:16]); err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	binary.BigEndian.PutUint64(b[16:], uint64(now.Add(nonceLifetime).Unix()))
	tag := mac(n.key, b)
	return base64.RawURLEncoding.EncodeToString(append(b, tag[:]...)), nil
}

// given reports whether nonce was given by this issuer and is not past its time.
func (n *nonces) given(nonce string, now time.Time) bool {
	until, ok := n.read(nonce)
	return ok && now.Unix() <= until
}

// use takes a nonce that was given, for one caller.
func (n *nonces) use(ctx context.Context, t *database.Tx, nonce string, now time.Time) error {
	until, ok := n.read(nonce)
	if !ok || until < now.Unix() {
		return hufu.Refuse(oid4vci.RuleNonce, "the nonce is unknown or too old")
	}
	switch first, err := t.Spend(ctx, "c_nonce", nonce, time.Unix(until, 0), now); {
	case err != nil:
		return err
	case !first:
		return hufu.Refuse(oid4vci.RuleNonce, "the nonce was used")
	}
	return nil
}

func (n *nonces) read(nonce string) (until int64, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != nonceBody+16 {
		return 0, false
	}
	tag := mac(n.key, b[:nonceBody])
	return int64(binary.BigEndian.Uint64(b[16:])), hmac.Equal(tag[:], b[nonceBody:])
}
