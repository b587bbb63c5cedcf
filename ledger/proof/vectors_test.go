package proof

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	ics23 "github.com/cosmos/ics23/go"

	"github.com/hufu-id/hufu"
)

// TestStandardVectors checks the SMT vectors of the ICS-23 repository (testdata/smt, Apache-2.0).
func TestStandardVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/ics23-smt/*.json")
	if err != nil || len(files) != 6 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Root, Proof, Key, Value string }
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		var value []byte
		if v.Value != "" {
			value = unhex(t, v.Value)
		}
		root, key, bytes := hufu.Digest(unhex(t, v.Root)), unhex(t, v.Key), unhex(t, v.Proof)
		if value == nil {
			// These name the hash of the key where this ledger's name the key, so VerifyValue, which
			// takes one form only, is given the key in its place.
			bytes = reencode(t, bytes, func(p *ics23.CommitmentProof) { p.GetNonexist().Key = key })
		}
		if err := VerifyValue(root, key, value, bytes); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		root[0] ^= 1
		if err := VerifyValue(root, key, value, bytes); hufu.RuleOf(err) != RuleNotProven {
			t.Errorf("%s under another root: %v", file, err)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
