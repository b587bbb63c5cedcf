//go:build pkcs11 && cgo

package keystore_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
)

// softHSM is where Debian's softhsm2 has its module.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

const userPIN = "48151623"

// TestMain gives the module, which reads its settings once, a directory of tokens.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hufu-softhsm-*")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "conf"), []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600)
	}
	if err == nil {
		err = os.Setenv("SOFTHSM2_CONF", filepath.Join(dir, "conf"))
	}
	if err == nil {
		// The module sees the tokens that are there when it is loaded.
		for _, label := range labels {
			if out, failed := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "00000000", "--pin", userPIN).CombinedOutput(); failed != nil {
				fmt.Fprintf(os.Stderr, "softhsm2-util: %v %s\n", failed, out)
			}
		}
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// labels of the tokens: twin is the label of two.
var labels = []string{"main", "pins", "gone", "twin", "twin"}

func token(t *testing.T, label string) keystore.TokenURI {
	t.Helper()
	if _, err := os.Stat(softHSM); err != nil {
		t.Skip("SKIPPED: no SoftHSM here (Debian: apt-get install softhsm2)")
	}
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte(userPIN+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return keystore.TokenURI{Token: label, ModulePath: softHSM, PINSource: pin}
}

func inToken(t *testing.T, u keystore.TokenURI) (s *keystore.Store, again func() *keystore.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UseToken(u); err != nil {
		t.Fatal(err)
	}
	return s, func() *keystore.Store {
		s, err := keystore.Open(path, quick("p"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestTokenKeys(t *testing.T) {
	u := token(t, "main")
	s, again := inToken(t, u)
	made, err := s.GenerateAll(rand.Reader, map[string]*keys.Suite{"ed": keys.Ed25519, "p256": keys.P256}, nil)
	if err != nil {
		t.Fatal(err)
	}
	message := bytes.Repeat([]byte("tally"), 1000)
	opened := again()
	if got, ok := opened.Token(); !ok || got != u {
		t.Error(got, ok)
	}
	for _, e := range opened.List() {
		if e.Token != "main" {
			t.Errorf("%s is in %q", e.Name, e.Token)
		}
	}
	for name, k := range made {
		kept, err := opened.Signer(name)
		if err != nil || !kept.Public().Equal(k.Public()) {
			t.Fatal(name, err)
		}
		if _, ok := kept.(keys.Secret); ok {
			t.Errorf("%s: the secret can leave", name)
		}
		for range 20 { // half of all ECDSA signatures are high
			sig, err := kept.Sign(rand.Reader, message)
			if err != nil || !k.Public().VerifyConsensus(message, sig) || k.Public().VerifyConsensus(message[1:], sig) {
				t.Fatal(name, err)
			}
		}
	}
	if made, err := s.GenerateAll(rand.Reader, map[string]*keys.Suite{"ed2": keys.Ed25519, "sm2": keys.SM2}, nil); !errors.Is(err, keystore.ErrSuite) || made != nil {
		t.Error("SM2 in a token:", err)
	}
	if n := len(again().List()); n != 2 {
		t.Errorf("%d keys", n)
	}
	// Keys made before stay where they are, and the file can take new ones again.
	if err := s.UseToken(keystore.TokenURI{}); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Generate(rand.Reader, "file", keys.SM2); err != nil || k.(keys.Secret) == nil {
		t.Error(err)
	}
	if k, err := s.Signer("ed"); err != nil {
		t.Error(err)
	} else if _, err := k.Sign(rand.Reader, message); err != nil {
		t.Error(err)
	}
}

// A key whose keeping fails is not left in the token, and one that is removed leaves it.
func TestNothingIsLeftInTheToken(t *testing.T) {
	u := token(t, "main")
	s, again := inToken(t, u)
	before := objects(t, u)
	refused := errors.New("refused")
	if _, err := s.GenerateAll(rand.Reader, map[string]*keys.Suite{"a": keys.Ed25519, "b": keys.P256}, func(map[string]keys.Signer) error { return refused }); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if n := objects(t, u); n != before {
		t.Errorf("%d objects are left over", n-before)
	}
	k, err := s.Generate(rand.Reader, "a", keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if n := objects(t, u); n != before+2 {
		t.Errorf("%d objects for a key pair", n-before)
	}
	if err := again().Remove("a"); err != nil {
		t.Fatal(err)
	}
	if n := objects(t, u); n != before {
		t.Errorf("%d objects are left over", n-before)
	}
	if _, err := k.Sign(rand.Reader, nil); !errors.Is(err, keystore.ErrTokenKeyGone) {
		t.Error(err)
	}
	if len(again().List()) != 0 {
		t.Error("the reference stayed")
	}
}

// module is the module as any other application sees it. This process is logged in already.
func module(t *testing.T, u keystore.TokenURI) (ctx *pkcs11.Ctx, slot uint) {
	t.Helper()
	ctx = pkcs11.New(softHSM)
	if ctx == nil {
		t.Fatal("the module does not load")
	}
	if err := ctx.Initialize(); err != nil && err != pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		t.Fatal(err)
	}
	slots, err := ctx.GetSlotList(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		if info, err := ctx.GetTokenInfo(slot); err == nil && info.Label == u.Token {
			return ctx, slot
		}
	}
	t.Fatal("no token", u.Token)
	return nil, 0
}

func objects(t *testing.T, u keystore.TokenURI) int {
	t.Helper()
	ctx, slot := module(t, u)
	s, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	defer ctx.CloseSession(s)
	if err := ctx.FindObjectsInit(s, nil); err != nil {
		t.Fatal(err)
	}
	found, _, err := ctx.FindObjects(s, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range found {
		got, err := ctx.GetAttributeValue(s, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Value[0] != pkcs11.CKO_PRIVATE_KEY {
			continue
		}
		if got, err := ctx.GetAttributeValue(s, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); err == nil {
			t.Fatalf("the token gives a private key away: %d bytes", len(got[0].Value))
		}
	}
	return len(found)
}

// Sessions are lost when somebody pulls the token and puts it back: no signature fails for it. (Not while one is in
// the making: SoftHSM crashes the process then.)
func TestSessionLoss(t *testing.T) {
	u := token(t, "main")
	s, _ := inToken(t, u)
	k, err := s.Generate(rand.Reader, "k", keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	ctx, slot := module(t, u)
	for range 3 {
		var wg sync.WaitGroup
		for w := range 16 { // more than there are sessions
			wg.Go(func() {
				for i := range 10 {
					if _, err := k.Sign(rand.Reader, []byte{byte(w), byte(i)}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := ctx.CloseAllSessions(slot); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Sign(rand.Reader, nil); err != nil {
		t.Error(err)
	}
}

func TestWrongPIN(t *testing.T) {
	u := token(t, "pins")
	path := filepath.Join(t.TempDir(), "keys.age")
	s, err := keystore.Create(path, quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(u.PINSource, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(u.PINSource, mode); err != nil {
			t.Fatal(err)
		}
	}
	write("00000001\n", 0o600)
	for i := range 3 {
		err := s.UseToken(u)
		if !errors.Is(err, keystore.ErrPIN) || strings.Contains(err.Error(), "00000001") {
			t.Fatal(err)
		}
		if again := strings.Contains(err.Error(), "not tried again"); again != (i > 0) {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	write(userPIN+"\n", 0o644)
	if err := s.UseToken(u); !errors.Is(err, keystore.ErrPermissions) {
		t.Error(err)
	}
	for _, bad := range []string{"", "\n", strings.Repeat("1", 300)} {
		write(bad, 0o600)
		if err := s.UseToken(u); err == nil || errors.Is(err, keystore.ErrPIN) {
			t.Errorf("a PIN of %d bytes: %v", len(bad), err)
		}
	}
	if err := os.Remove(u.PINSource); err != nil {
		t.Fatal(err)
	}
	if err := s.UseToken(u); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, ok := s.Token(); ok {
		t.Error("a token that did not open is used")
	}
	write(userPIN, 0o600)
	if err := s.UseToken(u); err != nil {
		t.Error("the right PIN at last:", err)
	}
}

func TestNoSuchToken(t *testing.T) {
	u := token(t, "main")
	s, err := keystore.Create(filepath.Join(t.TempDir(), "keys.age"), quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*keystore.TokenURI)
		want   error
	}{
		"another label":    {func(u *keystore.TokenURI) { u.Token = "elsewhere" }, keystore.ErrNoToken},
		"another serial":   {func(u *keystore.TokenURI) { u.Serial = "0" }, keystore.ErrNoToken},
		"two of the label": {func(u *keystore.TokenURI) { u.Token = "twin" }, keystore.ErrNoToken},
		"no module":        {func(u *keystore.TokenURI) { u.ModulePath = "/none.so" }, keystore.ErrModule},
		"no PKCS#11":       {func(u *keystore.TokenURI) { u.ModulePath = u.PINSource }, keystore.ErrModule},
	} {
		v := u
		c.change(&v)
		if err := s.UseToken(v); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The token's keys are destroyed by somebody else: the program says so, and the rest goes on.
func TestKeyGone(t *testing.T) {
	u := token(t, "gone")
	s, _ := inToken(t, u)
	k, err := s.Generate(rand.Reader, "k", keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	ctx, slot := module(t, u)
	h, err := ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	defer ctx.CloseSession(h)
	if err := ctx.FindObjectsInit(h, nil); err != nil {
		t.Fatal(err)
	}
	found, _, err := ctx.FindObjects(h, 10)
	if err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	if err := ctx.FindObjectsFinal(h); err != nil {
		t.Fatal(err)
	}
	for _, o := range found {
		if err := ctx.DestroyObject(h, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Sign(rand.Reader, nil); !errors.Is(err, keystore.ErrTokenKeyGone) || !strings.Contains(err.Error(), "gone") {
		t.Error(err)
	}
	if k, err = s.Generate(rand.Reader, "k2", keys.Ed25519); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Sign(rand.Reader, nil); err != nil {
		t.Error(err)
	}
	if err := s.Remove("k"); err != nil {
		t.Error("what is gone cannot be removed:", err)
	}
}
