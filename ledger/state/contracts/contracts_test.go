package contracts

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
)

var library = hufu.ID{1}

// shelf is a state in which one owner publishes.
type shelf struct {
	t   *testing.T
	o   *state.Overlay
	ctx state.Context
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{t: t, o: state.NewOverlay(state.Empty{}), ctx: state.Context{Network: "demo", Height: 7, Time: 1_800_000_000, TxID: hufu.Digest{9}}}
	for _, name := range []string{"resident-id", "guardianship"} {
		raw, err := os.ReadFile("../../../examples/types/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var body tx.TrustType
		if err := encoding.UnmarshalJSON(raw, tx.MaxSize, &body); err != nil {
			t.Fatal(err)
		}
		if err := body.Validate(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := state.Save(s.o, trust.TypeKey(body.VCT), &trust.TypeRecord{TrustType: body}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// text is an example contract owned by the library, with pairs of replacements.
func (s *shelf) text(name string, replace ...string) string {
	raw, err := os.ReadFile("../../../examples/contracts/" + name + ".toml")
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := contract.SetOwner(raw, library.DID("demo"))
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

func (s *shelf) apply(author hufu.ID, body tx.Body) error {
	before := len(s.o.Changes())
	s.o.Nested()
	err := Apply(s.ctx, s.o, &tx.Tx{Payload: tx.Payload{Author: author, Kind: body.Kind()}, Body: body})
	if err != nil && len(s.o.Changes()) != before {
		s.t.Error("a refused transaction changed the state")
	}
	s.o.Commit()
	return err
}

func (s *shelf) publish(name string, version uint32, text string) error {
	body := &tx.ContractPublish{Name: name, Version: version, Text: text}
	if err := body.Validate(); err != nil {
		s.t.Fatal(err)
	}
	return s.apply(library, body)
}

func TestPublishAndRetire(t *testing.T) {
	s := newShelf(t)
	for _, name := range []string{"reading-room", "clinic", "bank"} {
		if err := s.publish(name, 1, s.text(name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	second := s.text("bank", "version  = 1", "version  = 2", `"15s"`, `"20s"`)
	s.ctx.Height = 8
	if err := s.publish("bank", 2, second); err != nil {
		t.Fatal(err)
	}
	latest, err := Get(s.o, library, "bank", 0)
	if err != nil || latest.Version != 2 || latest.Text != second || latest.Hash != contract.Hash([]byte(second)) || latest.Height != 8 || latest.IsRetired() {
		t.Fatalf("%+v, %v", latest, err)
	}
	s.ctx.Height, s.ctx.Time = 9, 1_800_000_060
	if err := s.apply(library, &tx.ContractRetire{Name: "bank"}); err != nil {
		t.Fatal(err)
	}
	old, err := Get(s.o, library, "bank", 1)
	if err != nil || old.Version != 1 || old.Latest != 2 || old.Height != 7 || old.Retired != 9 || old.RetiredTime != 1_800_000_060 {
		t.Fatalf("%+v, %v", old, err)
	}
	for _, tc := range []struct {
		owner   hufu.ID
		name    string
		version uint32
	}{{library, "bank", 3}, {library, "bar", 0}, {hufu.ID{2}, "bank", 0}} {
		if got, err := Get(s.o, tc.owner, tc.name, tc.version); got != nil || err != nil {
			t.Errorf("%v: %+v, %v", tc, got, err)
		}
	}
}

func TestPublishRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		act    func(s *shelf) error
		rule   hufu.Rule
		detail string
	}{
		{"no contract", func(s *shelf) error { return s.publish("bank", 1, "hello") }, contract.RuleSyntax, "1:"},
		{"an unknown claim", func(s *shelf) error {
			return s.publish("bank", 1, s.text("bank", "context.person.nationality", "context.person.passport"))
		}, contract.RuleClaim, "57:25: no requested type has the claim person.passport"},
		{"an unknown type", func(s *shelf) error {
			return s.publish("bank", 1, s.text("bank", "resident-id:1", "resident-id:9"))
		}, contract.RuleType, "36:32"},
		{"the file as it is kept", func(s *shelf) error {
			return s.publish("bank", 1, s.text("bank", string(library.DID("demo")), "self"))
		}, contract.RuleSelf, "8:12"},
		{"somebody else's", func(s *shelf) error {
			return s.apply(hufu.ID{2}, &tx.ContractPublish{Name: "bank", Version: 1, Text: s.text("bank")})
		}, RuleOwner, ""},
		{"of another network", func(s *shelf) error {
			return s.publish("bank", 1, s.text("bank", "did:hufu:demo:", "did:hufu:other:"))
		}, RuleOwner, ""},
		{"another name", func(s *shelf) error { return s.publish("bench", 1, s.text("bank")) }, RuleMismatch, "bank"},
		{"another version", func(s *shelf) error {
			return s.publish("bank", 1, s.text("bank", "version  = 1", "version  = 2"))
		}, RuleMismatch, "2"},
		{"the second version first", func(s *shelf) error {
			return s.publish("bank", 2, s.text("bank", "version  = 1", "version  = 2"))
		}, RuleSequence, "next is 1"},
		{"two of one id", func(s *shelf) error {
			s.must(s.publish("bank", 1, s.text("bank")))
			return s.publish("bank", 1, s.text("bank"))
		}, RuleSequence, "next is 2"},
		{"a gap", func(s *shelf) error {
			s.must(s.publish("bank", 1, s.text("bank")))
			return s.publish("bank", 3, s.text("bank", "version  = 1", "version  = 3"))
		}, RuleSequence, "next is 2"},
		{"after retirement", func(s *shelf) error {
			s.must(s.publish("bank", 1, s.text("bank")))
			s.must(s.apply(library, &tx.ContractRetire{Name: "bank"}))
			return s.publish("bank", 2, s.text("bank", "version  = 1", "version  = 2"))
		}, RuleRetired, "height 7"},
		{"retired twice", func(s *shelf) error {
			s.must(s.publish("bank", 1, s.text("bank")))
			s.must(s.apply(library, &tx.ContractRetire{Name: "bank"}))
			return s.apply(library, &tx.ContractRetire{Name: "bank"})
		}, RuleRetired, "height 7"},
		{"retiring nothing", func(s *shelf) error { return s.apply(library, &tx.ContractRetire{Name: "bank"}) }, RuleUnknown, "bank"},
		{"retiring somebody else's", func(s *shelf) error {
			s.must(s.publish("bank", 1, s.text("bank")))
			return s.apply(hufu.ID{2}, &tx.ContractRetire{Name: "bank"})
		}, RuleUnknown, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := tc.act(newShelf(t))
			var refusal *hufu.Refusal
			if !errors.As(err, &refusal) || refusal.Rule != tc.rule || !strings.Contains(refusal.Detail, tc.detail) {
				t.Fatalf("%v, want %s with %q", err, tc.rule, tc.detail)
			}
		})
	}
}

func (s *shelf) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestOtherKindsAreNotForThisRoom(t *testing.T) {
	s := newShelf(t)
	if err := s.apply(library, &tx.DIDDeactivate{}); err == nil || hufu.RuleOf(err) != "" {
		t.Fatalf("%v is a refusal, not a mistake of the caller", err)
	}
}

// unreadable fails on every key that begins as one does.
type unreadable struct{ state.Reader }

var errDisk = errors.New("disk")

func (unreadable) Get([]byte) ([]byte, error) { return nil, errDisk }

func TestUnreadableStateIsNoRefusal(t *testing.T) {
	if _, err := Get(unreadable{}, library, "bank", 0); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	s := newShelf(t)
	if _, err := read(unreadable{}, s.text("bank")); !errors.Is(err, errDisk) {
		t.Error(err)
	}
	s.must(s.publish("bank", 1, s.text("bank")))
	s.o.Delete(VersionKey(library, "bank", 1))
	if _, err := Get(s.o, library, "bank", 1); err == nil {
		t.Error("a head without its version")
	}
}
