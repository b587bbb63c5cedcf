package store

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// readNow fills page with what a file of the system's has there, if that is in memory.
func readNow(f vfs.File, page []byte, at int64) bool {
	n, err := unix.Preadv2(int(f.Fd()), [][]byte{page}, at, unix.RWF_NOWAIT)
	return err == nil && n == len(page)
}
