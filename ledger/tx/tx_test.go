package tx_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
)

const network hufu.Network = "demo"

// key is the key of a suite whose secret is one byte, repeated.
func key(t testing.TB, s *keys.Suite, n byte) keys.Signer {
	t.Helper()
	k, err := s.Load(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// id is an identifier of one byte, repeated.
func id(n byte) (out hufu.ID) {
	copy(out[:], bytes.Repeat([]byte{n}, len(out)))
	return out
}

func inception(t testing.TB) *tx.DIDCreate {
	return &tx.DIDCreate{
		Keys: [][]byte{key(t, keys.Ed25519, 1).Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{key(t, keys.Ed25519, 2).Public().Digest()}, NextThreshold: 1,
	}
}

func build(t testing.TB, p tx.Payload, body tx.Body, signers ...tx.SignerRef) []byte {
	t.Helper()
	raw, err := tx.Build(rand.Reader, p, body, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func parse(t testing.TB, raw []byte) *tx.Tx {
	t.Helper()
	parsed, err := tx.Parse(raw, network)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// The bytes of a transaction are frozen.
const golden = `
d862                                                    # tag 98: COSE_Sign
84                                                      # array of 4
  40                                                    #   body protected header: empty
  a0                                                    #   body unprotected header: empty
  588b                                                  #   payload, 139 bytes
    a6                                                  #     map of 6
      01 6464656d6f                                     #       network: "demo"
      02 6a6469642e637265617465                         #       kind: "did.create"
      03 5820 ID                                        #       author: digest of the inception
      04 00                                             #       sequence: 0
      05 1864                                           #       expires: block 100
      07                                                #       body
        a4                                              #         map of 4
          01 81 5822                                    #           keys: 1 of 34 bytes
             ed01 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c # Ed25519
          02 01                                         #           threshold: 1
          03 81 5820                                    #           next key digests: 1
             6c303aa28a7d3c8239b7c501ed6ed63116a288dc7088215ef7ac61e50f52495b #
          04 01                                         #           next threshold: 1
  81                                                    #   signatures: 1
    83                                                  #     array of 3
      5827                                              #       protected header, 39 bytes
        a2                                              #         map of 2
          01 27                                         #           alg: -8, EdDSA
          04 5821 ID 00                                 #           kid: signer and key 0
      a0                                                #       unprotected header: empty
      5840 SIG                                          #       signature
`

const (
	goldenID  = "98538a40eb48953ccaae31bce690d8cc204a4c19cc0d9fe419dd68f4f8a154cd"
	goldenSig = "890e5439c16173fb3225a3b2498bf0c145be2f7af731dd5746580cf7f2fc6cb0b6ed14281b691ce228989497909cbbb6c8d2b002c98814dc9b2ca3a5ef2f5f01"
	goldenTx  = "8ac9ec685e307f154f2feeaca265c7572c97b9501b1b442811c40a4354cd4cc7"
)

// annotated removes comments and spaces and puts in the long values.
func annotated(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		out.WriteString(strings.Join(strings.Fields(line), ""))
	}
	return strings.NewReplacer("ID", goldenID, "SIG", goldenSig).Replace(out.String())
}

func TestGolden(t *testing.T) {
	raw := build(t, tx.Payload{Network: network, Expires: 100}, inception(t), tx.SignerRef{Signer: key(t, keys.Ed25519, 1)})
	if got := hex.EncodeToString(raw); got != annotated(golden) {
		t.Errorf("got\n%s\nwant\n%s", got, annotated(golden))
	}
	parsed := parse(t, raw)
	if parsed.ID().String() != goldenTx {
		t.Errorf("transaction %s", parsed.ID())
	}
	if got := hex.EncodeToString(parsed.SigningBytes(0)); got != annotated(goldenSigned) {
		t.Errorf("signed\n%s\nwant\n%s", got, annotated(goldenSigned))
	}
	if got := tx.InceptionID(network, inception(t)); hex.EncodeToString(got[:]) != goldenID {
		t.Errorf("identifier %x", got)
	}
	digest := sha256.Sum256(append([]byte("hufu/did/v1\x00demo\x00"), parsed.Payload.Body...))
	if hex.EncodeToString(digest[:]) != goldenID {
		t.Error("the identifier is not the digest that the documentation says")
	}
}

// The Sig_structure of RFC 9052 §4.4 for it.
const goldenSigned = `
85                                    # array of 5
  69 5369676e6174757265               #   "Signature"
  40                                  #   body protected header: empty
  5827 a20127045821 ID 00             #   the signature's protected header
  4f 687566752f74782f76310064656d6f   #   external data: "hufu/tx/v1", 0, "demo"
  588b                                #   payload
    a6 01 6464656d6f 02 6a6469642e637265617465 03 5820 ID 04 00 05 1864 07
    a4 01 81 5822 ed01 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c 02 01
       03 81 5820 6c303aa28a7d3c8239b7c501ed6ed63116a288dc7088215ef7ac61e50f52495b 04 01
`
