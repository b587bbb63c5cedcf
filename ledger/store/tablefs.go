package store

import (
	"bufio"
	"errors"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableFS is a file system on which tables are written with few, large writes. The database passes on each block of 4 KiB as
// it is made, and the system takes four times as long for what comes in such pieces as for the same in large ones.
type tableFS struct{ vfs.FS }

// tableBuffer is in bytes. From 64 KiB on more of it changes nothing.
const tableBuffer = 256 << 10

func (fs tableFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return newTableFile(f), nil
}

func (fs tableFS) Unwrap() vfs.FS { return fs.FS }

// tableFile is a table that is being written. Nobody reads it before it is closed.
type tableFile struct {
	vfs.File
	buffer *bufio.Writer
}

func newTableFile(f vfs.File) *tableFile {
	return &tableFile{File: f, buffer: bufio.NewWriterSize(f, tableBuffer)}
}

func (f *tableFile) Write(p []byte) (int, error) { return f.buffer.Write(p) }

func (f *tableFile) Sync() error { return errors.Join(f.buffer.Flush(), f.File.Sync()) }

func (f *tableFile) SyncData() error { return errors.Join(f.buffer.Flush(), f.File.SyncData()) }

// SyncTo begins to write what it was given so far to the disk, as it is asked to. What is in the buffer will follow.
func (f *tableFile) SyncTo(length int64) (all bool, err error) {
	all, err = f.File.SyncTo(length)
	return all && f.buffer.Buffered() == 0, err
}

func (f *tableFile) Close() error { return errors.Join(f.buffer.Flush(), f.File.Close()) }
