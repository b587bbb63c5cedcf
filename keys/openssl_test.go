package keys_test

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm3"
	"github.com/hufu-id/hufu/keys"
)

// openssl runs Debian's OpenSSL, the oracle for SM2 and SM3, or skips when there is none that knows
// them.
func openssl(t *testing.T, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("SKIPPED: no openssl to check SM2 and SM3 against")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Skipf("SKIPPED: this openssl does not do SM2 with SM3: %s", out)
	}
	return out
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// GB/T 32905 Annex A.1.
func TestSM3Known(t *testing.T) {
	got := sm3.Sum([]byte("abc"))
	if hex.EncodeToString(got[:]) != "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0" {
		t.Fatalf("%x", got)
	}
}

func TestSM3AgreesWithOpenSSL(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{0, 1, 55, 56, 63, 64, 65, 1000} {
		data := bytes.Repeat([]byte{'h'}, n)
		want := sm3.Sum(data)
		out := openssl(t, "dgst", "-sm3", "-r", write(t, dir, "m", data))
		if !strings.HasPrefix(string(out), hex.EncodeToString(want[:])) {
			t.Errorf("%d bytes: openssl says %s", n, out)
		}
	}
}

// sm2DER writes the key in the form of SEC 1 §C.4, which openssl reads.
func sm2DER(t *testing.T, secret []byte) []byte {
	t.Helper()
	oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 156, 10197, 1, 301})
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Version int
		Secret  []byte
		Params  asn1.RawValue
	}{1, secret, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: oid}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSM2AgreesWithOpenSSL(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		k, err := keys.SM2.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key := write(t, dir, "key.der", sm2DER(t, k.(keys.Secret).Secret()))
		msg := bytes.Repeat([]byte(fmt.Sprint("tally ", i)), i*40+1)
		in := write(t, dir, "msg", msg)
		args := []string{
			"pkeyutl", "-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678",
			"-inkey", key, "-keyform", "DER", "-in", in,
		}

		theirs := filepath.Join(dir, "theirs")
		openssl(t, append(args, "-sign", "-out", theirs)...)
		der, err := os.ReadFile(theirs)
		if err != nil {
			t.Fatal(err)
		}
		var rs struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(der, &rs); err != nil {
			t.Fatal(err)
		}
		sig := make([]byte, 64)
		rs.R.FillBytes(sig[:32])
		rs.S.FillBytes(sig[32:])
		if !k.Public().Verify(msg, sig) || !k.Public().VerifyConsensus(msg, sig) {
			t.Fatal("openssl's signature refused")
		}

		ours, err := k.Sign(rand.Reader, msg)
		if err != nil {
			t.Fatal(err)
		}
		der, err = asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(ours[:32]), new(big.Int).SetBytes(ours[32:])})
		if err != nil {
			t.Fatal(err)
		}
		out := openssl(t, append(args, "-verify", "-sigfile", write(t, dir, "ours", der))...)
		if !strings.Contains(string(out), "Verified Successfully") {
			t.Fatalf("openssl refuses ours: %s", out)
		}
	}
}
