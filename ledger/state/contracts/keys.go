package contracts

import (
	"encoding/binary"

	"github.com/hufu-id/hufu"
)

const (
	headPrefix    = "contracts/head/"    // one contract's newest version: [Head]
	versionPrefix = "contracts/version/" // one version of one contract: [Published]
)

// HeadKey is where the newest version of a contract is named.
func HeadKey(owner hufu.ID, name string) []byte {
	return contractKey(headPrefix, owner, name)
}

// VersionKey is where one version of a contract is.
func VersionKey(owner hufu.ID, name string, version uint32) []byte {
	return binary.BigEndian.AppendUint32(append(contractKey(versionPrefix, owner, name), '/'), version)
}

// contractKey is unambiguous: an identifier has a fixed length and a name has no "/".
func contractKey(prefix string, owner hufu.ID, name string) []byte {
	k := make([]byte, 0, len(prefix)+len(owner)+1+len(name)+5)
	k = append(append(k, prefix...), owner[:]...)
	return append(append(k, '/'), name...)
}
