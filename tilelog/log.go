package tilelog

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

// Rules that a log refuses to go on by.
const (
	RuleAhead  hufu.Rule = "tilelog.ahead"  // the log has entries that the database lost
	RuleOther  hufu.Rule = "tilelog.other"  // the database has another entry where the log ends
	RuleBehind hufu.Rule = "tilelog.behind" // the ledger has a checkpoint that the log, or its database, does not continue
)

const (
	batch        = 256                    // entries at once: a tile's width
	publishEvery = 200 * time.Millisecond // checkpoints, at most
	pollEvery    = 20 * time.Millisecond  // for the checkpoint of what was added
	writerLock   = "writer.lock"
)

// Source lists up to limit entries of a service from the one with number from on, counted from 0. It lists
// none when there are no more.
type Source func(ctx context.Context, from uint64, limit int) ([]hufu.Digest, error)

// Log is a service's log. Safe for concurrent use, and several processes may follow one database into one
// directory.
type Log struct {
	dir      string
	signer   keys.Signer
	origin   string
	appender *tessera.Appender
	reader   tessera.LogReader
	shutdown func(context.Context) error
	cancel   context.CancelFunc
}

// Open opens the log in dir, or makes it. The signer's suite must be Ed25519.
func Open(ctx context.Context, dir, origin string, signer keys.Signer) (*Log, error) {
	if _, _, err := tlog.SplitOrigin(origin); err != nil {
		return nil, err
	}
	if signer.Public().Suite() != keys.Ed25519 {
		return nil, fmt.Errorf("tilelog: a log signs with a key of %s, not %s", keys.Ed25519, signer.Public().Suite())
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(noteSigner{origin, signer}).
		WithBatching(batch, 10*time.Millisecond).WithCheckpointInterval(publishEvery).WithCheckpointRepublishInterval(0)
	// Its work in the background ends with Close and not with the opening call.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{dir: dir, signer: signer, origin: origin, cancel: cancel}
	if l.appender, l.shutdown, l.reader, err = tessera.NewAppender(background, driver, options); err != nil {
		cancel()
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	return l, nil
}

// Close ends the log's work.
func (l *Log) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := l.shutdown(ctx)
	l.cancel()
	return err
}

// Follow adds what the source has and the log does not, and returns how many entries the log then has, all
// under its published checkpoint. A log that the source contradicts is left as it is, and so is one that would not continue
// last, which is what a ledger has of it, nil for nothing: with a checkpoint that contradicts that one it would convict itself.
func (l *Log) Follow(ctx context.Context, source Source, last *anchors.Log) (size uint64, err error) {
	release, err := l.lock()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if size, err = l.integrated(ctx); err != nil {
		return 0, err
	}
	if err := l.agrees(ctx, source, size); err != nil {
		return size, err
	}
	if last != nil {
		if err := l.continues(ctx, source, last); err != nil {
			return size, err
		}
	}
	for {
		entries, err := source(ctx, size, batch)
		if err != nil {
			return size, err
		}
		if len(entries) == 0 {
			break
		}
		if size, err = l.add(ctx, size, entries); err != nil {
			return size, err
		}
	}
	return size, l.await(ctx, size)
}

// agrees compares the last entry of both, which settles the order of all before it if the database is the
// one that was followed.
func (l *Log) agrees(ctx context.Context, source Source, size uint64) error {
	if size == 0 {
		return nil
	}
	last, err := source(ctx, size-1, 1)
	if err != nil {
		return err
	}
	if len(last) == 0 {
		return hufu.Refuse(RuleAhead, "the log has %d entries, more than the database", size)
	}
	bundle, err := client.GetEntryBundle(ctx, l.reader.ReadEntryBundle, (size-1)/batch, size)
	if err != nil {
		return fmt.Errorf("tilelog: %w", err)
	}
	if at := (size - 1) % batch; at >= uint64(len(bundle.Entries)) || string(bundle.Entries[at]) != string(last[0][:]) {
		return hufu.Refuse(RuleOther, "entry %d of the log is not the database's", size-1)
	}
	return nil
}

// add appends entries, the first of which gets the number size.
func (l *Log) add(ctx context.Context, size uint64, entries []hufu.Digest) (uint64, error) {
	futures := make([]tessera.IndexFuture, len(entries))
	for i := range entries {
		futures[i] = l.appender.Add(ctx, tessera.NewEntry(entries[i][:]))
	}
	for _, future := range futures {
		at, err := future()
		if err != nil {
			return size, fmt.Errorf("tilelog: %w", err)
		}
		if at.Index != size {
			return size, fmt.Errorf("tilelog: an entry has number %d where %d was next", at.Index, size)
		}
		size++
	}
	return size, nil
}

// await waits until the published checkpoint covers size entries.
func (l *Log) await(ctx context.Context, size uint64) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if c, err := l.Checkpoint(ctx); err == nil && c.Size >= size {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (l *Log) integrated(ctx context.Context) (uint64, error) {
	size, err := l.reader.IntegratedSize(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("tilelog: %w", err)
	}
	return size, nil
}

// lock makes this the only process that adds to the log. Closing the file gives the lock back.
func (l *Log) lock() (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(l.dir, writerLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("tilelog: locking the log: %w", err), f.Close())
	}
	return f.Close, nil
}

// Checkpoint is the published checkpoint.
func (l *Log) Checkpoint(ctx context.Context) (*tlog.Signed, error) {
	raw, err := l.reader.ReadCheckpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	return tlog.Parse(string(raw))
}

// continues refuses, by [RuleBehind], a log of which last is no part, nor will be when it has what the source has.
func (l *Log) continues(ctx context.Context, source Source, last *anchors.Log) error {
	if c, err := l.Checkpoint(ctx); err == nil && c.Size >= last.Size {
		_, err := l.consistency(ctx, c, last)
		return err
	}
	if end, err := source(ctx, last.Size-1, 1); err != nil {
		return err
	} else if len(end) == 0 {
		return hufu.Refuse(RuleBehind, "the ledger has the log's checkpoint of %d entries, and the database has fewer", last.Size)
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for tree.End() < last.Size {
		entries, err := source(ctx, tree.End(), int(min(batch, last.Size-tree.End()))) //nolint:gosec // at most batch
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return errors.New("tilelog: the database has entries after others that are missing")
		}
		for i := range entries {
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(entries[i][:]), nil); err != nil {
				return fmt.Errorf("tilelog: %w", err)
			}
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return fmt.Errorf("tilelog: %w", err)
	}
	if !bytes.Equal(root, last.Root[:]) {
		return notContinued(last.Size, last)
	}
	return nil
}

// consistency proves that a checkpoint of this log continues last. A log whose database was restored from before last grows
// past it and is another: what it signs then would convict it.
func (l *Log) consistency(ctx context.Context, c *tlog.Signed, last *anchors.Log) (path []hufu.Digest, err error) {
	if c.Size < last.Size {
		return nil, hufu.Refuse(RuleBehind, "the log has %d entries, and the ledger has its checkpoint of %d", c.Size, last.Size)
	}
	if c.Size > last.Size {
		if path, err = (&Reader{Tile: l.reader.ReadTile}).Consistency(ctx, last.Size, c.Size); err != nil {
			return nil, err
		}
	}
	was := tlog.Checkpoint{Origin: c.Origin, Size: last.Size, Root: last.Root}
	if err := tlog.CheckConsistency(&was, &c.Checkpoint, path); err != nil {
		return nil, notContinued(c.Size, last)
	}
	return path, nil
}

func notContinued(size uint64, last *anchors.Log) error {
	return hufu.Refuse(RuleBehind, "the log of %d entries does not continue the ledger's checkpoint of %d: its database is older than that, or was changed", size, last.Size)
}

// Anchor is what puts the published checkpoint, signed with the present key, on a ledger that has last of this
// log, nil for nothing. It is nil when the log has not grown since.
func (l *Log) Anchor(ctx context.Context, last *anchors.Log) (*tx.AnchorCommit, error) {
	c, err := l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	b, had := new(tx.AnchorCommit), uint64(0)
	if last != nil {
		had = last.Size
		if b.Proof, err = l.consistency(ctx, c, last); err != nil {
			return nil, err
		}
	}
	if c.Size == had {
		return nil, nil
	}
	b.Checkpoint, err = tlog.Sign(rand.Reader, l.signer, c.Checkpoint)
	return b, err
}

// noteSigner is a key as signed notes have it.
type noteSigner struct {
	name string
	key  keys.Signer
}

func (s noteSigner) Name() string                    { return s.name }
func (s noteSigner) KeyHash() uint32                 { return tlog.KeyID(s.name, s.key.Public().Raw()) }
func (s noteSigner) Sign(msg []byte) ([]byte, error) { return s.key.Sign(rand.Reader, msg) }
