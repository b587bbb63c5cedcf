package trust

import (
	"encoding/binary"

	"github.com/hufu-id/hufu"
)

const (
	typePrefix  = "trust/type/"  // a credential type: [TypeRecord]
	grantPrefix = "trust/grant/" // what one subject may issue of one type: [Accreditation]
	duePrefix   = "trust/due/"   // withdrawals that take effect in one block: [due]
)

// TypeKey is where a credential type's latest version is in the state.
func TypeKey(vct string) []byte { return append([]byte(typePrefix), vct...) }

// AccreditationKey is where the grants to one subject for one type are.
func AccreditationKey(subject hufu.ID, vct string) []byte {
	k := make([]byte, 0, len(grantPrefix)+len(subject)+1+len(vct))
	k = append(append(k, grantPrefix...), subject[:]...)
	return append(append(k, '/'), vct...)
}

func dueKey(h hufu.Height) []byte {
	return binary.BigEndian.AppendUint64([]byte(duePrefix), uint64(h))
}
