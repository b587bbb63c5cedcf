package anchors

import (
	"github.com/hufu-id/hufu"
)

// Log is the newest checkpoint of a log.
type Log struct {
	Owner      hufu.ID     `cbor:"1,keyasint"`
	Name       string      `cbor:"2,keyasint"`
	Size       uint64      `cbor:"3,keyasint"` // entries
	Root       hufu.Digest `cbor:"4,keyasint"`
	Checkpoint string      `cbor:"5,keyasint"` // signed note that says so
	Count      uint64      `cbor:"6,keyasint"` // of checkpoints so far, this one included
	Height     hufu.Height `cbor:"7,keyasint"`
	Time       int64       `cbor:"8,keyasint"` // unix seconds
	Tx         hufu.Digest `cbor:"9,keyasint"`
}

// Fork is the evidence that a log's owner signed two logs under one name.
type Fork struct {
	Owner    hufu.ID       `cbor:"1,keyasint"`
	Name     string        `cbor:"2,keyasint"`
	First    string        `cbor:"3,keyasint"` // signed notes, as in tx.AnchorReport
	Second   string        `cbor:"4,keyasint"`
	Path     []hufu.Digest `cbor:"5,keyasint,omitempty"`
	Reporter hufu.ID       `cbor:"6,keyasint"`
	Height   hufu.Height   `cbor:"7,keyasint"`
	Time     int64         `cbor:"8,keyasint"` // unix seconds
	Tx       hufu.Digest   `cbor:"9,keyasint"`
}
