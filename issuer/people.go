package issuer

import (
	"bytes"
	"context"
	"crypto/cipher"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/roster"
)

// file is a person's file as it is sealed.
type file struct {
	ResidentNumber   string `cbor:"1,keyasint"`
	NameZH           string `cbor:"2,keyasint"`
	Name             string `cbor:"3,keyasint"`
	Sex              string `cbor:"4,keyasint"`
	BirthDate        string `cbor:"5,keyasint"`
	Address          string `cbor:"6,keyasint"`
	Region           string `cbor:"7,keyasint"`
	Guardian         string `cbor:"8,keyasint,omitempty"`
	GuardianRelation string `cbor:"9,keyasint,omitempty"`
	AssuranceLevel   string `cbor:"10,keyasint"`
	Nationality      string `cbor:"11,keyasint"`
}

func encodeFile(p *roster.Person) ([]byte, error) {
	return encoding.Marshal(&file{
		p.ResidentNumber, p.NameZH, p.Name, p.Sex, p.BirthDate.String(), p.Address, p.Region,
		p.Guardian, p.GuardianRelation, p.AssuranceLevel, p.Nationality,
	})
}

func decodeFile(raw []byte) (*roster.Person, error) {
	var f file
	if err := encoding.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	born, err := roster.ParseDate(f.BirthDate)
	return &roster.Person{
		ResidentNumber: f.ResidentNumber, NameZH: f.NameZH, Name: f.Name, Sex: f.Sex, BirthDate: born, Address: f.Address,
		Region: f.Region, Guardian: f.Guardian, GuardianRelation: f.GuardianRelation, AssuranceLevel: f.AssuranceLevel, Nationality: f.Nationality,
	}, err
}

// Report says what became of a register's rows.
type Report struct {
	Enrolled  int                `json:"enrolled"`  // new people
	Unchanged int                `json:"unchanged"` // enrolled before with the same row
	Updated   int                `json:"updated"`   // enrolled before with another row
	Rejected  []*roster.RowError `json:"rejected"`  // bad rows, in order; nothing was changed for them
}

// enrolBatch is how many rows share a transaction.
const enrolBatch = 2000

// Enrol reads a register (see [roster.NewReader]) and enrols everybody whose row is good. Enrolling the
// same register again changes nothing; a row that differs replaces the person's file. Rows are
// committed in batches: after an error, what was counted is kept and the rest may be enrolled again.
// progress, if not nil, is told the rows done so far.
func (s *Service) Enrol(ctx context.Context, register io.Reader, progress func(rows int)) (Report, error) {
	report := Report{Rejected: []*roster.RowError{}}
	r, err := roster.NewReader(register, s.today())
	if err != nil {
		return report, fmt.Errorf("issuer: %w", err)
	}
	rows := 0
	for last := false; !last; {
		var batch []roster.Person
		for len(batch) < enrolBatch && !last {
			p, _, err := r.Next()
			var bad *roster.RowError
			switch {
			case errors.Is(err, io.EOF):
				last = true
				continue
			case errors.As(err, &bad):
				report.Rejected = append(report.Rejected, bad)
			case err != nil:
				return report, fmt.Errorf("issuer: %w", err)
			default:
				batch = append(batch, p)
			}
			rows++
		}
		if err := s.enrolBatch(ctx, batch, &report); err != nil {
			return report, err
		}
		if progress != nil {
			progress(rows)
		}
	}
	return report, nil
}

func (s *Service) today() roster.Date { return roster.DateOf(s.cfg.Now().In(s.cfg.Zone)) }

func (s *Service) enrolBatch(ctx context.Context, people []roster.Person, report *Report) error {
	if len(people) == 0 {
		return nil
	}
	// A register lists families together; the order of the rows in the store must not say so.
	refs := make([]PersonRef, len(people))
	order := make([]int, len(people))
	for i := range people {
		refs[i], order[i] = s.vault.ref(people[i].ResidentNumber), i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(refs[a][:], refs[b][:]) })
	var counts Report
	err := s.store.Write(ctx, func(t *database.Tx) error {
		for _, i := range order {
			if err := s.enrolOne(ctx, t, refs[i], &people[i], &counts); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	report.Enrolled += counts.Enrolled
	report.Unchanged += counts.Unchanged
	report.Updated += counts.Updated
	return nil
}

func (s *Service) enrolOne(ctx context.Context, t *database.Tx, ref PersonRef, p *roster.Person, counts *Report) error {
	raw, err := encodeFile(p)
	if err != nil {
		return err
	}
	mark := s.vault.markOf(raw)
	var sealedKey, had []byte
	err = t.QueryRowContext(ctx, "SELECT data_key, mark FROM people WHERE person = ?", ref[:]).Scan(&sealedKey, &had)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	var key cipher.AEAD
	switch {
	case sealedKey == nil: // new, or erased before
		if key, sealedKey, err = s.vault.newDataKey(ref); err != nil {
			return err
		}
		counts.Enrolled++
	case string(had) == string(mark):
		counts.Unchanged++
		return nil
	default:
		if key, err = s.vault.dataKey(ref, sealedKey); err != nil {
			return err
		}
		counts.Updated++
	}
	sealed, err := s.vault.seal(key, "file", ref, raw)
	if err != nil {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO people (person, data_key, file, mark, changed) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (person) DO UPDATE SET data_key = excluded.data_key, file = excluded.file, mark = excluded.mark, changed = excluded.changed`,
		ref[:], sealedKey, sealed, mark, s.cfg.Now().Unix())
	return err
}

// opened is a person's file, open.
type opened struct {
	ref    PersonRef
	key    cipher.AEAD
	person *roster.Person
}

// Purposes that the issuer itself reads files for.
const (
	purposeIssue    = "issue"
	purposeGuardian = "issue-to-ward"
	purposeStatus   = "status"
)

// key finds a person's data key and leaves the record of the access. Every way to a person's data goes
// through here.
func (s *Service) key(ctx context.Context, t *database.Tx, ref PersonRef, purpose string) (key cipher.AEAD, sealedFile []byte, err error) {
	var sealedKey []byte
	err = t.QueryRowContext(ctx, "SELECT data_key, file FROM people WHERE person = ?", ref[:]).Scan(&sealedKey, &sealedFile)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil, hufu.Refuse(RuleUnknownPerson, "nobody is enrolled under this reference")
	case err != nil:
		return nil, nil, err
	case sealedKey == nil:
		return nil, nil, hufu.Refuse(RuleErased, "the person's file was erased")
	}
	if err := s.recordAccess(ctx, t, ref, purpose); err != nil {
		return nil, nil, err
	}
	key, err = s.vault.dataKey(ref, sealedKey)
	return key, sealedFile, err
}

func (s *Service) open(ctx context.Context, t *database.Tx, ref PersonRef, purpose string) (*opened, error) {
	key, sealed, err := s.key(ctx, t, ref, purpose)
	if err != nil {
		return nil, err
	}
	raw, err := open(key, "file", ref, sealed)
	if err != nil {
		return nil, err
	}
	p, err := decodeFile(raw)
	if err != nil {
		return nil, fmt.Errorf("issuer: a person's file: %w", err)
	}
	return &opened{ref: ref, key: key, person: p}, nil
}

// maxPurpose bounds the text of a purpose, in bytes.
const maxPurpose = 200

// File reads a person's file for a purpose, which is recorded before anything is returned.
func (s *Service) File(ctx context.Context, ref PersonRef, purpose string) (*roster.Person, error) {
	if purpose == "" || len(purpose) > maxPurpose {
		return nil, hufu.Refuse(RulePurpose, "a purpose has 1 to %d bytes", maxPurpose)
	}
	var f *opened
	err := s.store.Write(ctx, func(t *database.Tx) (err error) {
		f, err = s.open(ctx, t, ref, purpose)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f.person, nil
}

// Access is one reading of a person's file.
type Access struct {
	Time    time.Time `json:"time"`
	Purpose string    `json:"purpose"`

	// Where the record is in the issuer's log and the salt of its digest there ([AccessEntry]); nil for
	// records from before the log.
	Entry *uint64 `json:"entry,omitempty"`
	Salt  []byte  `json:"salt,omitempty"`
}

// Accesses lists the readings of a person's file, oldest first. They stay when the file is erased.
func (s *Service) Accesses(ctx context.Context, ref PersonRef) ([]Access, error) {
	rows, err := s.store.QueryContext(ctx, "SELECT time, purpose, entry, salt FROM accesses WHERE person = ? ORDER BY number", ref[:])
	if err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	defer rows.Close() //nolint:errcheck // what was read or written is checked before
	var out []Access
	for rows.Next() {
		var a Access
		var at int64
		if err := rows.Scan(&at, &a.Purpose, &a.Entry, &a.Salt); err != nil {
			return nil, fmt.Errorf("issuer: store: %w", err)
		}
		a.Time = time.Unix(at, 0).UTC()
		out = append(out, a)
	}
	return out, rows.Err()
}

// Count is how many people are enrolled and not erased.
func (s *Service) Count(ctx context.Context) (n int, err error) {
	err = s.store.QueryRowContext(ctx, "SELECT count(*) FROM people WHERE data_key IS NOT NULL").Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("issuer: store: %w", err)
	}
	return n, nil
}

// Erase revokes every copy that a person holds and destroys the key of the person's file: the file, the
// list of copies and every backup of either become noise. The records of accesses stay.
func (s *Service) Erase(ctx context.Context, ref PersonRef, reason string) error {
	if _, err := s.SetStatus(ctx, StatusRequest{People: []PersonRef{ref}, Status: hufu.StatusRevoked, Reason: reason}); err != nil {
		return err
	}
	err := s.store.Write(ctx, func(t *database.Tx) error {
		if _, err := t.ExecContext(ctx, "UPDATE people SET data_key = NULL, file = NULL, mark = NULL, changed = ? WHERE person = ?", s.cfg.Now().Unix(), ref[:]); err != nil {
			return err
		}
		for _, table := range []string{"tokens", "deferrals", "notifications"} {
			_, err := t.ExecContext(ctx, "DELETE FROM "+table+" WHERE grant_id IN (SELECT id FROM grants WHERE person = ?)", ref[:])
			if err != nil {
				return err
			}
		}
		for _, table := range []string{"copies", "passcodes", "offers", "authorizations", "grants"} {
			if _, err := t.ExecContext(ctx, "DELETE FROM "+table+" WHERE person = ?", ref[:]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.store.Forget(ctx)
}
