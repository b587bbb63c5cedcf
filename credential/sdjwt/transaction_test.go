package sdjwt_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

// TestTransactionHashes: what a holder signs beside the credential comes out at the verifier, and only
// in the one form it has.
func TestTransactionHashes(t *testing.T) {
	s := newScene(t, keys.P256)
	kb := s.keyBinding()
	kb.TransactionHashes, kb.TransactionHashAlg = []string{"fOBUSQvo46yQO-wRwXBcGqvnbKIueISEL961_Sjd4do", "x"}, "sha-256"
	p, err := s.credential(t).Present(rand.Reader, nil, kb)
	if err != nil {
		t.Fatal(err)
	}
	v, err := sdjwt.Verify(p, s.params())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(v.TransactionHashes, kb.TransactionHashes) || v.TransactionHashAlg != "sha-256" {
		t.Errorf("signed %v, read %v %q", kb.TransactionHashes, v.TransactionHashes, v.TransactionHashAlg)
	}
	if v, err = sdjwt.Verify(s.present(t), s.params()); err != nil || v.TransactionHashes != nil || v.TransactionHashAlg != "" {
		t.Errorf("nothing signed, read %v: %v", v, err)
	}

	presented := s.present(t)
	presented = presented[:strings.LastIndexByte(presented, '~')+1]
	for _, list := range []string{`[]`, `"x"`, `{}`, `[1]`, `["x",null]`, `null`} {
		payload := fmt.Sprintf(`{"aud":"%s","nonce":"%s","iat":%d,"sd_hash":"%s","transaction_data_hashes":%s}`,
			audience, nonce, s.now.Unix(), digest(presented), list)
		_, err := sdjwt.Verify(presented+s.token(t, s.holder, `{"alg":"ES256","typ":"kb+jwt"}`, payload), s.params())
		wantRule(t, err, sdjwt.RuleMalformed)
	}
}
