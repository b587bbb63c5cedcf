package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
)

// Passcodes are hashed with Argon2id: 19 MiB, two passes, one lane (OWASP's floor), after a MAC under
// a key that the database does not hold, so that the database alone cannot be guessed at.
const (
	hashMemory = 19 << 10 // KiB
	hashPasses = 2
	hashLanes  = 1
	hashSalt   = 16
	hashLen    = 32
	hashFormat = 1 // first byte, for when the figures above are raised
)

// Limits on passcodes. Once lockMost is reached, a year allows less than two thousand tries.
const (
	minPasscode   = 8   // characters of one that an agency chose
	maxPasscode   = 128 // bytes
	passcodeLen   = 10  // characters of one that is drawn: 50 bits
	triesPerLock  = 5
	firstLock     = 5 * time.Minute // doubled with each further lock
	lockMost      = 24 * time.Hour
	passcodeChars = "0123456789abcdefghjkmnpqrstvwxyz" // 32, none like another
)

// SetPasscode gives an enrolled person the passcode to sign in with, in place of any before: the one
// given, or one that is drawn when it is "". It refuses by [RuleUnknownPerson], [RuleErased] and
// [RulePasscode].
func (s *Service) SetPasscode(ctx context.Context, ref PersonRef, passcode string) (string, error) {
	if _, err := s.exchanging(); err != nil {
		return "", err
	}
	if passcode == "" {
		raw := make([]byte, passcodeLen)
		if _, err := io.ReadFull(s.cfg.Rand, raw); err != nil {
			return "", fmt.Errorf("issuer: %w", err)
		}
		for i, b := range raw {
			raw[i] = passcodeChars[b%32] // no bias: 32 divides 256
		}
		passcode = string(raw)
	}
	if n := utf8.RuneCountInString(passcode); n < minPasscode || len(passcode) > maxPasscode {
		return "", hufu.Refuse(RulePasscode, "a passcode has %d characters to %d bytes", minPasscode, maxPasscode)
	}
	hash := make([]byte, 1+hashSalt)
	hash[0] = hashFormat
	if _, err := io.ReadFull(s.cfg.Rand, hash[1:]); err != nil {
		return "", fmt.Errorf("issuer: %w", err)
	}
	key, err := s.hash(ctx, passcode, hash[1:])
	if err != nil {
		return "", err
	}
	hash = append(hash, key...)
	return passcode, s.store.Write(ctx, func(t *database.Tx) error {
		if err := enrolled(ctx, t, ref); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, `INSERT INTO passcodes (person, hash) VALUES (?, ?)
			ON CONFLICT (person) DO UPDATE SET hash = excluded.hash, tries = 0, locked = 0`, ref[:], hash)
		return err
	})
}

// enrolled refuses who has no file. It opens none.
func enrolled(ctx context.Context, t *database.Tx, ref PersonRef) error {
	var there bool
	err := t.QueryRowContext(ctx, "SELECT data_key IS NOT NULL FROM people WHERE person = ?", ref[:]).Scan(&there)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return hufu.Refuse(RuleUnknownPerson, "nobody is enrolled under this reference")
	case err == nil && !there:
		return hufu.Refuse(RuleErased, "the person's file was erased")
	}
	return err
}

// hash takes a turn among few, for the memory it needs.
func (s *Service) hash(ctx context.Context, passcode string, salt []byte) ([]byte, error) {
	select {
	case s.exchange.hashing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.exchange.hashing }()
	m := hmac.New(sha256.New, s.vault.passcodes)
	m.Write([]byte(passcode))
	return argon2.IDKey(m.Sum(nil), salt, hashPasses, hashMemory, hashLanes, hashLen), nil
}

// countTry counts a try before it is judged, so that many at once are as many, and returns the hash to
// compare with. Of somebody who is unknown, has no passcode or has to wait after too many tries it is one
// that no passcode has: an answer of its own to any of them would tell who is enrolled.
func countTry(ctx context.Context, t *database.Tx, ref PersonRef, now time.Time) ([]byte, error) {
	nobody := make([]byte, 1+hashSalt+hashLen)
	nobody[0] = hashFormat
	var tries, until int64
	var hash []byte
	err := t.QueryRowContext(ctx, `SELECT p.hash, p.tries, p.locked FROM passcodes p JOIN people f ON f.person = p.person
		WHERE p.person = ? AND f.data_key IS NOT NULL`, ref[:]).Scan(&hash, &tries, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nobody, nil
	case err != nil:
		return nil, err
	case now.Unix() < until:
		return nobody, nil
	}
	tries++
	if tries%triesPerLock == 0 {
		until = now.Add(lockFor(tries / triesPerLock)).Unix()
	}
	_, err = t.ExecContext(ctx, "UPDATE passcodes SET tries = ?, locked = ? WHERE person = ?", tries, until, ref[:])
	return hash, err
}

// checkPasscode refuses by [RuleSignIn].
func (s *Service) checkPasscode(ctx context.Context, hash []byte, passcode string) error {
	if len(passcode) > maxPasscode {
		passcode = "" // which nobody has
	}
	if len(hash) != 1+hashSalt+hashLen {
		return errors.New("issuer: a passcode's hash is malformed")
	}
	got, err := s.hash(ctx, passcode, hash[1:1+hashSalt])
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, hash[1+hashSalt:]) != 1 || hash[0] != hashFormat {
		return hufu.Refuse(RuleSignIn, "wrong resident number or passcode, or too many tries")
	}
	return nil
}

func lockFor(locks int64) time.Duration {
	lock := firstLock
	for range min(locks-1, 16) {
		lock *= 2
	}
	return min(lock, lockMost)
}
