//go:build pkcs11 && cgo

package keystore

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/hufu-id/hufu/keys"
)

// Of PKCS#11 v3.0 §2.3, which the binding does not have.
const (
	ckkECEdwards           = 0x40
	ckmECEdwardsKeyPairGen = 0x1055
	ckmEdDSA               = 0x1057
)

// The curves as CKA_EC_PARAMS, object identifiers in DER: RFC 8410 §3 and RFC 5480 §2.1.1.1.
var (
	oidEd25519 = []byte{0x06, 0x03, 0x2b, 0x65, 0x70}
	oidP256    = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
)

// mechanism is how tokens make and use keys of a suite. SM2 is in no version of the standard.
type mechanism struct {
	suite          *keys.Suite
	generate, sign uint
	keyType        uint
	params         []byte
}

var mechanisms = []mechanism{
	{keys.Ed25519, ckmECEdwardsKeyPairGen, ckmEdDSA, ckkECEdwards, oidEd25519},
	{keys.P256, pkcs11.CKM_EC_KEY_PAIR_GEN, pkcs11.CKM_ECDSA, pkcs11.CKK_EC, oidP256},
}

func mechanismOf(s *keys.Suite) *mechanism {
	for i := range mechanisms {
		if mechanisms[i].suite == s {
			return &mechanisms[i]
		}
	}
	return nil
}

// maxSessions bounds how many signatures a process has in the making at one token. Hardware makes them a few at
// once, and gives sessions to others, too.
const maxSessions = 8

// A module's C_Initialize and a token's login are the process's, not of whoever asks for them: so is what is
// known of them here.
var modules struct {
	sync.Mutex
	loaded map[string]*pkcs11.Ctx
	tokens map[TokenURI]*hardware
}

func openToken(u TokenURI) (token, error) {
	modules.Lock()
	defer modules.Unlock()
	if t := modules.tokens[u]; t != nil {
		return t, nil
	}
	ctx := modules.loaded[u.ModulePath]
	if ctx == nil {
		if ctx = pkcs11.New(u.ModulePath); ctx == nil {
			return nil, fmt.Errorf("%w: %s", ErrModule, u.ModulePath)
		}
		if err := ctx.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
			ctx.Destroy()
			return nil, fmt.Errorf("%w: %s: %w", ErrModule, u.ModulePath, err)
		}
		if modules.loaded == nil {
			modules.loaded, modules.tokens = map[string]*pkcs11.Ctx{}, map[TokenURI]*hardware{}
		}
		modules.loaded[u.ModulePath] = ctx
	}
	t := &hardware{ctx: ctx, uri: u, room: make(chan struct{}, maxSessions)}
	modules.tokens[u] = t
	return t, nil
}

// hardware is a token behind a module.
type hardware struct {
	ctx  *pkcs11.Ctx
	uri  TokenURI
	room chan struct{} // a session in use each

	mu      sync.Mutex
	slot    uint
	login   uint64                 // counts logins; 0: never
	idle    []pkcs11.SessionHandle // of the present login
	objects map[string]pkcs11.ObjectHandle
	pin     string // that the token took
	refused *[sha256.Size]byte
}

// link is a session in use.
type link struct {
	pkcs11.SessionHandle
	login uint64
}

// with lends do a session that is logged in. When the token lost the session, as after it was taken out and put back, do is
// called once more with a new one.
func (t *hardware) with(do func(link) error) error {
	t.room <- struct{}{}
	defer func() { <-t.room }()
	for again := false; ; again = true {
		l, err := t.session()
		if err == nil {
			err = do(l)
		}
		lost := isLost(err)
		t.giveBack(l, err == nil || !lost)
		if !lost || again {
			return t.explain(err)
		}
	}
}

// session takes an idle session or opens one, and logs in if nobody has.
func (t *hardware) session() (link, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); n > 0 {
		s := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return link{s, t.login}, nil
	}
	if t.objects == nil {
		slot, err := t.find()
		if err != nil {
			return link{}, err
		}
		t.slot = slot
	}
	s, err := t.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return link{}, err
	}
	if t.objects == nil {
		if err := t.logIn(s); err != nil {
			return link{}, errors.Join(err, t.ctx.CloseSession(s))
		}
		t.login++
		t.objects = map[string]pkcs11.ObjectHandle{}
	}
	return link{s, t.login}, nil
}

// giveBack keeps a session for the next, or, when it is lost, forgets everything about the present login.
func (t *hardware) giveBack(l link, good bool) {
	if l.login == 0 {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !good {
			t.forget()
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case l.login != t.login || t.objects == nil:
		_ = t.ctx.CloseSession(l.SessionHandle) // of a login that was forgotten meanwhile
	case good:
		t.idle = append(t.idle, l.SessionHandle)
	default:
		_ = t.ctx.CloseSession(l.SessionHandle)
		t.forget()
	}
}

func (t *hardware) forget() {
	for _, s := range t.idle {
		_ = t.ctx.CloseSession(s)
	}
	t.idle, t.objects = nil, nil
}

// find looks for the slot with the token. Two tokens that the URI fits are none.
func (t *hardware) find() (uint, error) {
	slots, err := t.ctx.GetSlotList(true)
	if err != nil {
		return 0, err
	}
	var found []uint
	for _, slot := range slots {
		info, err := t.ctx.GetTokenInfo(slot)
		if err != nil {
			continue // taken out just now
		}
		fits := func(want, have string) bool { return want == "" || want == have }
		if info.Label == t.uri.Token && fits(t.uri.Manufacturer, info.ManufacturerID) && fits(t.uri.Model, info.Model) && fits(t.uri.Serial, info.SerialNumber) {
			found = append(found, slot)
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("%w: %q", ErrNoToken, t.uri.Token)
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("%w: %d tokens are called %q; tell them apart with serial= in the URI", ErrNoToken, len(found), t.uri.Token)
}

// logIn offers the PIN. One that was refused is not offered again, and none when the next wrong one would lock the
// token: services are started again and again by whoever watches them.
func (t *hardware) logIn(s pkcs11.SessionHandle) error {
	info, err := t.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return err
	}
	if info.Flags&(pkcs11.CKF_USER_PIN_LOCKED|pkcs11.CKF_USER_PIN_FINAL_TRY) != 0 {
		return fmt.Errorf("%w: %q", ErrPINLocked, t.uri.Token)
	}
	pin := t.pin
	if pin == "" {
		if pin, err = readPIN(t.uri.PINSource); err != nil {
			return err
		}
	}
	digest := sha256.Sum256([]byte(pin))
	if t.refused != nil && *t.refused == digest {
		return fmt.Errorf("%w: %q refused the PIN of %s before, it is not tried again", ErrPIN, t.uri.Token, t.uri.PINSource)
	}
	err = t.ctx.Login(s, pkcs11.CKU_USER, pin)
	if err == nil {
		t.pin, t.refused = pin, nil
		return nil
	}
	switch code(err) {
	case pkcs11.CKR_USER_ALREADY_LOGGED_IN: // by another URI of the same token
		return nil
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED:
		t.pin, t.refused = "", &digest
		return fmt.Errorf("%w: %q, with the PIN of %s: %w", ErrPIN, t.uri.Token, t.uri.PINSource, err)
	case pkcs11.CKR_PIN_LOCKED:
		return fmt.Errorf("%w: %q", ErrPINLocked, t.uri.Token)
	}
	return err
}

func (t *hardware) check(suites ...*keys.Suite) error {
	return t.with(func(link) error {
		list, err := t.ctx.GetMechanismList(t.slot)
		if err != nil {
			return err
		}
		for _, suite := range suites {
			m := mechanismOf(suite)
			if m == nil {
				return fmt.Errorf("%w: %s is in no PKCS#11 token; use Ed25519 or P-256", ErrSuite, suite)
			}
			for _, needed := range []uint{m.generate, m.sign} {
				if !slices.ContainsFunc(list, func(have *pkcs11.Mechanism) bool { return have.Mechanism == needed }) {
					return fmt.Errorf("%w: %q has no %s", ErrSuite, t.uri.Token, suite)
				}
			}
		}
		return nil
	})
}

func (t *hardware) generate(label string, suite *keys.Suite) (id []byte, pub keys.PublicKey, err error) {
	m := mechanismOf(suite)
	if m == nil {
		return nil, pub, fmt.Errorf("%w: %s", ErrSuite, suite)
	}
	id = make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, pub, err
	}
	shared := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, m.keyType),
		pkcs11.NewAttribute(pkcs11.CKA_ID, id),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, label),
	}
	public := append(slices.Clone(shared),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, m.params))
	private := append(slices.Clone(shared),
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true))
	err = t.with(func(l link) error {
		pubHandle, privHandle, err := t.ctx.GenerateKeyPair(l.SessionHandle, []*pkcs11.Mechanism{pkcs11.NewMechanism(m.generate, nil)}, public, private)
		if err != nil {
			return err
		}
		if pub, err = t.readPublic(l, pubHandle, suite); err == nil {
			err = t.checkLocked(l, privHandle)
		}
		if err != nil {
			return errors.Join(err, t.ctx.DestroyObject(l.SessionHandle, privHandle), t.ctx.DestroyObject(l.SessionHandle, pubHandle))
		}
		return nil
	})
	return id, pub, err
}

// checkLocked checks that the token keeps what it promised: a key that is not of use outside of it.
func (t *hardware) checkLocked(l link, h pkcs11.ObjectHandle) error {
	got, err := t.ctx.GetAttributeValue(l.SessionHandle, h, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
	})
	if err != nil {
		return err
	}
	isTrue := func(a *pkcs11.Attribute) bool { return len(a.Value) == 1 && a.Value[0] == 1 }
	if !isTrue(got[0]) || isTrue(got[1]) {
		return fmt.Errorf("%w: %q makes keys that can leave it", ErrToken, t.uri.Token)
	}
	return nil
}

// readPublic reads CKA_EC_POINT: an OCTET STRING with the point, as the standard has it, or the bare point.
func (t *hardware) readPublic(l link, h pkcs11.ObjectHandle, suite *keys.Suite) (keys.PublicKey, error) {
	got, err := t.ctx.GetAttributeValue(l.SessionHandle, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil)})
	if err != nil {
		return keys.PublicKey{}, err
	}
	point := got[0].Value
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	if suite == keys.P256 {
		if len(point) != 65 || point[0] != 4 {
			return keys.PublicKey{}, fmt.Errorf("%w: %q gives a public key that is no uncompressed point", ErrToken, t.uri.Token)
		}
		point = append([]byte{2 + point[64]&1}, point[1:33]...)
	}
	return keys.NewPublicKey(suite, point)
}

func (t *hardware) sign(id []byte, suite *keys.Suite, message []byte) (sig []byte, err error) {
	m := mechanismOf(suite)
	if m == nil {
		return nil, fmt.Errorf("%w: %s", ErrSuite, suite)
	}
	if suite == keys.P256 { // CKM_ECDSA takes the digest
		digest := sha256.Sum256(message)
		message = digest[:]
	}
	err = t.with(func(l link) error {
		h, err := t.private(l, id)
		if err != nil {
			return err
		}
		if err := t.ctx.SignInit(l.SessionHandle, []*pkcs11.Mechanism{pkcs11.NewMechanism(m.sign, nil)}, h); err != nil {
			return err
		}
		sig, err = t.ctx.Sign(l.SessionHandle, message)
		return err
	})
	return sig, err
}

// private is the handle of a private key, which holds as long as the login.
func (t *hardware) private(l link, id []byte) (pkcs11.ObjectHandle, error) {
	t.mu.Lock()
	h, ok := t.objects[string(id)]
	ok = ok && l.login == t.login
	t.mu.Unlock()
	if ok {
		return h, nil
	}
	found, err := t.objectsOf(l, id, pkcs11.CKO_PRIVATE_KEY)
	if err != nil {
		return 0, err
	}
	if len(found) == 0 {
		return 0, fmt.Errorf("%w: %q", ErrTokenKeyGone, t.uri.Token)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.objects != nil && l.login == t.login {
		t.objects[string(id)] = found[0]
	}
	return found[0], nil
}

func (t *hardware) objectsOf(l link, id []byte, class uint) ([]pkcs11.ObjectHandle, error) {
	if err := t.ctx.FindObjectsInit(l.SessionHandle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_ID, id),
	}); err != nil {
		return nil, err
	}
	found, _, err := t.ctx.FindObjects(l.SessionHandle, 2)
	return found, errors.Join(err, t.ctx.FindObjectsFinal(l.SessionHandle))
}

func (t *hardware) destroy(id []byte) error {
	return t.with(func(l link) error {
		for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} {
			found, err := t.objectsOf(l, id, class)
			if err != nil {
				return err
			}
			for _, h := range found {
				if err := t.ctx.DestroyObject(l.SessionHandle, h); err != nil {
					return err
				}
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.objects, string(id))
		return nil
	})
}

func code(err error) pkcs11.Error {
	var c pkcs11.Error
	if errors.As(err, &c) {
		return c
	}
	return pkcs11.CKR_OK
}

// isLost reports whether what the process had of the token is void: the session, the login or a handle.
func isLost(err error) bool {
	switch code(err) {
	case pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_DEVICE_REMOVED,
		pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_TOKEN_NOT_RECOGNIZED:
		return true
	}
	return errors.Is(err, ErrTokenKeyGone) // a handle list may be of a token that was there before
}

// explain gives what the module answers the names of this package.
func (t *hardware) explain(err error) error {
	switch c := code(err); c {
	case pkcs11.CKR_OK, pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED, pkcs11.CKR_PIN_LOCKED:
		return err // named already
	case pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_TOKEN_NOT_RECOGNIZED:
		return fmt.Errorf("%w: %q: %w", ErrNoToken, t.uri.Token, err)
	case pkcs11.CKR_SESSION_COUNT:
		return fmt.Errorf("%w: %q has no session left; other programs use it: %w", ErrToken, t.uri.Token, err)
	default:
		return fmt.Errorf("%w: %q: %w", ErrToken, t.uri.Token, err)
	}
}

// maxPIN bounds a PIN in bytes.
const maxPIN = 256

// readPIN reads the first line of a PIN's file. A file that others may read is refused; pipes are not files.
func readPIN(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("keystore: the PIN: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("keystore: the PIN: %w", err)
	}
	if info.IsDir() {
		return "", fmt.Errorf("keystore: the PIN: %s is a directory", path)
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return "", fmt.Errorf("%w: %s has mode %04o, others may use it; it must be 0600", ErrPermissions, path, mode.Perm())
	}
	line, err := bufio.NewReader(io.LimitReader(f, maxPIN+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("keystore: the PIN: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" || len(line) > maxPIN {
		return "", fmt.Errorf("keystore: the PIN: the first line of %s has not 1 to %d characters", path, maxPIN)
	}
	return line, nil
}
