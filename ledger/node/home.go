package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// home is a locked home.
type home struct {
	dir  string
	lock *os.File
}

// openHome locks a home for this process and checks that it can be written to and has at least
// reserve bytes of room. The lock goes with the process, however it ends.
func openHome(dir string, reserve uint64) (*home, error) {
	if _, err := os.Stat(filepath.Join(dir, genesisFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoHome, dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, diskError(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrLocked, dir), f.Close())
	}
	h := &home{dir: dir, lock: f}
	if err := checkRoom(dir, reserve); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// CheckRoom tells before a home is made whether a node with the default Reserve could run in dir. The
// error wraps [ErrDiskFull].
func CheckRoom(dir string) error { return checkRoom(dir, defaultReserve) }

func checkRoom(dir string, reserve uint64) error {
	free, err := freeSpace(dir)
	if err == nil && free < reserve {
		err = fmt.Errorf("%w: %d MiB are free in %s and %d MiB are wanted", ErrDiskFull, free>>20, dir, reserve>>20)
	}
	return err
}

func (h *home) path(elem ...string) string {
	return filepath.Join(append([]string{h.dir}, elem...)...)
}

// close gives the lock back.
func (h *home) close() error { return h.lock.Close() }

func freeSpace(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("node: free space: %w", err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// diskError gives the system's errors about disks the names of this package.
func diskError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return fmt.Errorf("node: %w", err)
}
