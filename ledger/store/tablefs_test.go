package store

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestTablesInLargeWrites counts the writes in which tables come: each is as large as the buffer but for the last of a table.
func TestTablesInLargeWrites(t *testing.T) {
	files, tables, writes := vfs.NewMem(), 0, 0
	db, err := pebble.Open("db", PebbleOptions(Settings{FS: errorfs.Wrap(files, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") {
			switch op.Kind {
			case errorfs.OpCreate:
				tables++
			case errorfs.OpFileWrite:
				writes++
			}
		}
		return nil
	}))}))
	if err != nil {
		t.Fatal(err)
	}
	const rows, size = 8000, 1000
	for i := range rows {
		if err := db.Set(fmt.Appendf(nil, "%d", i), bytes.Repeat([]byte{byte(i)}, size), pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	if most := tables + 2*rows*size/tableBuffer; tables == 0 || writes > most {
		t.Errorf("%d tables came in %d writes, more than %d", tables, writes, most)
	}
	for i := range rows {
		value, closer, err := db.Get(fmt.Appendf(nil, "%d", i))
		if err != nil || !bytes.Equal(value, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Fatalf("row %d: %d bytes (%v)", i, len(value), err)
		}
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTableFile has what was written under the file once it is synced or closed, in whichever way, and says what could not be.
func TestTableFile(t *testing.T) {
	for name, end := range map[string]func(vfs.File) error{
		"synced": vfs.File.Sync, "data synced": vfs.File.SyncData, "closed": vfs.File.Close,
	} {
		t.Run(name, func(t *testing.T) {
			files, broken := vfs.NewMem(), false
			f, err := tableFS{errorfs.Wrap(files, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken && op.Kind == errorfs.OpFileWrite {
					return errorfs.ErrInjected
				}
				return nil
			}))}.Create("1.sst", "test")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("content")); err != nil {
				t.Fatal(err)
			}
			if err := end(f); err != nil {
				t.Fatal(err)
			}
			if info, err := files.Stat("1.sst"); err != nil || info.Size() != 7 {
				t.Errorf("%v (%v)", info, err)
			}
			if name == "closed" {
				return
			}
			broken = true
			if _, err := f.Write([]byte("more")); err != nil {
				t.Fatal(err)
			}
			if err := end(f); err == nil {
				t.Error("what failed is not said")
			}
			if err := f.Close(); err == nil {
				t.Error("what failed is not said when it is closed")
			}
		})
	}
}

// eager is a file that syncs all of itself whenever it is asked to begin.
type eager struct{ vfs.File }

func (eager) SyncTo(int64) (bool, error) { return true, nil }

// TestTableFileSyncTo does not say that all is synced when some of it is in the buffer.
func TestTableFileSyncTo(t *testing.T) {
	file, err := vfs.NewMem().Create("1.sst", "test")
	if err != nil {
		t.Fatal(err)
	}
	f := newTableFile(eager{file})
	for _, write := range []int{0, 1, tableBuffer - 1, 1} {
		if _, err := f.Write(make([]byte, write)); err != nil {
			t.Fatal(err)
		}
		if all, err := f.SyncTo(1); err != nil || all != (f.buffer.Buffered() == 0) {
			t.Errorf("%d bytes in the buffer: all is synced: %v (%v)", f.buffer.Buffered(), all, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
