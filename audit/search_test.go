package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/sm3"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu/audit"
)

// planted is every way in which somebody may have written a value down.
func planted(value string) map[string][]byte {
	two, three := sha256.Sum256([]byte(value)), sm3.Sum([]byte(value))
	out := map[string][]byte{}
	for name, raw := range map[string][]byte{"plain": []byte(value), "SHA-256": two[:], "SM3": three[:]} {
		out[name] = raw
		out[name+" in hex"] = []byte(hex.EncodeToString(raw))
		out[name+" in upper-case hex"] = []byte(strings.ToUpper(hex.EncodeToString(raw)))
		for before := range 3 {
			for after := range 3 {
				whole := append(append(bytes.Repeat([]byte{'{'}, before), raw...), bytes.Repeat([]byte{0xff}, after)...)
				at := " after " + strconv.Itoa(before) + " and before " + strconv.Itoa(after)
				out[name+" in base64"+at] = []byte(base64.StdEncoding.EncodeToString(whole))
				out[name+" in base64url"+at] = []byte(base64.RawURLEncoding.EncodeToString(whole))
			}
		}
	}
	return out
}

func TestPlantedValuesAreFound(t *testing.T) {
	// The second has all of base64's two differing characters in its encodings.
	for _, value := range []string{"990101198001012345", "\u007f\u00bf\u00ff\u00fe~~~???>>>", "王小明", "Zhang Wei, 1980-01-01", "12345"} {
		noise := rand.New(rand.NewPCG(1, 2))
		for name, text := range planted(value) {
			for _, around := range []int{0, 1, 100} {
				data := make([]byte, 0, 300)
				for range around {
					data = append(data, byte(noise.Uint32()))
				}
				data = append(data, text...)
				for range around {
					data = append(data, byte(noise.Uint32()))
				}
				s := audit.NewSearch()
				s.Add("something else")
				s.Add(value)
				s.In(data)
				if s.Found() != 1 || !s.Has(1) || s.Has(0) || s.Values() != 2 {
					t.Errorf("%s of %q with %d bytes around: found %d of %d", name, value, around, s.Found(), s.Values())
				}
			}
		}
	}
}

func TestFoundWhereverItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringN(5, 40, -1).Draw(t, "value")
		before := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "before")
		after := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "after")
		whole := append(append(before, value...), after...)
		for name, text := range map[string]string{
			"plain": string(whole), "hex": hex.EncodeToString(whole), "base64": base64.StdEncoding.EncodeToString(whole),
			"base64url": base64.RawURLEncoding.EncodeToString(whole), "padded base64url": base64.URLEncoding.EncodeToString(whole),
		} {
			s := audit.NewSearch()
			s.Add(value)
			s.In([]byte(text))
			if s.Found() != 1 {
				t.Fatalf("%q is not found in the %s form %q", value, name, text)
			}
		}
	})
}

func TestNothingIsFoundThatIsNotThere(t *testing.T) {
	s := audit.NewSearch()
	for i := range 2000 {
		s.Add("99010119800101" + strconv.Itoa(1000+i))
		s.Add("Person " + strconv.Itoa(1000+i) + "/1980-01-01")
	}
	noise := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(noise.Uint32())
	}
	s.In(data)
	s.In([]byte(hex.EncodeToString(data[:1<<20])))
	s.In([]byte(base64.StdEncoding.EncodeToString(data[:1<<20])))
	// Near ones: a digit off, cut at either end, or another case.
	near := sha256.Sum256([]byte("990101198001010999"))
	for _, text := range []string{"990101198001010999", "9901011980010110", "erson 1000/1980-01-01", "PERSON 1000/1980-01-01", string(near[:]), ""} {
		s.In([]byte(text))
	}
	if s.Found() != 0 {
		t.Errorf("found %d values that are not there", s.Found())
	}
	s.In(append(data, "990101198001011999"...))
	if s.Found() != 1 || !s.Has(2*999) {
		t.Errorf("found %d, not the one at the end of 4 MiB", s.Found())
	}
}

// What is shorter than a form's shortest is not looked for plainly, or everything would hold it; its
// digests are.
func TestShortValues(t *testing.T) {
	digest := sha256.Sum256([]byte("ab"))
	s := audit.NewSearch()
	s.Add("ab")
	s.In([]byte("absolutely"))
	if s.Found() != 0 {
		t.Error("two letters are found in a word")
	}
	s.In(digest[:])
	if s.Found() != 1 {
		t.Error("their digest is not found")
	}
}

func BenchmarkSearch(b *testing.B) {
	s := audit.NewSearch()
	for i := range 4000 {
		s.Add("99010119800101" + strconv.Itoa(1000+i))
	}
	noise := rand.New(rand.NewPCG(5, 6))
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(noise.Uint32())
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		s.In(data)
	}
}
