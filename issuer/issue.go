package issuer

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
)

// decoys hides how many claims a credential has (see [sdjwt.IssueParams]).
const decoys = 4

// agesAttested are the ages that a resident identity says are reached or not, so that nobody has to
// show a birth date for it.
var agesAttested = [...]int{14, 16, 18, 60}

// IssueRequest asks for copies of credentials.
type IssueRequest struct {
	Types    []string      // credential types; empty: every one the person is entitled to
	Proofs   []string      // one key proof for each copy, all under one nonce of [Service.Nonce]
	ValidFor time.Duration // if not 0, how long instead of the issuer's usual, to the second
}

// Issued are the copies of one credential, in the order of the proofs. The n-th copies of all types
// are bound to the same holder key, so that they can be shown together.
type Issued struct {
	Type   string
	Copies []string
}

// Issue gives a person copies of credentials, each bound to the key of one proof and with a salt and
// status entry of its own. That the request is this person's is for the caller to know. It refuses
// by the rules of this package and by oid4vci.RuleProof and oid4vci.RuleNonce; a nonce is used up by
// the first request that is granted.
func (s *Service) Issue(ctx context.Context, ref PersonRef, req IssueRequest) ([]Issued, error) {
	now := s.cfg.Now()
	for _, vct := range req.Types {
		if vct != TypeResidentID && vct != TypeGuardianship {
			return nil, hufu.Refuse(RuleUnknownType, "no credential of that type is issued here")
		}
	}
	holders, nonce, err := s.verifyProofs(req.Proofs, now)
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, &issuance{
		person: ref, types: req.Types, holders: holders, validFor: req.ValidFor, now: now, configuration: &plain,
		first: func(t *database.Tx) error { return s.nonces.use(ctx, t, nonce, now) },
	})
}

// plain is the configuration that credentials are issued in when a request names none.
var plain = Configuration{Format: oid4vci.FormatSDJWT}

// issuance is what is to be issued to whom, after all proofs were checked.
type issuance struct {
	person        PersonRef
	types         []string // empty: every one the person is entitled to
	configuration *Configuration
	holders       []keys.PublicKey
	validFor      time.Duration
	now           time.Time
	first         func(*database.Tx) error // what has to succeed in the same change
}

func (s *Service) issue(ctx context.Context, i *issuance) ([]Issued, error) {
	var batches []batch
	for {
		err := s.store.Write(ctx, func(t *database.Tx) (err error) {
			if err = i.first(t); err == nil {
				batches, err = s.prepare(ctx, t, i)
			}
			return err
		})
		var full *noRoomError
		if !errors.As(err, &full) {
			if err != nil {
				return nil, err
			}
			break
		}
		if err := s.openList(ctx, full.need); err != nil {
			return nil, err
		}
	}
	issued := make([]Issued, len(batches))
	for n := range batches {
		copies, err := s.sign(&batches[n], i)
		if err != nil {
			return nil, err
		}
		issued[n] = Issued{Type: batches[n].vct, Copies: copies}
		s.cfg.Issued(batches[n].vct, len(copies))
	}
	return issued, nil
}

// verifyProofs checks every proof and returns the keys and the one nonce, which remains to be used up.
func (s *Service) verifyProofs(proofs []string, now time.Time) (holders []keys.PublicKey, nonce string, err error) {
	if n := len(proofs); n == 0 || n > oid4vci.MaxProofs {
		return nil, "", hufu.Refuse(oid4vci.RuleProof, "%d proofs, not 1 to %d", n, oid4vci.MaxProofs)
	}
	params := oid4vci.ProofParams{
		Audience: string(s.cfg.DID), Now: now,
		Nonce: func(n string) bool { return s.nonces.given(n, now) },
	}
	holders = make([]keys.PublicKey, len(proofs))
	seen := make(map[string]struct{}, len(proofs))
	for i, p := range proofs {
		key, n, err := oid4vci.VerifyProof(p, params)
		if err != nil {
			return nil, "", err
		}
		if i > 0 && n != nonce {
			return nil, "", hufu.Refuse(oid4vci.RuleProof, "proofs under several nonces")
		}
		if _, twice := seen[string(key.Multikey())]; twice {
			return nil, "", hufu.Refuse(oid4vci.RuleProof, "two proofs of one key; each copy has its own")
		}
		seen[string(key.Multikey())] = struct{}{}
		holders[i], nonce = key, n
	}
	return holders, nonce, nil
}

// batch is the copies of one credential before they are signed.
type batch struct {
	vct                 string
	claims              map[string]any
	issuedAt, expiresAt time.Time
	status              []entry
}

// copyRecord is what is kept, sealed, of each copy.
type copyRecord struct {
	List    uint64 `cbor:"1,keyasint"`
	Index   uint64 `cbor:"2,keyasint"`
	Type    string `cbor:"3,keyasint"`
	Expires int64  `cbor:"4,keyasint"` // unix seconds
}

// prepare reads the files, draws the status entries and records the copies, in one transaction.
func (s *Service) prepare(ctx context.Context, t *database.Tx, req *issuance) ([]batch, error) {
	person, err := s.open(ctx, t, req.person, purposeIssue)
	if err != nil {
		return nil, err
	}
	today := roster.DateOf(req.now.In(s.cfg.Zone))
	minor := person.person.BirthDate.AgeOn(today) < roster.AdultAge
	types, copies := req.types, len(req.holders)
	if len(types) == 0 {
		types = []string{TypeResidentID}
		if minor && person.person.Guardian != "" {
			types = append(types, TypeGuardianship)
		}
	}
	issuedAt, expires := s.times(req.now, req.validFor)
	if req.configuration.Certified {
		if issuedAt, expires, err = s.exchange.within(issuedAt, expires); err != nil {
			return nil, err
		}
	}
	entries, err := s.drawEntries(ctx, t, len(types)*copies)
	if err != nil {
		return nil, err
	}
	batches := make([]batch, len(types))
	for i, vct := range types {
		if slices.Contains(types[:i], vct) {
			return nil, hufu.Refuse(RuleUnknownType, "a type twice in one request")
		}
		claims, err := s.claims(ctx, t, vct, person.person, today)
		if err != nil {
			return nil, err
		}
		batches[i] = batch{vct: vct, claims: claims, issuedAt: issuedAt, expiresAt: expires, status: entries[i*copies : (i+1)*copies]}
		for _, e := range batches[i].status {
			raw, err := encoding.Marshal(&copyRecord{List: e.list, Index: e.index, Type: vct, Expires: expires.Unix()})
			if err != nil {
				return nil, err
			}
			sealed, err := s.vault.seal(person.key, "copy", req.person, raw)
			if err != nil {
				return nil, err
			}
			if _, err := t.ExecContext(ctx, "INSERT INTO copies (person, sealed) VALUES (?, ?)", req.person[:], sealed); err != nil {
				return nil, err
			}
		}
	}
	return batches, nil
}

const day = 24 * time.Hour

// times are iat and exp: see [Config.Since].
func (s *Service) times(now time.Time, validFor time.Duration) (issuedAt, expires time.Time) {
	issuedAt, expires = now.UTC().Truncate(time.Second), now.UTC().Truncate(time.Second).Add(s.cfg.Validity)
	if !s.cfg.Since.IsZero() {
		expires = expires.Add(day - 1).Truncate(day)
		issuedAt = issuedAt.Truncate(day)
		if issuedAt.Before(s.cfg.Since) {
			issuedAt = s.cfg.Since.UTC().Add(time.Second - 1).Truncate(time.Second)
		}
	}
	if validFor != 0 {
		expires = now.UTC().Truncate(time.Second).Add(validFor)
	}
	return issuedAt, expires
}

// claims are what a credential says of a person. Each is selectively disclosable by itself.
func (s *Service) claims(ctx context.Context, t *database.Tx, vct string, p *roster.Person, today roster.Date) (map[string]any, error) {
	age := p.BirthDate.AgeOn(today)
	if vct == TypeResidentID {
		reached := make(map[string]any, len(agesAttested))
		for _, a := range agesAttested {
			reached[strconv.Itoa(a)] = age >= a
		}
		return map[string]any{
			"resident_number": p.ResidentNumber, "name_zh": p.NameZH, "name": p.Name, "sex": p.Sex,
			"birthdate": p.BirthDate.String(), "address": p.Address, "region": p.Region, "nationality": p.Nationality,
			"assurance_level": p.AssuranceLevel, "age_equal_or_over": reached,
		}, nil
	}
	if age >= roster.AdultAge || p.Guardian == "" {
		return nil, hufu.Refuse(RuleNotEntitled, "a guardianship is attested to minors with a guardian")
	}
	guardian, err := s.open(ctx, t, s.vault.ref(p.Guardian), purposeGuardian)
	switch rule := hufu.RuleOf(err); {
	case rule == RuleUnknownPerson, rule == RuleErased:
		return nil, hufu.Refuse(RuleNoGuardian, "the guardian is not enrolled")
	case err != nil:
		return nil, err
	case guardian.person.BirthDate.AgeOn(today) < roster.AdultAge:
		return nil, hufu.Refuse(RuleNoGuardian, "the guardian is no adult")
	}
	return map[string]any{
		"guardian_name": guardian.person.Name, "guardian_resident_number": guardian.person.ResidentNumber,
		"relation": p.GuardianRelation, "ward_name": p.Name,
	}, nil
}
