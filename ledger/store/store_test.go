package store_test

import (
	"os"
	"testing"

	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(testing.TB) store.Store { return store.NewMemory() })
}

func open(t testing.TB, dir string, opts store.Options) store.Store {
	t.Helper()
	opts.Reserve, opts.CacheBytes, opts.MemTableBytes = 1, 1<<20, 1<<20
	s, err := store.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fastDir is a directory in memory when there is one: most tests are not about the disk.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestDisk(t *testing.T) {
	for name, opts := range map[string]store.Options{
		"default": {}, "small buckets": {Bucket: 1, Workers: 3},
		"large buckets, no pages": {Bucket: 64, Workers: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && opts.Bucket != 0 {
				t.Skip("left to the long run: what goes on at once is the same in every layout")
			}
			storetest.Run(t, func(tb testing.TB) store.Store { return open(tb, fastDir(tb), opts) })
		})
	}
}
