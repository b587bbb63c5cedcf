package client_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/proof"
)

const evidenceMagic = "hufu-evidence/1\n"

type evidenceFile struct {
	Network hufu.Network `cbor:"1,keyasint"`
	Shared  [][]byte     `cbor:"2,keyasint"`
	First   []byte       `cbor:"3,keyasint"`
	Second  [][]byte     `cbor:"4,keyasint"`
}

// evidence is a true file of evidence and the trust that it is verified from.
func (s *scene) evidence() ([]byte, client.Trust) {
	s.t.Helper()
	honest := s.honest()
	s.await(honest, 2)
	point, err := honest.Checkpoint(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	trust := s.trust()
	trust.Checkpoint = &point
	s.liar.Lie(signs(s.t, s.net.Members[0].Keys.Validator, point.Height+1, otherState))
	defer s.liar.Lie(nil)
	w := s.watched(client.Options{}, trust, s.node.URL(), s.liar.URL())
	s.until("the two headers are seen", func() bool {
		_, err := w.Await(s.ctx, point.Height+1)
		return hufu.RuleOf(err) == client.RuleConflict
	})
	raw, err := w.evidence()[0].Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	return raw, trust
}

func TestEvidenceRefused(t *testing.T) {
	s := newScene(t)
	good, trust := s.evidence()
	change := func(how func(*evidenceFile)) []byte {
		var f evidenceFile
		if err := encoding.Unmarshal(good[len(evidenceMagic):], &f); err != nil {
			t.Fatal(err)
		}
		how(&f)
		raw, err := encoding.Marshal(&f)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte(evidenceMagic), raw...)
	}
	block := func(raw []byte, how func(*proof.LightBlock)) []byte {
		b, err := proof.ParseLightBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		how(b)
		if raw, err = b.Encode(); err != nil {
			t.Fatal(err)
		}
		return raw
	}
	unsign := func(b *proof.LightBlock) { b.Commit.Votes[0].Signature[0] ^= 1 }
	later := s.honest()
	s.await(later, trust.Checkpoint.Height+10)
	elsewhere, err := later.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		rule hufu.Rule
	}{
		"empty":             {nil, client.RuleBadEvidence},
		"another file":      {[]byte("hufu-snapshot/1\n"), client.RuleBadEvidence},
		"no CBOR":           {[]byte(evidenceMagic + "x"), client.RuleBadEvidence},
		"cut off":           {good[:len(good)-1], client.RuleBadEvidence},
		"more":              {append(bytes.Clone(good), 0), client.RuleBadEvidence},
		"no second":         {change(func(f *evidenceFile) { f.Second = nil }), client.RuleBadEvidence},
		"no block":          {change(func(f *evidenceFile) { f.First = []byte{1} }), client.RuleBadEvidence},
		"other network":     {change(func(f *evidenceFile) { f.Network = "other" }), client.RuleBadEvidence},
		"the same":          {change(func(f *evidenceFile) { f.First = f.Second[0] }), client.RuleBadEvidence},
		"no checkpoint":     {change(func(f *evidenceFile) { f.Shared = nil }), proof.RuleHeader},
		"first not signed":  {change(func(f *evidenceFile) { f.First = block(f.First, unsign) }), proof.RuleCommit},
		"second not signed": {change(func(f *evidenceFile) { f.Second[0] = block(f.Second[0], unsign) }), proof.RuleCommit},
		"another app hash": {change(func(f *evidenceFile) {
			f.First = block(f.First, func(b *proof.LightBlock) { b.Header.AppHash[0] ^= 1 })
		}), proof.RuleHeader},
		"of two heights":     {change(func(f *evidenceFile) { f.First, f.Second = f.Second[0], f.Shared }), proof.RuleHeight},
		"shared not signed":  {change(func(f *evidenceFile) { f.Shared[0] = block(f.Shared[0], unsign) }), proof.RuleCommit},
		"shared header else": {change(func(f *evidenceFile) { f.Shared[0] = f.First }), proof.RuleHeader},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := client.ParseEvidence(c.file)
			if err == nil {
				_, err = e.Verify(trust, time.Now())
			}
			wantRule(t, err, c.rule)
		})
	}
	e, err := client.ParseEvidence(good)
	if err != nil {
		t.Fatal(err)
	}
	// Age is no objection, another trust is.
	short := trust
	short.Period = time.Nanosecond
	if _, err := e.Verify(short, time.Now()); err != nil {
		t.Error(err)
	}
	trust.Checkpoint = &elsewhere
	if _, err := e.Verify(trust, time.Now()); hufu.RuleOf(err) != proof.RuleHeader {
		t.Errorf("from another trust: %v", err)
	}
	if _, err := e.Verify(client.Trust{}, time.Now()); hufu.RuleOf(err) != client.RuleTrust {
		t.Errorf("from no trust: %v", err)
	}
}

// Two headers of different heights contradict nothing.
func TestEvidenceOfTwoHeights(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	s.await(c, 4)
	good, _ := s.evidence()
	e, err := client.ParseEvidence(good)
	if err != nil {
		t.Fatal(err)
	}
	e.Second = e.Second[:1]
	e.First = e.Shared[0]
	e.Shared = nil
	if _, err := e.Verify(s.trust(), time.Now()); hufu.RuleOf(err) != client.RuleBadEvidence {
		t.Error(err)
	}
}

func FuzzParseEvidence(f *testing.F) {
	f.Add([]byte(evidenceMagic))
	f.Add([]byte(evidenceMagic + "\xa4\x01dtest\x02\x80\x03@\x04\x81@"))
	f.Fuzz(func(t *testing.T, file []byte) {
		e, err := client.ParseEvidence(file)
		if err != nil {
			if hufu.RuleOf(err) != client.RuleBadEvidence {
				t.Error(err)
			}
			return
		}
		trust := client.Trust{Network: "test", GenesisTime: time.Unix(1, 0), Validators: []proof.Validator{{Power: 1}}}
		if _, err := e.Verify(trust, time.Unix(2, 0)); err == nil {
			t.Error("evidence made of nothing")
		}
	})
}
