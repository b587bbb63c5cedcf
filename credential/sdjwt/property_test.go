package sdjwt_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

// claimsValue draws JSON up to depth levels.
func claimsValue(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64(), func(i int64) any { return json.Number(fmt.Sprint(i)) }),
		rapid.Just(any(nil)),
	)
	if depth == 0 {
		return leaf
	}
	below := rapid.Deferred(func() *rapid.Generator[any] { return claimsValue(depth - 1) })
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(below, 0, 4), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(claimName(), below, 0, 4), func(m map[string]any) any { return m }),
	)
}

func claimName() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringMatching(`[a-z_]{1,6}`), rapid.String()).Filter(func(s string) bool {
		return !slices.Contains([]string{"_sd", "_sd_alg", "...", "iss", "vct", "cnf", "iat", "nbf", "exp", "status", "aka_vcts", "vct#integrity"}, s)
	})
}

// pick draws a subset of paths through v and returns what a presentation of them shows: selected
// values whole, their ancestors as far as needed. The model is independent of the implementation:
// it never sees a digest.
func pick(t *rapid.T, v any, path sdjwt.Path, paths *[]sdjwt.Path) (shown any, found bool) {
	if len(path) > 0 && rapid.IntRange(0, 3).Draw(t, "take") == 0 {
		*paths = append(*paths, slices.Clone(path))
		return v, true
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if s, ok := pick(t, v[name], append(path, name), paths); ok {
				out[name], found = s, true
			}
		}
		return out, found
	case []any:
		out := []any{}
		for i, e := range v {
			if s, ok := pick(t, e, append(path, i), paths); ok {
				out, found = append(out, s), true
			}
		}
		return out, found
	}
	return nil, false
}

func TestPresentsExactlyTheSubset(t *testing.T) {
	s := newScene(t, keys.Ed25519)
	rapid.Check(t, func(rt *rapid.T) {
		p := s.issueParams()
		p.Claims = rapid.MapOfN(claimName(), claimsValue(3), 0, 6).Draw(rt, "claims")
		p.Decoys = rapid.IntRange(0, 3).Draw(rt, "decoys")
		raw, err := sdjwt.Issue(rand.Reader, p)
		if err != nil {
			rt.Fatal(err)
		}
		c, err := sdjwt.Parse(raw)
		if err != nil {
			rt.Fatal(err)
		}
		var paths []sdjwt.Path
		shown, _ := pick(rt, p.Claims, nil, &paths)
		presentation, err := c.Present(rand.Reader, paths, s.keyBinding())
		if err != nil {
			rt.Fatal(err)
		}
		v, err := sdjwt.Verify(presentation, s.params())
		if err != nil {
			rt.Fatal(err)
		}
		for _, name := range []string{"iss", "vct", "cnf", "iat", "exp", "status"} {
			if _, there := v.Claims[name]; !there {
				rt.Errorf("no %s", name)
			}
			delete(v.Claims, name)
		}
		if want := shown.(map[string]any); !reflect.DeepEqual(v.Claims, want) {
			rt.Errorf("verified %v, want %v", v.Claims, want)
		}
	})
}

// TestEveryBitCounts: whatever bit of a presentation is flipped, it is refused, and by a rule.
func TestEveryBitCounts(t *testing.T) {
	s := newScene(t, keys.Ed25519)
	p := s.present(t, sdjwt.Path{"age_equal_or_over", "18"}, sdjwt.Path{"roles", nil})
	params := s.params()
	for i := range p {
		for bit := range 8 {
			b := []byte(p)
			b[i] ^= 1 << bit
			if _, err := sdjwt.Verify(string(b), params); hufu.RuleOf(err) == "" {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
		}
	}
	for i := range p {
		if _, err := sdjwt.Verify(p[:i], params); hufu.RuleOf(err) == "" {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}
