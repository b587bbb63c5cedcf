package issuer

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"
)

// nonceLifetime is how long a nonce is good for: the time a person takes to confirm on a phone.
const nonceLifetime = 5 * time.Minute

// nonces gives nonces and takes each back once. A nonce carries its expiry under a MAC, so only used
// ones are remembered; the key lives as long as the process, so a restart ends all of them.
type nonces struct {
	rand io.Reader
	key  [32]byte

	mu    sync.Mutex
	used  map[string]int64 // until when, unix seconds
	swept int64
}

func newNonces(rand io.Reader) (*nonces, error) {
	n := &nonces{rand: rand, used: map[string]int64{}}
	if _, err := io.ReadFull(rand, n.key[:]); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return n, nil
}

const nonceBody = 16 + 8

func (n *nonces) next(now time.Time) (string, error) {
	b := make([]byte, nonceBody, nonceBody+16)
	if _, err := io.ReadFull(n.rand, b[:16]); err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	binary.BigEndian.PutUint64(b[16:], uint64(now.Add(nonceLifetime).Unix()))
	tag := mac(n.key[:], b)
	return base64.RawURLEncoding.EncodeToString(append(b, tag[:]...)), nil
}

// good reports whether nonce was given, is not used and not past its time.
func (n *nonces) good(nonce string, now time.Time) bool {
	until, ok := n.read(nonce)
	if !ok || until < now.Unix() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, used := n.used[nonce]
	return !used
}

// use takes a good nonce, for one caller.
func (n *nonces) use(nonce string, now time.Time) bool {
	until, ok := n.read(nonce)
	if !ok || until < now.Unix() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, used := n.used[nonce]; used {
		return false
	}
	if at := now.Unix(); at >= n.swept+int64(nonceLifetime/time.Second) {
		for old, end := range n.used {
			if end < at {
				delete(n.used, old)
			}
		}
		n.swept = at
	}
	n.used[nonce] = until
	return true
}

func (n *nonces) read(nonce string) (until int64, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(nonce)
	if err != nil || len(b) != nonceBody+16 {
		return 0, false
	}
	tag := mac(n.key[:], b[:nonceBody])
	return int64(binary.BigEndian.Uint64(b[16:])), hmac.Equal(tag[:], b[nonceBody:])
}
