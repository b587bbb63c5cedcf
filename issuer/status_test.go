package issuer_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (s *scene) set(to hufu.Status, types []string, refs ...issuer.PersonRef) (issuer.StatusResult, error) {
	return s.SetStatus(s.Context(), issuer.StatusRequest{People: refs, Types: types, Status: to, Reason: tx.ReasonRequested})
}

func TestSetStatusOfAllCopies(t *testing.T) {
	s := start(t)
	list := people(80)
	s.enrol(list)
	p, other := minor(t, list), adult(t, list)
	ref := s.Ref(p.ResidentNumber)
	mine := append(s.issue(p, 3), s.issue(p, 2)...)
	theirs := s.issue(other, 2)
	want := func(step string, types map[string]hufu.Status) {
		t.Helper()
		for _, i := range mine {
			for _, c := range i.Copies {
				if got := s.status(c); got != types[i.Type] {
					t.Errorf("%s: a copy of %s is %s", step, i.Type, got)
				}
			}
		}
		for _, c := range theirs[0].Copies {
			if s.status(c) != hufu.StatusValid {
				t.Errorf("%s: somebody else's copy changed", step)
			}
		}
	}
	both := func(s hufu.Status) map[string]hufu.Status {
		return map[string]hufu.Status{issuer.TypeResidentID: s, issuer.TypeGuardianship: s}
	}
	want("issued", both(hufu.StatusValid))
	if r, err := s.set(hufu.StatusSuspended, nil, ref, ref); err != nil || r.Entries != 10 || len(r.Receipts) != 1 || r.Receipts[0].Height == 0 {
		t.Fatal(r, err)
	}
	want("suspended", both(hufu.StatusSuspended))
	s.restart()
	if r, err := s.set(hufu.StatusValid, nil, ref); err != nil || r.Entries != 10 {
		t.Fatal(r, err)
	}
	want("valid again", both(hufu.StatusValid))
	if r, err := s.set(hufu.StatusRevoked, []string{issuer.TypeGuardianship}, ref); err != nil || r.Entries != 5 {
		t.Fatal(r, err)
	}
	partly := map[string]hufu.Status{issuer.TypeResidentID: hufu.StatusValid, issuer.TypeGuardianship: hufu.StatusRevoked}
	want("guardianship revoked", partly)
	partly[issuer.TypeResidentID] = hufu.StatusSuspended
	if r, err := s.set(hufu.StatusSuspended, nil, ref); err != nil || r.Entries != 5 || r.Final != 5 {
		t.Fatal(r, err)
	}
	want("revoked stays", partly)
	if r, err := s.set(hufu.StatusRevoked, nil, ref); err != nil || r.Entries != 5 || r.Already != 5 {
		t.Fatal(r, err)
	}
	want("all revoked", both(hufu.StatusRevoked))
}

func TestSetStatusRefused(t *testing.T) {
	s := start(t)
	list := people(5)
	s.enrol(list)
	ref := s.Ref(list[0].ResidentNumber)
	issued := s.issue(list[0], 1)
	_, err := s.set(3, nil, ref)
	wantRule(t, err, issuer.RuleUnknownStatus)
	_, err = s.set(hufu.StatusRevoked, nil, ref, issuer.PersonRef{1})
	wantRule(t, err, issuer.RuleUnknownPerson)
	if files, err := s.Accesses(t.Context(), ref); err != nil || len(files) != 1 {
		t.Errorf("a file was opened for a request that was refused: %v %v", files, err) // the one is the issuing
	}
	_, err = s.SetStatus(t.Context(), issuer.StatusRequest{People: []issuer.PersonRef{ref}, Status: hufu.StatusRevoked, Reason: "because she is rude"})
	wantRule(t, err, tx.RuleBody)
	s.ledger.fail = func(*tx.Tx) error { return errNoNet }
	if r, err := s.set(hufu.StatusRevoked, nil, ref); !errors.Is(err, errNoNet) || r.Left != 1 {
		t.Error(r, err)
	}
	s.ledger.fail = nil
	if s.status(issued[0].Copies[0]) != hufu.StatusValid {
		t.Error("a refused change took effect")
	}
	// Nobody, or somebody without copies: nothing is sent.
	sent := len(s.ledger.sent)
	if r, err := s.set(hufu.StatusRevoked, nil, s.Ref(list[1].ResidentNumber)); err != nil || r.Entries != 0 || len(s.ledger.sent) != sent {
		t.Error(r, err)
	}
	// The answer was lost: the same request again is no error.
	s.ledger.lose = func(*tx.Tx) error { return errNoNet }
	if _, err := s.set(hufu.StatusRevoked, nil, ref); !errors.Is(err, errNoNet) {
		t.Error(err)
	}
	s.ledger.lose = nil
	if r, err := s.set(hufu.StatusRevoked, nil, ref); err != nil || r.Entries != 0 || r.Already != 1 || len(r.Receipts) != 0 {
		t.Error(r, err)
	}
}

// One transaction for each list that is touched, not one for each person.
func TestStatusChangesAreBatched(t *testing.T) {
	s := start(t, func(c *issuer.Config) { c.ListSize = 50 })
	list := people(40)
	s.enrol(list)
	var refs []issuer.PersonRef
	for _, p := range list {
		s.issue(p, 2, issuer.TypeResidentID)
		refs = append(refs, s.Ref(p.ResidentNumber))
	}
	r, err := s.set(hufu.StatusRevoked, nil, refs...)
	if err != nil || r.Entries != 80 || len(r.Receipts) != 2 {
		t.Fatal(r, err)
	}
}

func (s *scene) get(path, etag string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequestWithContext(s.Context(), http.MethodGet, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestStatusListOverHTTP(t *testing.T) {
	s := start(t)
	list := people(5)
	s.enrol(list)
	ref := s.verify(s.issue(list[0], 2)[0].Copies[0]).Status
	path := ref.URI[len(s.cfg.StatusBase):]
	read := func() *credstatus.Token {
		t.Helper()
		w := s.get(path, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/statuslist+jwt" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Fatal(w.Code, w.Header())
		}
		token, err := credstatus.Verify(w.Body.String(), credstatus.Expect{
			URI: ref.URI, Now: s.now, Key: func(string, int64) (keys.PublicKey, error) { return s.cfg.Signer.Public(), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := read()
	if token.List.Size() != 4096 || token.List.Bits() != 2 || token.TTL != issuer.DefaultListTTL || token.Issuer != string(s.cfg.DID) {
		t.Error(token)
	}
	if got, err := token.List.Get(ref.Index); err != nil || got != hufu.StatusValid {
		t.Error(got, err)
	}
	first := s.get(path, "")
	if first.Header().Get("Cache-Control") != "public, max-age=60" {
		t.Error(first.Header())
	}
	s.now = s.now.Add(20 * time.Second)
	again := s.get(path, first.Header().Get("ETag"))
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("Cache-Control") != "public, max-age=40" {
		t.Error(again.Code, again.Header())
	}
	if _, err := s.set(hufu.StatusRevoked, nil, s.Ref(list[0].ResidentNumber)); err != nil {
		t.Fatal(err)
	}
	if got, err := read().List.Get(ref.Index); err != nil || got != hufu.StatusRevoked {
		t.Error("the list is old after a change:", got, err)
	}
	if s.get(path, first.Header().Get("ETag")).Code != http.StatusOK {
		t.Error("a new list under an old tag")
	}
	held := s.get(path, "").Body.String()
	s.now = s.now.Add(issuer.DefaultListTTL)
	if s.get(path, "").Body.String() == held {
		t.Error("the same token after its time")
	}
	if w := s.get(path+"?time=1686925000", ""); w.Code != http.StatusNotImplemented {
		t.Error("a list of the past: ", w.Code)
	}
	for _, bad := range []string{"/statuslists/did:hufu:demo:zOther/0", status.URI("", s.cfg.DID, 7), status.URI("", s.cfg.DID, 0) + "0x", "/statuslists/" + string(s.cfg.DID) + "/00", "/statuslists/" + string(s.cfg.DID) + "/-1", "/statuslists/"} {
		if w := s.get(bad, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
}
