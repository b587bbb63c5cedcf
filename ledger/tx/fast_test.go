package tx

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

const fastNetwork hufu.Network = "fast"

// compareRead holds readCreate to the general way: what it reads, the general way reads alike.
func compareRead(t rapid.TB, payload []byte) (read bool) {
	t.Helper()
	var fast, slow Payload
	var room createRoom
	var slowBody DIDCreate
	if !readCreate(payload, fastNetwork, &fast, &room) {
		return false
	}
	fastBody := room.body
	if err := encoding.Unmarshal(payload, &slow); err != nil {
		t.Fatalf("%x is read, and the general way refuses it: %v", payload, err)
	}
	if err := encoding.Unmarshal(slow.Body, &slowBody); err != nil {
		t.Fatalf("%x is read, and the general way refuses its body: %v", payload, err)
	}
	if !reflect.DeepEqual(fast, slow) || !reflect.DeepEqual(fastBody, slowBody) {
		t.Fatalf("%x is %+v with %+v, and the general way %+v with %+v", payload, fast, fastBody, slow, slowBody)
	}
	return true
}

func drawCreate(t *rapid.T) (Payload, DIDCreate) {
	blob := rapid.SliceOfN(rapid.Byte(), 0, 40)
	digest := rapid.Custom(func(t *rapid.T) (d hufu.Digest) {
		copy(d[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		return d
	})
	b := DIDCreate{
		Keys: rapid.SliceOfN(blob, 0, MaxControlKeys).Draw(t, "keys"), Threshold: rapid.Uint8().Draw(t, "threshold"),
		Next: rapid.SliceOfN(digest, 0, MaxControlKeys).Draw(t, "next"), NextThreshold: rapid.Uint8().Draw(t, "next threshold"),
		Salt: blob.Draw(t, "salt"),
	}
	p := Payload{
		Network: fastNetwork, Kind: KindDIDCreate, Author: hufu.ID(digest.Draw(t, "author")),
		Sequence: rapid.Uint64().Draw(t, "sequence"), Expires: hufu.Height(rapid.Uint64().Draw(t, "expires")),
	}
	if rapid.Bool().Draw(t, "sponsored") {
		id := hufu.ID(digest.Draw(t, "sponsor"))
		p.Sponsor = &id
	}
	return p, b
}

// Every plain creation is read in the single pass, and nothing with methods, services or guardians; of what
// was made of it by changing bytes, nothing that the general way does not read alike.
func TestReadCreate(t *testing.T) {
	altered := 0
	rapid.Check(t, func(t *rapid.T) {
		p, b := drawCreate(t)
		plain := rapid.Bool().Draw(t, "plain")
		if !plain {
			switch rapid.IntRange(0, 4).Draw(t, "not plain") {
			case 0:
				b.Methods = []Method{{Fragment: "m"}}
			case 1:
				b.Services = []Service{{Fragment: "s"}}
			case 2:
				b.Guard = &Guard{}
			case 3:
				p.Network += "er"
			default:
				p.Kind = KindDIDRotate
			}
		}
		var err error
		if p.Body, err = encoding.Marshal(&b); err != nil {
			t.Fatal(err)
		}
		raw, err := encoding.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		if read := compareRead(t, raw); read != plain {
			t.Fatalf("%+v with %+v: read is %v", p, b, read)
		}
		if compareRead(t, raw[:rapid.IntRange(0, len(raw)-1).Draw(t, "cut")]) || compareRead(t, append(bytes.Clone(raw), 0)) {
			t.Fatalf("%x: read with an end that is missing, or with more", raw)
		}
		raw[rapid.IntRange(0, len(raw)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if compareRead(t, raw) {
			altered++
		}
	})
	if altered == 0 {
		t.Error("nothing that was changed was read")
	}
}

// FuzzReadCreate compares on whatever bytes.
func FuzzReadCreate(f *testing.F) {
	for _, salt := range [][]byte{nil, make([]byte, SaltLen)} {
		b := DIDCreate{Keys: [][]byte{{0xed, 1}}, Threshold: 1, Next: []hufu.Digest{{1}}, NextThreshold: 1, Salt: salt}
		p := Payload{Network: fastNetwork, Kind: KindDIDCreate, Author: hufu.ID{1}, Expires: 300, Sponsor: &hufu.ID{2}}
		p.Body, _ = encoding.Marshal(&b)
		raw, err := encoding.Marshal(&p)
		if err != nil || !compareRead(f, raw) {
			f.Fatalf("the seed is not read: %v", err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, payload []byte) { compareRead(t, payload) })
}

// A key that is no point is refused by Parse, and by ParseDeferred only when it does not sign; CheckKeys has
// the same refusal.
func TestParseDeferred(t *testing.T) {
	noPoint := append([]byte{0xed, 0x01, 2}, make([]byte, 31)...)
	if _, err := keys.ParseMultikey(noPoint); err == nil {
		t.Fatal("it is a point")
	}
	signer, err := keys.Ed25519.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		index  uint8 // of the key that signs, the other of the two being a point
		defers bool
	}{{"signs", 0, true}, {"does not sign", 1, false}, {"nobody's signs", 7, false}} {
		t.Run(c.name, func(t *testing.T) {
			body := DIDCreate{Keys: [][]byte{noPoint, signer.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{{1}}, NextThreshold: 1}
			p := Payload{Network: fastNetwork, Kind: KindDIDCreate, Expires: 9}
			p.Body, _ = encoding.Marshal(&body)
			p.Author = inceptionID(fastNetwork, p.Body)
			payload, err := encoding.Marshal(&p)
			if err != nil {
				t.Fatal(err)
			}
			raw := message(payload, []Signature{{Sig: make([]byte, keys.SignatureLen), protected: protectedHeader(-8, p.Author, c.index)}})
			_, want := Parse(raw, fastNetwork)
			if hufu.RuleOf(want) != RuleBody {
				t.Fatalf("Parse: %v", want)
			}
			parsed, err := ParseDeferred(raw, sha256.Sum256(raw), fastNetwork)
			if !c.defers {
				if err == nil || err.Error() != want.Error() {
					t.Fatalf("%v, not %v", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := parsed.CheckKeys(); err == nil || err.Error() != want.Error() {
				t.Errorf("%v, not %v", err, want)
			}
			if key := parsed.ControlKeys()[0]; key.VerifyConsensus(parsed.SigningBytes(0), parsed.Signatures[0].Sig) || !bytes.Equal(key.Multikey(), noPoint) {
				t.Error("a signature holds for what is no point")
			}
		})
	}
}

func BenchmarkParseDeferred(b *testing.B) {
	signer, err := keys.Ed25519.Generate(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	body := &DIDCreate{Keys: [][]byte{signer.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{{1}}, NextThreshold: 1}
	raw, err := Build(nil, Payload{Network: fastNetwork, Expires: 9, Sponsor: &hufu.ID{1}}, body, SignerRef{Signer: signer})
	if err != nil {
		b.Fatal(err)
	}
	id := hufu.Digest(sha256.Sum256(raw))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseDeferred(raw, id, fastNetwork); err != nil {
			b.Fatal(err)
		}
	}
}
