package anchors

import "github.com/hufu-id/hufu"

const (
	logPrefix  = "anchors/log/"  // the newest checkpoint of one log: [Log]
	forkPrefix = "anchors/fork/" // the evidence against one log: [Fork]
)

// LogKey is where the newest checkpoint of a log is.
func LogKey(owner hufu.ID, name string) []byte { return key(logPrefix, owner, name) }

// ForkKey is where the evidence against a log is, or its absence.
func ForkKey(owner hufu.ID, name string) []byte { return key(forkPrefix, owner, name) }

// key is unambiguous: an identifier has a fixed length and the name is the rest.
func key(prefix string, owner hufu.ID, name string) []byte {
	k := make([]byte, 0, len(prefix)+len(owner)+1+len(name))
	k = append(append(k, prefix...), owner[:]...)
	return append(append(k, '/'), name...)
}
