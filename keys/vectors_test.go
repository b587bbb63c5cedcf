package keys_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/hufu-id/hufu/keys"
)

const vectors = "../../shared/vectors/wycheproof"

type group struct {
	PublicKey struct {
		PK           string `json:"pk"`
		Uncompressed string `json:"uncompressed"`
	} `json:"publicKey"`
	Tests []struct {
		ID      int    `json:"tcId"`
		Comment string `json:"comment"`
		Msg     string `json:"msg"`
		Sig     string `json:"sig"`
		Result  string `json:"result"`
	} `json:"tests"`
}

func load(t *testing.T, name string) []group {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectors, name))
	if err != nil {
		t.Skipf("SKIPPED: the Wycheproof vectors %s are not present", name)
	}
	var file struct {
		Groups []group `json:"testGroups"`
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Groups) == 0 {
		t.Fatal("no groups", err)
	}
	return file.Groups
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compress(point []byte) []byte {
	return append([]byte{2 + point[64]&1}, point[1:33]...)
}

func TestWycheproofEd25519(t *testing.T) {
	n := 0
	for _, g := range load(t, "ed25519_test.json") {
		pub, err := keys.NewPublicKey(keys.Ed25519, unhex(t, g.PublicKey.PK))
		for _, c := range g.Tests {
			n++
			if err != nil {
				if c.Result == "valid" {
					t.Errorf("%d: key refused: %v", c.ID, err)
				}
				continue
			}
			msg, sig := unhex(t, c.Msg), unhex(t, c.Sig)
			if got := pub.Verify(msg, sig); got != (c.Result == "valid") {
				t.Errorf("%d %s: Verify = %v", c.ID, c.Comment, got)
			}
			// ZIP-215 accepts more than RFC 8032, and never less.
			if c.Result == "valid" && !pub.VerifyConsensus(msg, sig) {
				t.Errorf("%d %s: refused by the ledger's rule", c.ID, c.Comment)
			}
		}
	}
	if n < 100 {
		t.Fatalf("only %d cases", n)
	}
}

func TestWycheproofP256(t *testing.T) {
	n, high := 0, 0
	for _, g := range load(t, "ecdsa_secp256r1_sha256_p1363_test.json") {
		pub, err := keys.NewPublicKey(keys.P256, compress(unhex(t, g.PublicKey.Uncompressed)))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range g.Tests {
			n++
			msg, sig := unhex(t, c.Msg), unhex(t, c.Sig)
			valid := c.Result == "valid"
			if got := pub.Verify(msg, sig); got != valid {
				t.Errorf("%d %s: Verify = %v", c.ID, c.Comment, got)
			}
			low := len(sig) == 64 && isLow(sig[32:])
			if valid && !low {
				high++
			}
			if got := pub.VerifyConsensus(msg, sig); got != (valid && low) {
				t.Errorf("%d %s: VerifyConsensus = %v", c.ID, c.Comment, got)
			}
		}
	}
	if n < 200 || high == 0 {
		t.Fatalf("%d cases, %d of them valid with a high s", n, high)
	}
}

// (n-1)/2 of P-256, FIPS 186-5.
const halfOrder = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8"

func isLow(s []byte) bool { return hex.EncodeToString(s) <= halfOrder }

// So that a checkout on its own proves something: RFC 8032 §7.1 test 2, RFC 6979 §A.2.5 ("sample",
// whose s is high) and GB/T 32918.5 Annex A.
func TestKnownSignatures(t *testing.T) {
	for _, c := range []struct {
		suite             *keys.Suite
		secret, public    string
		msg, sig          string
		verify, consensus bool
	}{
		{
			keys.Ed25519, "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "\x72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
			true, true,
		},
		{
			keys.P256, "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
			"0360fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6", "sample",
			"efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
			true, false,
		},
		{
			keys.SM2, "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8",
			"0309f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020", "message digest",
			"f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa",
			true, true,
		},
		{ // made by OpenSSL 3.0, which took the same user id
			keys.SM2, "18485402134ab1030d1db45303dc5c346dfda2db4354fbf7ec2f27bf72eab3ed",
			"02cfac04a7099d9382619654e3f80ef7318686f871620fdfac656b8aaa4ad669de", "message digest",
			"8f9284e49b003db2a4188c59f687ea4f05636fc5256798b75ac7d78c99ce3b396bce062c92d1aec3c0e083e769638224f6e6c055f0821ec50cb8bd843d09bfc3",
			true, true,
		},
	} {
		k, err := c.suite.Load(unhex(t, c.secret))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(k.Public().Raw()); got != c.public {
			t.Errorf("%s: public key %s", c.suite, got)
		}
		msg, sig := []byte(c.msg), unhex(t, c.sig)
		if got := k.Public().Verify(msg, sig); got != c.verify {
			t.Errorf("%s: Verify = %v", c.suite, got)
		}
		if got := k.Public().VerifyConsensus(msg, sig); got != c.consensus {
			t.Errorf("%s: VerifyConsensus = %v", c.suite, got)
		}
	}
}

func FuzzParseMultibase(f *testing.F) {
	for _, s := range keys.Suites() {
		k, err := s.Load(append(make([]byte, 31), 7))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.Public().Multibase())
	}
	f.Add("z6Mk")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := keys.ParseMultibase(s)
		if err == nil && k.Multibase() != s {
			t.Fatalf("%q has a second spelling %q", s, k.Multibase())
		}
	})
}
