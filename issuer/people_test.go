package issuer_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/tx"
)

func TestEnrolIsIdempotent(t *testing.T) {
	s := start(t)
	list := people(4200)
	var steps []int
	r, err := s.Enrol(t.Context(), register(t, list), func(rows int) { steps = append(steps, rows) })
	if err != nil || r.Enrolled != 4200 || r.Unchanged+r.Updated+len(r.Rejected) != 0 {
		t.Fatal(r, err)
	}
	if len(steps) < 3 || steps[len(steps)-1] != 4200 {
		t.Error("progress", steps)
	}
	if r := s.enrol(list); r.Unchanged != 4200 || r.Enrolled+r.Updated != 0 {
		t.Fatal(r)
	}
	s.restart()
	list[3].Address += "1"
	list[700].AssuranceLevel = "low"
	list[700].Address += "2"
	if r := s.enrol(list); r.Unchanged != 4198 || r.Updated != 2 || r.Enrolled != 0 {
		t.Fatal(r)
	}
	for _, i := range []int{0, 3, 700} {
		p, err := s.File(t.Context(), s.Ref(list[i].ResidentNumber), "test")
		if err != nil || *p != list[i] {
			t.Fatal(i, p, err)
		}
	}
	if n, err := s.Count(t.Context()); err != nil || n != 4200 {
		t.Fatal(n, err)
	}
}

func TestBadRowsAreReportedAndTheRestEnrolled(t *testing.T) {
	s := start(t)
	raw := make([]byte, 0, 1<<16)
	reader := register(t, people(20))
	text := make([]byte, reader.Len())
	if _, err := reader.Read(text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	raw = append(raw, "\ufeff"+lines[0]+"\r\n"...)
	for i, l := range lines[1:] {
		switch i {
		case 2:
			l = "8" + l[1:] // another prefix, the same check digit
		case 4:
			l = lines[2]
		case 6:
			l = strings.Replace(l, "男", "", 1) + ",x"
		case 8:
			l = strings.ReplaceAll(l, "号", "\xff")
		}
		raw = append(raw, l+"\r\n"...)
	}
	r, err := s.Enrol(t.Context(), strings.NewReader(string(raw)), nil)
	if err != nil || r.Enrolled != 16 || len(r.Rejected) != 4 {
		t.Fatal(r, err)
	}
	for i, want := range []string{
		"line 4, column resident_number: wrong check digit",
		"line 6, column resident_number: the same number as in line 3",
		"line 8: 12 fields, not 11",
		"line 10, column address: not UTF-8",
	} {
		if got := r.Rejected[i].Error(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func TestEnrolFails(t *testing.T) {
	s := start(t)
	for name, file := range map[string]string{"empty": "", "no header": "110105\n", "missing column": "name,sex\n"} {
		if _, err := s.Enrol(t.Context(), strings.NewReader(file), nil); err == nil {
			t.Errorf("%s enrolled", name)
		}
	}
	broken := errors.New("cable pulled")
	list := people(5000)
	reader := iotest.TimeoutReader(iotest.HalfReader(register(t, list)))
	if _, err := s.Enrol(t.Context(), reader, nil); !errors.Is(err, iotest.ErrTimeout) {
		t.Error(err, broken)
	}
	if r := s.enrol(list); r.Enrolled+r.Unchanged != 5000 {
		t.Error("the rest cannot be enrolled:", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Enrol(ctx, register(t, list), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Enrol(t.Context(), register(t, list), nil); err == nil {
		t.Error("enrolled into a closed store")
	}
}

// files are all bytes that the store has on disk.
func (s *scene) files() map[string]string {
	s.Helper()
	out := map[string]string{}
	names, err := filepath.Glob(s.path + "*")
	if err != nil {
		s.Fatal(err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			s.Fatal(err)
		}
		out[filepath.Base(name)] = string(raw)
	}
	return out
}

// Nothing of a person is in the database as it is, in hex, in base64 or as a plain digest.
func TestNothingPersonalOnDisk(t *testing.T) {
	databasetest.OnDisk(t)
	s := start(t)
	list := people(150)
	s.enrol(list)
	s.issue(minor(t, list), 2)
	for name, raw := range s.files() {
		for _, p := range list {
			for _, value := range []string{p.ResidentNumber, p.NameZH, p.Name, p.Address, p.BirthDate.String()} {
				sum := sha256.Sum256([]byte(value))
				for _, form := range []string{
					value, hex.EncodeToString([]byte(value)), base64.RawStdEncoding.EncodeToString([]byte(value))[:len(value)],
					string(sum[:]), string(sum[:16]), hex.EncodeToString(sum[:]),
				} {
					if len(form) > 5 && strings.Contains(raw, form) {
						t.Fatalf("%s holds something of a person", name)
					}
				}
			}
		}
		if strings.Contains(raw, issuer.TypeGuardianship) {
			t.Errorf("%s shows who holds which credential", name)
		}
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestFilesAreReadForAPurpose(t *testing.T) {
	s := start(t)
	list := people(80)
	s.enrol(list)
	ward := minor(t, list)
	ref, guardian := s.Ref(ward.ResidentNumber), s.Ref(ward.Guardian)
	_, err := s.File(t.Context(), ref, "")
	wantRule(t, err, issuer.RulePurpose)
	_, err = s.File(t.Context(), ref, strings.Repeat("x", 201))
	wantRule(t, err, issuer.RulePurpose)
	_, err = s.File(t.Context(), issuer.PersonRef{1}, "curiosity")
	wantRule(t, err, issuer.RuleUnknownPerson)
	if a, err := s.Accesses(t.Context(), ref); err != nil || len(a) != 0 {
		t.Fatal("an access is recorded that was none", a, err)
	}
	if _, err := s.File(t.Context(), ref, "court order 7"); err != nil {
		t.Fatal(err)
	}
	s.issue(ward, 1)
	if _, err := s.SetStatus(t.Context(), issuer.StatusRequest{People: []issuer.PersonRef{ref}, Status: hufu.StatusSuspended, Reason: tx.ReasonRequested}); err != nil {
		t.Fatal(err)
	}
	purposes := func(ref issuer.PersonRef) string {
		a, err := s.Accesses(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, x := range a {
			if !x.Time.Equal(morning) {
				t.Error(x.Time)
			}
			out = append(out, x.Purpose)
		}
		return strings.Join(out, ", ")
	}
	if got := purposes(ref); got != "court order 7, issue, status" {
		t.Error(got)
	}
	if got := purposes(guardian); got != "issue-to-ward" {
		t.Error(got)
	}
}

func TestErase(t *testing.T) {
	databasetest.OnDisk(t)
	s := start(t)
	list := people(60)
	s.enrol(list)
	p := minor(t, list)
	ref := s.Ref(p.ResidentNumber)
	issued := s.issue(p, 2)
	sealed := s.sealed(ref)
	if len(sealed) != 2+4 {
		t.Fatalf("%d things are sealed for a minor with 2 copies of 2 types", len(sealed))
	}
	for i, blob := range sealed {
		if !s.onDisk(blob) {
			t.Fatalf("sealed thing %d is not found on disk before it is erased", i)
		}
	}
	if err := s.Erase(t.Context(), ref, tx.ReasonRequested); err != nil {
		t.Fatal(err)
	}
	for _, i := range issued {
		for _, c := range i.Copies {
			if got := s.status(c); got != hufu.StatusRevoked {
				t.Errorf("a copy of %s is %s", i.Type, got)
			}
		}
	}
	_, err := s.File(t.Context(), ref, "test")
	wantRule(t, err, issuer.RuleErased)
	_, err = s.Issue(t.Context(), ref, issuer.IssueRequest{Proofs: s.proofs(s.wallet(1))})
	wantRule(t, err, issuer.RuleErased)
	wantRule(t, s.Erase(t.Context(), ref, tx.ReasonRequested), issuer.RuleErased)
	wantRule(t, s.Erase(t.Context(), issuer.PersonRef{7}, tx.ReasonRequested), issuer.RuleUnknownPerson)
	if a, err := s.Accesses(t.Context(), ref); err != nil || len(a) == 0 {
		t.Error("the records of accesses went with the file", err)
	}
	if n, err := s.Count(t.Context()); err != nil || n != 59 {
		t.Error(n, err)
	}
	// What was sealed for the person is gone from the disk, not only from the tables.
	for i, blob := range sealed {
		if s.onDisk(blob) {
			t.Errorf("sealed thing %d is still on disk", i)
		}
	}
	if r := s.enrol(list); r.Enrolled != 1 || r.Unchanged != 59 {
		t.Error("enrolled again:", r)
	}
}

// sealed is everything that the store holds sealed for a person.
func (s *scene) sealed(ref issuer.PersonRef) []string {
	s.Helper()
	db, err := sql.Open("sqlite", s.path)
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(s.Context(), `SELECT data_key FROM people WHERE person = ?1
		UNION ALL SELECT file FROM people WHERE person = ?1 UNION ALL SELECT sealed FROM copies WHERE person = ?1`, ref[:])
	if err != nil {
		s.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var blob []byte
		if err := rows.Scan(&blob); err != nil {
			s.Fatal(err)
		}
		out = append(out, string(blob))
	}
	if rows.Err() != nil {
		s.Fatal(rows.Err())
	}
	return out
}

func (s *scene) onDisk(blob string) bool {
	s.Helper()
	for _, raw := range s.files() {
		if strings.Contains(raw, blob) {
			return true
		}
	}
	return false
}

func TestWrongKeyOrIssuer(t *testing.T) {
	databasetest.OnDisk(t)
	s := start(t)
	s.enrol(people(5))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := s.files()
	other := s.cfg
	other.MasterKey = [32]byte{8}
	if _, err := issuer.Open(t.Context(), other); !errors.Is(err, issuer.ErrWrongKey) {
		t.Error(err)
	}
	other = s.cfg
	other.DID = hufu.ID{1, 2, 3}.DID("elsewhere")
	if _, err := issuer.Open(t.Context(), other); !errors.Is(err, issuer.ErrWrongIssuer) {
		t.Error(err)
	}
	if after := s.files(); after["issuer.db"] != before["issuer.db"] {
		t.Error("a refused opening changed the store")
	}
	if err := os.WriteFile(s.path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.Open(t.Context(), s.cfg); err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Error(err)
	}
	other.Store = filepath.Join(t.TempDir(), "none", "issuer.db")
	if _, err := issuer.Open(t.Context(), other); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestReadOnlyStore(t *testing.T) {
	databasetest.OnDisk(t)
	if os.Getuid() == 0 {
		t.Skip("SKIPPED: root may write everywhere")
	}
	s := start(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.Open(t.Context(), s.cfg); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := start(t).cfg
	for name, spoil := range map[string]func(*issuer.Config){
		"signer":   func(c *issuer.Config) { c.Signer = nil },
		"fragment": func(c *issuer.Config) { c.Fragment = "" },
		"ledger":   func(c *issuer.Config) { c.Ledger = nil },
		"sign":     func(c *issuer.Config) { c.Sign = nil },
		"base":     func(c *issuer.Config) { c.StatusBase = "" },
		"store":    func(c *issuer.Config) { c.Store = "" },
		"key":      func(c *issuer.Config) { c.MasterKey = [32]byte{} },
		"zone":     func(c *issuer.Config) { c.Zone = nil },
		"did":      func(c *issuer.Config) { c.DID = "did:web:x" },
	} {
		c := good
		spoil(&c)
		if s, err := issuer.Open(t.Context(), c); err == nil {
			s.Close()
			t.Errorf("opened without %s", name)
		}
	}
}

func TestPersonRef(t *testing.T) {
	ref := issuer.PersonRef{0xab, 15: 1}
	if got, err := issuer.ParsePersonRef(ref.String()); err != nil || got != ref {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("g", 32), ref.String() + "00"} {
		if _, err := issuer.ParsePersonRef(bad); err == nil {
			t.Errorf("%q is a reference", bad)
		}
	}
}
