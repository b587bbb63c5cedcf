package hufu_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"pgregory.net/rapid"
)

func TestNetworkNames(t *testing.T) {
	for name, want := range map[hufu.Network]bool{
		"demo": true, "cn-pilot": true, "0": true, "a--b": true,
		hufu.Network(strings.Repeat("a", hufu.MaxNetworkLen)):   true,
		hufu.Network(strings.Repeat("a", hufu.MaxNetworkLen+1)): false,
		"": false, "-a": false, "a-": false, "Demo": false, "a_b": false, "a:b": false, "é": false, "a b": false,
	} {
		if got := name.Valid(); got != want {
			t.Errorf("Network(%q).Valid() = %v", name, got)
		}
	}
}

func TestDIDParse(t *testing.T) {
	id := hufu.ID{1, 2, 3, 31: 9}
	good := id.DID("demo")
	if n, got, err := good.Parse(); err != nil || n != "demo" || got != id {
		t.Fatalf("Parse(%s) = %s %x %v", good, n, got, err)
	}
	short := hufu.EncodeMultibase(make([]byte, 31))
	long := hufu.EncodeMultibase(append([]byte{1}, make([]byte, 32)...))
	for name, did := range map[string]string{
		"empty":              "",
		"another method":     strings.Replace(string(good), "hufu", "web", 1),
		"upper-case scheme":  strings.Replace(string(good), "did", "DID", 1),
		"no identifier":      "did:hufu:demo",
		"empty identifier":   "did:hufu:demo:",
		"empty network":      strings.Replace(string(good), "demo", "", 1),
		"bad network":        strings.Replace(string(good), "demo", "De_mo", 1),
		"other base":         "did:hufu:demo:m" + "AAAA",
		"outside alphabet":   string(good[:len(good)-1]) + "0",
		"31 bytes":           "did:hufu:demo:" + short,
		"33 bytes":           "did:hufu:demo:" + long,
		"fragment":           good.URL("key-1"),
		"path":               string(good) + "/x",
		"trailing space":     string(good) + " ",
		"a very long string": "did:hufu:demo:z" + strings.Repeat("2", 1<<20),
	} {
		if _, _, err := hufu.DID(did).Parse(); err == nil {
			t.Errorf("%s accepted", name)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestSplitDIDURL(t *testing.T) {
	d, frag, err := hufu.SplitDIDURL("did:hufu:demo:z1#assert-1")
	if err != nil || d != "did:hufu:demo:z1" || frag != "assert-1" {
		t.Fatal(d, frag, err)
	}
	for _, bad := range []string{"", "did:hufu:demo:z1", "did:hufu:demo:z1#", "did:a/b#c", "did:a?b#c", "did:a#b#c"} {
		if _, _, err := hufu.SplitDIDURL(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestContractID(t *testing.T) {
	owner := hufu.ID{7}.DID("demo")
	want := hufu.ContractID{Owner: owner, Name: "reading-room"}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got hufu.ContractID
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Fatal(got, err)
	}
	for _, bad := range []string{
		"", string(owner), string(owner) + "/contracts/", string(owner) + "/contracts/a/b",
		string(owner) + "/contracts/a?b", string(owner) + "/contracts/a#b", "did:web:x/contracts/a", "/contracts/a",
	} {
		if _, err := hufu.ParseContractID(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// The examples of draft-msporny-base58 §5.
func TestMultibaseKnown(t *testing.T) {
	for text, data := range map[string]string{
		"z2NEpo7TZRRrLZSi2U": "Hello World!",
		"zUSm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z": "The quick brown fox jumps over the lazy dog.",
		"z11233QC4": "\x00\x00\x28\x7f\xb4\xcd",
		"z":         "",
		"z1":        "\x00",
	} {
		if got := hufu.EncodeMultibase([]byte(data)); got != text {
			t.Errorf("EncodeMultibase(%q) = %s", data, got)
		}
		if got, err := hufu.DecodeMultibase(text, len(data)); err != nil || string(got) != data {
			t.Errorf("DecodeMultibase(%s) = %q %v", text, got, err)
		}
		if len(data) > 0 {
			if _, err := hufu.DecodeMultibase(text, len(data)-1); err == nil {
				t.Errorf("%s accepted above its limit", text)
			}
		}
	}
	for _, bad := range []string{"", "2NEpo7", "m2NEpo7", "z0", "zI", "zO", "zl", "z2NEpo7TZRRrLZSi2U\n", "zé"} {
		if _, err := hufu.DecodeMultibase(bad, 64); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestMultibaseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := append(make([]byte, rapid.IntRange(0, 5).Draw(t, "zeros")), rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "data")...)
		text := hufu.EncodeMultibase(data)
		n, digits := new(big.Int).SetBytes(data), ""
		for n.Sign() > 0 {
			digit := new(big.Int)
			n.DivMod(n, big.NewInt(58), digit)
			digits = string("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit.Int64()]) + digits
		}
		zeros := len(data) - len(bytes.TrimLeft(data, "\x00"))
		if want := "z" + strings.Repeat("1", zeros) + digits; text != want {
			t.Fatalf("%x is written %s, not %s", data, text, want)
		}
		got, err := hufu.DecodeMultibase(text, len(data))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%x became %x, %v", data, got, err)
		}
	})
}

func FuzzDID(f *testing.F) {
	f.Add(string(hufu.ID{1}.DID("demo")))
	f.Add(string(hufu.ID{}.DID("a")))
	f.Add("did:hufu:demo:z1")
	f.Fuzz(func(t *testing.T, s string) {
		n, id, err := hufu.DID(s).Parse()
		if err == nil && string(id.DID(n)) != s {
			t.Fatalf("%q has a second spelling %q", s, id.DID(n))
		}
		if c, err := hufu.ParseContractID(s); err == nil && c.String() != s {
			t.Fatalf("contract %q is written %q", s, c)
		}
	})
}

func FuzzMultibase(f *testing.F) {
	f.Add("z2NEpo7TZRRrLZSi2U")
	f.Add("z111")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := hufu.DecodeMultibase(s, 64)
		if err == nil && (len(b) > 64 || hufu.EncodeMultibase(b) != s) {
			t.Fatalf("%q decodes to %x", s, b)
		}
	})
}

func TestDigestText(t *testing.T) {
	d := hufu.Digest{0xab, 31: 1}
	text, _ := d.MarshalText()
	var got hufu.Digest
	if err := got.UnmarshalText(text); err != nil || got != d {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "ab", string(text) + "00", "zz" + string(text[2:])} {
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestDecisionText(t *testing.T) {
	var zero hufu.Decision
	if zero != hufu.Deny || zero.String() != "deny" {
		t.Fatal("the zero decision does not deny")
	}
	for _, d := range []hufu.Decision{hufu.Allow, hufu.Deny} {
		text, _ := d.MarshalText()
		got := !d
		if err := got.UnmarshalText(text); err != nil || got != d {
			t.Fatal(got, err)
		}
	}
	for _, bad := range []string{"", "Allow", "true", "allow "} {
		d := hufu.Deny
		if err := d.UnmarshalText([]byte(bad)); err == nil || d != hufu.Deny {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestRefusals(t *testing.T) {
	err := fmt.Errorf("submitting: %w", hufu.Refuse("tx.expired", "at height %d", 7))
	if hufu.RuleOf(err) != "tx.expired" || hufu.RuleOf(errors.New("x")) != "" || hufu.RuleOf(nil) != "" {
		t.Fatal("RuleOf")
	}
	if !errors.Is(err, hufu.Refuse("tx.expired", "")) || errors.Is(err, hufu.Refuse("tx.network", "")) {
		t.Fatal("errors.Is does not go by the rule")
	}
	if err.Error() != "submitting: tx.expired: at height 7" {
		t.Fatal(err)
	}
}

func TestStatusNames(t *testing.T) {
	for s, want := range map[hufu.Status]string{0: "valid", 1: "revoked", 2: "suspended", 3: "status(3)"} {
		if s.String() != want {
			t.Errorf("%d is %q", s, s)
		}
	}
}
