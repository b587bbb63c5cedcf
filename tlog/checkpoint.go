package tlog

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// Rules that checkpoints and proofs are refused by.
const (
	RuleMalformed    hufu.Rule = "tlog.malformed" // not a checkpoint in the one form that this package reads
	RuleOrigin       hufu.Rule = "tlog.invalid-origin"
	RuleProof        hufu.Rule = "tlog.proof" // does not compute to the roots it is for
	RuleNotAConflict hufu.Rule = "tlog.not-a-conflict"
)

// Limits of a signed checkpoint, which the ledger keeps.
const (
	MaxNote       = 2048      // bytes: an origin and four signatures under its name fit
	MaxSignatures = 4         // the log's own and witnesses': each that could be the log's has to be checked
	MaxSize       = 1<<63 - 1 // entries, so that sizes fit signed integers everywhere
	MaxName       = 64        // bytes of a log's name
)

const (
	algEd25519 = 0x01        // signed-note's type of signature
	sigPrefix  = "\u2014 "   // an em dash and a space begin a signature
	keyIDLen   = 4           // bytes
	rootLen    = sha256.Size // bytes
)

// Checkpoint says which tree a log had at one time.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   hufu.Digest
}

// Signature is one signature line of a note, not yet checked.
type Signature struct {
	Name  string // of the key
	KeyID uint32
	Sig   []byte
}

// Signed is a checkpoint and the signatures on it, not yet checked.
type Signed struct {
	Checkpoint
	Signatures []Signature
}

// Origin is the origin of a log of owner.
func Origin(owner hufu.DID, name string) string { return string(owner) + "/" + name }

// SplitOrigin takes an origin apart. It refuses, by [RuleOrigin], what [Origin] does not give for a valid
// DID and name.
func SplitOrigin(origin string) (hufu.DID, string, error) {
	did, name, found := strings.Cut(origin, "/")
	if !found || !validName(name) {
		return "", "", hufu.Refuse(RuleOrigin, "a log's origin is its owner's DID, a / and a name of 1 to %d of a-z, 0-9 and -", MaxName)
	}
	network, id, err := hufu.DID(did).Parse()
	if err != nil || id.IsZero() || string(id.DID(network)) != did {
		return "", "", hufu.Refuse(RuleOrigin, "a log's origin does not begin with a DID of a Hufu network")
	}
	return hufu.DID(did), name, nil
}

func validName(n string) bool {
	if n == "" || len(n) > MaxName || n[0] == '-' || n[len(n)-1] == '-' {
		return false
	}
	return strings.IndexFunc(n, func(c rune) bool { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') }) < 0
}

// text is what is signed (tlog-checkpoint, "Note text"): three lines and no extensions.
func (c *Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// String is the note that was parsed.
func (s *Signed) String() string {
	var b strings.Builder
	b.WriteString(s.text() + "\n")
	for _, sig := range s.Signatures {
		raw := append(binary.BigEndian.AppendUint32(nil, sig.KeyID), sig.Sig...)
		b.WriteString(sigPrefix + sig.Name + " " + base64.StdEncoding.EncodeToString(raw) + "\n")
	}
	return b.String()
}

// KeyID is signed-note's short name for an Ed25519 key under a name.
func KeyID(name string, key []byte) uint32 {
	h := sha256.New()
	h.Write(append([]byte(name), '\n', algEd25519))
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// Sign writes a signed checkpoint. The signer's suite must be Ed25519, the only one that signed-note has
// for logs.
func Sign(rand io.Reader, signer keys.Signer, c Checkpoint) (string, error) {
	if signer.Public().Suite() != keys.Ed25519 {
		return "", hufu.Refuse(RuleMalformed, "a checkpoint is signed with a key of %s, not %s", keys.Ed25519, signer.Public().Suite())
	}
	sig, err := signer.Sign(rand, []byte(c.text()))
	if err != nil {
		return "", err
	}
	s := &Signed{Checkpoint: c, Signatures: []Signature{{Name: c.Origin, KeyID: KeyID(c.Origin, signer.Public().Raw()), Sig: sig}}}
	if _, err := Parse(s.String()); err != nil {
		return "", err
	}
	return s.String(), nil
}

// Parse reads a signed checkpoint without checking its signatures. There is one form of each:
// [Signed.String] gives it back. Extension lines, which the standard discourages, are refused, as nothing
// would be known of what they say.
func Parse(note string) (*Signed, error) {
	if len(note) > MaxNote {
		return nil, malformed("%d bytes, more than %d", len(note), MaxNote)
	}
	text, rest, found := strings.Cut(note, "\n\n")
	lines := strings.Split(text, "\n")
	if !found || len(lines) != 3 {
		return nil, malformed("not an origin, a size, a root and an empty line")
	}
	s := &Signed{Checkpoint: Checkpoint{Origin: lines[0]}}
	if _, _, err := SplitOrigin(s.Origin); err != nil {
		return nil, err
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > MaxSize || strconv.FormatUint(size, 10) != lines[1] {
		return nil, malformed("a size that is not a plain decimal number below 2^63")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != rootLen || strings.ContainsAny(lines[2], "\r\n") {
		return nil, malformed("a root that is not the base64 of %d bytes", rootLen)
	}
	s.Size = size
	copy(s.Root[:], root)
	if size == 0 && s.Root != EmptyRoot() {
		return nil, malformed("no entries, and not the root of an empty tree")
	}
	return s, s.parseSignatures(rest)
}

func (s *Signed) parseSignatures(rest string) error {
	for rest != "" {
		line, after, found := strings.Cut(rest, "\n")
		name, text, two := strings.Cut(strings.TrimPrefix(line, sigPrefix), " ")
		if !found || !two || !strings.HasPrefix(line, sigPrefix) || !validKeyName(name) {
			return malformed("signature %d is not a line of a dash, a name and a signature", len(s.Signatures))
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(raw) <= keyIDLen || strings.ContainsAny(text, "\r\n") {
			return malformed("signature %d is not the base64 of a key's id and a signature", len(s.Signatures))
		}
		sig := Signature{Name: name, KeyID: binary.BigEndian.Uint32(raw), Sig: raw[keyIDLen:]}
		if slices.ContainsFunc(s.Signatures, func(o Signature) bool { return o.Name == sig.Name && o.KeyID == sig.KeyID }) {
			return malformed("signature %d is by the same key as one before", len(s.Signatures))
		}
		s.Signatures = append(s.Signatures, sig)
		if len(s.Signatures) > MaxSignatures {
			return malformed("more than %d signatures", MaxSignatures)
		}
		rest = after
	}
	if len(s.Signatures) == 0 {
		return malformed("no signature")
	}
	return nil
}

// validKeyName wants printable ASCII without the plus sign, which signed-note keeps for itself.
func validKeyName(n string) bool {
	return n != "" && strings.IndexFunc(n, func(c rune) bool { return c <= 0x20 || c >= 0x7f || c == '+' }) < 0
}

// MayBeBy reports whether one of the signatures names key, an Ed25519 key's 32 bytes, under the log's
// origin: a cheap look before [Signed.IsBy].
func (s *Signed) MayBeBy(key []byte) bool {
	id := KeyID(s.Origin, key)
	return slices.ContainsFunc(s.Signatures, func(sig Signature) bool { return sig.Name == s.Origin && sig.KeyID == id })
}

// IsBy reports whether key signed the checkpoint as its log, by the ledger's rule for signatures, which
// comes to the same answer everywhere.
func (s *Signed) IsBy(key keys.PublicKey) bool {
	if key.Suite() != keys.Ed25519 {
		return false
	}
	id := KeyID(s.Origin, key.Raw())
	for _, sig := range s.Signatures {
		if sig.Name == s.Origin && sig.KeyID == id && len(sig.Sig) == keys.SignatureLen {
			return key.VerifyConsensus([]byte(s.text()), sig.Sig)
		}
	}
	return false
}

func malformed(format string, args ...any) error { return hufu.Refuse(RuleMalformed, format, args...) }
