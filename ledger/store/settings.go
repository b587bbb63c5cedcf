package store

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Settings sizes a pebble database. The zero value is a modest one: about 64 MiB of cache and, only
// under load, three memtables of 32 MiB.
type Settings struct {
	CacheBytes    int64        // block cache; 0 means 64 MiB
	MemTableBytes uint64       // one memtable; 0 means 32 MiB
	Logger        *slog.Logger // background trouble; nil is silent
	FS            vfs.FS       // nil is the disk
}

// PebbleOptions are the settings every database of a node shares.
func PebbleOptions(s Settings) *pebble.Options {
	if s.CacheBytes == 0 {
		s.CacheBytes = 64 << 20
	}
	if s.MemTableBytes == 0 {
		s.MemTableBytes = 32 << 20
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.FS == nil {
		s.FS = vfs.Default
	}
	o := &pebble.Options{
		FS:                          tableFS{s.FS},
		CacheSize:                   s.CacheBytes,
		MemTableSize:                s.MemTableBytes,
		MemTableStopWritesThreshold: 3,
		L0CompactionThreshold:       12, // six memtables at once are merged into the base level, which is rewritten each time
		L0StopWritesThreshold:       24,
		LBaseMaxBytes:               256 << 20, // as much as is merged into it at once, so that it is not rewritten for little
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      pebbleLogger{s.Logger},
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(2, runtime.GOMAXPROCS(0)/2) },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.Logger.Error("database background work failed", "error", err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.Logger.Error("database corruption", "info", info.String())
			},
		},
	}
	// Each table that is written is synced, and removed when it was merged: with larger ones that is done less often.
	o.TargetFileSizes[0] = 8 << 20 // of the base level twice as much, and so on
	for i := range o.Levels {
		// Keys and most values are hashes, signatures and keys, which do not compress.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].IndexBlockSize = 8 << 10
	}
	// What is merged most often is merged with fewer reads and writes; nearly all records are below it, in blocks that are
	// read with little around what is asked for.
	for i := len(o.Levels) - 2; i < len(o.Levels); i++ {
		o.Levels[i].BlockSize = 4 << 10
	}
	return o
}

// pebbleLogger turns pebble's fatal errors into panics: the default ends the process in silence as
// far as callers can tell. Commit recovers one that reaches it.
type pebbleLogger struct{ to *slog.Logger }

func (l pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.to.Log(context.Background(), slog.LevelError, fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	panic(fatal(fmt.Sprintf(format, args...)))
}

// fatal is what the database cannot go on after.
type fatal string

func (f fatal) Error() string { return string(f) }
