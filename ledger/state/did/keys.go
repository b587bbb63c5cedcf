package did

import (
	"strconv"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/tx"
)

const recordPrefix = "did/"

// StateKey is where the record of id is in the state.
func StateKey(id hufu.ID) []byte {
	return append(append(make([]byte, 0, len(recordPrefix)+len(id)), recordPrefix...), id[:]...)
}

// ControlFragment is the fragment of the control key with an index: "key-0" is the first.
func ControlFragment(index int) string { return tx.ControlFragment + strconv.Itoa(index) }

// controlIndex is the inverse of ControlFragment.
func controlIndex(fragment string) (int, bool) {
	digits, ok := strings.CutPrefix(fragment, tx.ControlFragment)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil && n >= 0 && ControlFragment(n) == fragment
}
