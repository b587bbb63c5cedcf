package tx_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

// again writes what parsed says once more, without using what it was read from.
func again(t testing.TB, parsed *tx.Tx) []byte {
	payload := parsed.Payload
	payload.Body = marshal(t, parsed.Body)
	p := parts{tag: 98, payload: marshal(t, &payload)}
	for _, s := range parsed.Signatures {
		p.sigs = append(p.sigs, sigParts{protected: marshal(t, protected(s.Signer, s.KeyIndex, s.Alg)), sig: s.Sig})
	}
	return p.message(t)
}

// What parses has one form, and it is the one that was parsed.
func FuzzParse(f *testing.F) {
	for _, b := range bodies(f) {
		p := tx.Payload{Network: network, Author: id(1), Sequence: 1, Expires: 10}
		if b.Kind() == tx.KindDIDCreate {
			p.Author, p.Sequence = hufu.ID{}, 0
		}
		f.Add(build(f, p, b, tx.SignerRef{Signer: key(f, keys.Ed25519, 1)}))
	}
	f.Add(good(f, fields()).message(f))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, err := tx.Parse(raw, network)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("refused without a rule: %v", err)
			}
			return
		}
		if !bytes.Equal(again(t, parsed), raw) {
			t.Fatalf("read %x, would write %x", raw, again(t, parsed))
		}
	})
}

// drawBody draws a body of any kind, not always a valid one.
func drawBody(t *rapid.T, tb testing.TB) tx.Body {
	name := rapid.StringMatching(`[a-z]{1,40}`)
	list := bodies(tb)
	b := list[rapid.IntRange(0, len(list)-1).Draw(t, "kind")]
	switch b := b.(type) {
	case *tx.DIDCreate:
		b.Salt = rapid.SliceOfN(rapid.Byte(), 0, 17).Draw(t, "salt")
	case *tx.DIDRotate:
		b.Fall = rapid.Bool().Draw(t, "fall")
		b.NextThreshold = rapid.Uint8Range(0, 2).Draw(t, "threshold")
		b.Guard.Threshold = rapid.Uint8Range(0, 4).Draw(t, "guardians")
		if rapid.Bool().Draw(t, "no guard") {
			b.Guard = rapid.SampledFrom([]*tx.Guard{nil, {}}).Draw(t, "guard")
		}
	case *tx.DIDUpdate:
		if rapid.Bool().Draw(t, "no services") {
			b.SetServices = nil
		}
		b.AddMethods[0].Fragment = name.Draw(t, "fragment")
	case *tx.DIDRecover:
		b.Salt = rapid.SliceOfN(rapid.Byte(), 15, 17).Draw(t, "salt")
		b.Plan.First = rapid.Uint16().Draw(t, "first")
		b.Plan.Fall = rapid.Bool().Draw(t, "fall")
	case *tx.GovPropose:
		b.Actions = b.Actions[:rapid.IntRange(0, len(b.Actions)).Draw(t, "actions")]
	case *tx.TrustAccredit:
		b.Grant.NotAfter = rapid.Int64().Draw(t, "not after")
	case *tx.StatusSet:
		b.Changes[0].Indexes = rapid.SliceOf(rapid.Uint64Range(0, 1<<25)).Draw(t, "indexes")
	case *tx.StatusOpen:
		b.List = rapid.Uint64().Draw(t, "list")
	case *tx.ContractPublish:
		b.Text = rapid.String().Draw(t, "text")
	case *tx.AnchorCommit:
		b.Checkpoint = checkpoint(tb, "receipts", rapid.Uint64Range(1, tlog.MaxSize).Draw(t, "size"), hufu.Digest{3})
		b.Proof = b.Proof[:rapid.IntRange(0, 2).Draw(t, "proof")]
	case *tx.AnchorReport:
		b.Path = b.Path[:rapid.IntRange(1, 2).Draw(t, "path")]
	}
	return b
}

// Whatever Build accepts parses to what was built, and no bit of it can change unseen: it no longer
// parses, or is another transaction.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		body := drawBody(rt, t)
		p := tx.Payload{Network: network, Author: id(1), Sequence: rapid.Uint64().Draw(rt, "sequence"), Expires: hufu.Height(rapid.Uint64().Draw(rt, "expires"))}
		if body.Kind() == tx.KindDIDCreate {
			p.Author, p.Sequence = hufu.ID{}, 0
		}
		signer := tx.SignerRef{Signer: key(t, keys.Ed25519, 1), KeyIndex: rapid.Uint8().Draw(rt, "key")}
		raw, err := tx.Build(rand.Reader, p, body, signer)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				rt.Fatalf("refused without a rule: %v", err)
			}
			return
		}
		parsed, err := tx.Parse(raw, network)
		if err != nil {
			rt.Fatal(err)
		}
		want, _ := encoding.Marshal(body)
		if !bytes.Equal(parsed.Payload.Body, want) || parsed.Payload.Expires != p.Expires || parsed.Signatures[0].KeyIndex != signer.KeyIndex {
			rt.Fatalf("built %+v, parsed %+v", p, parsed.Payload)
		}
		bad := bytes.Clone(raw)
		bad[rapid.IntRange(0, len(bad)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if other, err := tx.Parse(bad, network); err == nil {
			if !bytes.Equal(again(t, other), bad) {
				rt.Fatalf("altered, and read as something else: %x", bad)
			}
			if signer.Signer.Public().VerifyConsensus(other.SigningBytes(0), other.Signatures[0].Sig) {
				rt.Fatalf("altered, and the signature holds: %x", bad)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw := build(b, tx.Payload{Network: network, Expires: 100}, inception(b), tx.SignerRef{Signer: key(b, keys.Ed25519, 1)})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tx.Parse(raw, network); err != nil {
			b.Fatal(err)
		}
	}
}
