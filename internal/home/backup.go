package home

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/node"
)

// ManifestFile lists, in a backup, what is in it.
const ManifestFile = "manifest.json"

// Manifest is of a backup.
type Manifest struct {
	Version int          `json:"version"`
	Network hufu.Network `json:"network"`
	Made    time.Time    `json:"made"`
	Files   []BackupFile `json:"files"` // sorted by name
}

// BackupFile is one file of a backup.
type BackupFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

const manifestVersion = 1

// ErrBackup means that a backup is damaged or not whole, or is none.
var ErrBackup = errors.New("home: not a whole backup")

// What of a home is in a backup. Not in it: the node's blocks, which come from other nodes again, and what its
// validator signed last, which must never be put back; the logs, which follow from the databases; what a running
// process says of itself.
var (
	backedUp  = []string{settingsFile, bookFile, GenesisFile, NodeSettingsFile, trustFile, keysFile} // as they are; small
	databases = []string{IssuerFile, GateFile}
)

// What a restored database is told of the time that it does not know of.
var forgotten = []struct {
	file, role string
	changes    []string
}{
	{IssuerFile, "issuer", []string{"UPDATE lists SET given = size WHERE opened = 1", "DELETE FROM lists WHERE opened = 0"}},
	{GateFile, "gate", []string{"UPDATE requests SET expires = 0 WHERE answered = 0"}},
}

// Backup writes a copy of the home in dir, which may be in use, to a new directory. All that is secret in it is encrypted as it
// is in the home. There is the whole of it, or nothing.
func Backup(ctx context.Context, dir, to string, now time.Time) (*Manifest, error) {
	h, err := Peek(dir)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Version: manifestVersion, Network: h.Network(), Made: now.UTC().Truncate(time.Second)}
	err = whole(to, func(tmp string) error {
		// Databases first: the keys that are in them are in a key store that is copied later.
		for _, name := range databases {
			if _, err := os.Stat(h.Path(name)); err != nil {
				continue // without this role, or on PostgreSQL
			}
			if err := database.CopyFile(ctx, h.Path(name), filepath.Join(tmp, name)); err != nil {
				return err
			}
			m.Files = append(m.Files, BackupFile{Name: name})
		}
		for _, name := range backedUp {
			raw, err := os.ReadFile(h.Path(name))
			if errors.Is(err, os.ErrNotExist) && name != keysFile && name != settingsFile {
				continue
			}
			if err != nil {
				return err
			}
			if err := writeFile(filepath.Join(tmp, name), raw); err != nil {
				return err
			}
			m.Files = append(m.Files, BackupFile{Name: name})
		}
		slices.SortFunc(m.Files, func(a, b BackupFile) int {
			if a.Name < b.Name {
				return -1
			}
			return 1
		})
		for i := range m.Files {
			f := &m.Files[i]
			if f.Size, f.SHA256, err = measure(filepath.Join(tmp, f.Name)); err != nil {
				return err
			}
		}
		raw, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(tmp, ManifestFile), append(raw, '\n'))
	})
	return m, err
}

// Restore makes a home in dir, where there must be nothing, of a backup that u opens. What was done after the backup is
// forgotten by its databases, but not by the world. So the status lists that were open are closed: entries given since
// are never given again; requests that were open can no longer be answered: some were; and a validator waits before it signs
// ([node.MarkRestored]). So it is with the databases on PostgreSQL that db names, unless it is empty: their dump was put back before.
func Restore(ctx context.Context, from, dir string, u keystore.Unlock, network hufu.Network, db string) (*Manifest, error) {
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		return nil, fmt.Errorf("%w: %s is not empty", ErrExists, dir)
	}
	m, err := readManifest(from)
	if err != nil {
		return nil, err
	}
	if network != "" && network != m.Network {
		return nil, fmt.Errorf("home: the backup is of network %s, not of %s", m.Network, network)
	}
	return m, whole(dir, func(tmp string) error {
		for _, f := range m.Files {
			if err := copyFile(filepath.Join(from, f.Name), filepath.Join(tmp, f.Name)); err != nil {
				return err
			}
			size, sum, err := measure(filepath.Join(tmp, f.Name))
			if err != nil {
				return err
			}
			if size != f.Size || sum != f.SHA256 {
				return fmt.Errorf("%w: %s is not what the manifest says", ErrBackup, f.Name)
			}
		}
		h, err := Open(tmp, u)
		if err != nil {
			return err
		}
		if h.Network() != m.Network {
			return fmt.Errorf("%w: its settings are of network %s", ErrBackup, h.Network())
		}
		for _, r := range forgotten {
			if slices.ContainsFunc(m.Files, func(f BackupFile) bool { return f.Name == r.file }) {
				err = database.Change(ctx, filepath.Join(tmp, r.file), r.role, r.changes...)
			}
			if err == nil && db != "" {
				err = database.Change(ctx, db, r.role, r.changes...)
			}
			if err != nil {
				return err
			}
		}
		// Its validator waits until it is known to sign nothing twice.
		return node.MarkRestored(filepath.Join(tmp, NodeDir))
	})
}

// readManifest reads it, and checks that the backup has the files it names, and no other.
func readManifest(from string) (*Manifest, error) {
	raw, err := os.ReadFile(filepath.Join(from, ManifestFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("%w: %s does not read", ErrBackup, ManifestFile)
	}
	if m.Version != manifestVersion || !m.Network.Valid() {
		return nil, fmt.Errorf("%w: version %d of network %q is not known", ErrBackup, m.Version, m.Network)
	}
	known := append(slices.Clone(backedUp), databases...)
	names := map[string]bool{}
	for _, f := range m.Files {
		if !slices.Contains(known, f.Name) || names[f.Name] {
			return nil, fmt.Errorf("%w: the manifest names %q", ErrBackup, f.Name)
		}
		names[f.Name] = true
	}
	if !names[keysFile] || !names[settingsFile] {
		return nil, fmt.Errorf("%w: the manifest names no keys or no settings", ErrBackup)
	}
	return m, nil
}

// whole makes dir by fill, as a whole or not at all.
func whole(dir string, fill func(tmp string) error) error {
	dir = filepath.Clean(dir)
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 || err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s", ErrExists, dir), err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return diskError(fmt.Errorf("home: %w", err))
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".hufu-*")
	if err != nil {
		return diskError(fmt.Errorf("home: %w", err))
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // gone already when all went well
	if err := fill(tmp); err != nil {
		return diskError(err)
	}
	if err := durable.SyncDir(tmp); err != nil {
		return diskError(err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return diskError(fmt.Errorf("home: %w", err))
	}
	return diskError(durable.SyncDir(filepath.Dir(dir)))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func measure(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}
