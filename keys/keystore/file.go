package keystore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/hufu-id/hufu/durable"
)

// maxFileBytes bounds a key file: some hundred thousand keys.
const maxFileBytes = 32 << 20

// readPrivate reads a file that nobody but its owner may read or write.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrCorrupt, path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o, others may use it; it must be 0600", ErrPermissions, path, mode)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%w: %s has %d bytes, more than %d", ErrCorrupt, path, info.Size(), maxFileBytes)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	return raw, nil
}

// replace puts data at path, all of it or nothing, also when the machine stops in between.
func replace(path string, data []byte) error {
	if err := durable.Write(path, data); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return nil
}

// lock waits for the right to write path. The lock file stays: removing it would let two holders in.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keystore: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keystore: locking %s: %w", f.Name(), err), f.Close())
	}
	return f.Close, nil // closing gives the lock back
}
