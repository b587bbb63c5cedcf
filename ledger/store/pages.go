package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Changing or proving a record takes the hashes of its bucket's other leaves. Their rows would tell,
// but reading eight rows costs several times what everything else does. So the leaves of each bucket
// also lie side by side in a page, in a file for each segment, and the trie says where.
//
// A page begins with its seal: the bucket's hash, of which the first 8 bytes are mixed with a checksum of the leaves. It is
// believed when that is the hash the trie in memory has, and the leaves have the checksum. Whatever else is found in
// a page's place, or nothing, or a file that cannot be read, means reading the rows. So pages are written without fsync and no crash, loss or exchange of these
// files can do more harm than to make the next changes slower, each until its bucket has a page again. As with the database's blocks, whoever
// forges one makes this node come to another root than the others.
//
// A file is only appended to. When it has half as much again as was in use when it began or was opened, and pagesSlack, its segment's next
// checkpoint begins a new one with the pages that are still in use.

// pageRef is where a page is: its first unit in the file and, in the low bits, how many leaves it has.
// 0 is nowhere.
type pageRef uint32

const (
	pageUnit     = 32 // bytes: a seal is one unit, a leaf two; unit 0 of a file stays empty
	leafSize     = 64 // bytes: key hash and hash
	pageBits     = 4
	maxPage      = 1<<pageBits - 1 // leaves; a larger bucket has no page
	maxPageUnit  = linkMask >> pageBits
	pagesDir     = "pages"
	pagesSlack   = 256 << 10 // bytes appended before a file is worth being written anew: making a file takes longer than writing that much
	pageCategory = vfs.DiskWriteCategory("hufu-pages")
)

func (r pageRef) leaves() int   { return int(r & maxPage) }
func (r pageRef) offset() int64 { return int64(r>>pageBits) * pageUnit }
func (r pageRef) size() int     { return pageSize(r.leaves()) }

// pageSize is the size in bytes of a page of so many leaves.
func pageSize(leaves int) int {
	if leaves == 0 {
		return 0
	}
	return pageUnit + leaves*leafSize
}

// hasPage tells whether a bucket of so many leaves gets a page.
func hasPage(leaves int) bool { return leaves > 0 && leaves <= maxPage }

// pageAt is the place of a page at offset, 0 when a node cannot say it.
func pageAt(offset int64, leaves int) pageRef {
	if offset/pageUnit > maxPageUnit {
		return 0
	}
	return pageRef(offset/pageUnit)<<pageBits | pageRef(leaves)
}

// appendPage writes the page of a bucket.
func appendPage(out []byte, bucket *hufu.Digest, leaves []proof.Leaf) []byte {
	data := leafBytes(leaves)
	seal := sealed(bucket, data)
	return append(append(out, seal[:]...), data...)
}

// sealed is the seal of a bucket's leaves.
func sealed(bucket *hufu.Digest, leaves []byte) hufu.Digest {
	seal := *bucket
	binary.LittleEndian.PutUint64(seal[:], binary.LittleEndian.Uint64(seal[:])^xxhash.Sum64(leaves))
	return seal
}

// openPage are the leaves in a page, if it is that of the bucket.
func openPage(page []byte, bucket *hufu.Digest) ([]proof.Leaf, bool) {
	leaves := page[pageUnit:]
	if sealed(bucket, leaves) != hufu.Digest(page[:pageUnit]) {
		return nil, false
	}
	return leavesIn(leaves), true
}

// leafBytes and leavesIn see leaves as they lie in a page: Leaf is two arrays of bytes, and copying them to and fro
// would take longer than the checksum.
func leafBytes(leaves []proof.Leaf) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(leaves))), len(leaves)*leafSize)
}

func leavesIn(data []byte) []proof.Leaf {
	return unsafe.Slice((*proof.Leaf)(unsafe.Pointer(unsafe.SliceData(data))), len(data)/leafSize)
}

var _ = [1]struct{}{}[unsafe.Sizeof(proof.Leaf{})-leafSize]

// pageFile holds the pages of one segment. The zero value is none: it has no pages.
type pageFile struct {
	number uint64   // version whose checkpoint began it
	file   vfs.File // nil when there is none yet, or none that can be used
	begun  int64    // bytes of it that were in use when it began or was opened
	end    int64    // where the next page goes
}

func (d *disk) pagesPath(name string) string {
	return d.opts.FS.PathJoin(d.opts.FS.PathJoin(d.dir, pagesDir), name)
}

func pagesName(seg int, number uint64) string { return fmt.Sprintf("%02x-%d", seg, number) }

// openPages opens the files that the checkpoints name and that are not open, and removes others.
func (d *disk) openPages() {
	names, err := d.opts.FS.List(d.pagesPath(""))
	if err != nil {
		d.pagesFailed(err)
		return
	}
	for _, name := range names {
		seg, number, ok := parsePagesName(name)
		switch {
		case !ok:
		case number != d.pages[seg].number:
			err = errors.Join(err, d.opts.FS.Remove(d.pagesPath(name)))
		case d.pages[seg].file == nil:
			err = errors.Join(err, d.pages[seg].open(d.opts.FS, d.pagesPath(name), d.segs[seg].pagesInUse()))
		}
	}
	if err != nil {
		d.pagesFailed(err)
	}
}

func parsePagesName(name string) (seg int, number uint64, ok bool) {
	a, b, _ := strings.Cut(name, "-")
	s, err := strconv.ParseUint(a, 16, 8)
	n, err2 := strconv.ParseUint(b, 10, 64)
	return int(s), n, err == nil && err2 == nil && pagesName(int(s), n) == name
}

// open opens the file, of which so many bytes are in use. What else it holds was appended to it: counted as what it began
// with, it would be kept through every start.
func (f *pageFile) open(files vfs.FS, path string, inUse int64) error {
	file, err := files.OpenReadWrite(path, pageCategory)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	size := (info.Size() + pageUnit - 1) / pageUnit * pageUnit
	f.file, f.begun, f.end = file, inUse, max(size, pageUnit)
	return nil
}

// create makes the file anew.
func (f *pageFile) create(files vfs.FS, path string) error {
	file, err := files.Create(path, pageCategory)
	if err == nil { // otherwise what is returned is no file, and yet not nil
		f.file = file
	}
	return err
}

func (f *pageFile) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// pagesFailed notes trouble that only costs time.
func (d *disk) pagesFailed(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		d.log().Warn("pages cannot be used, records are read instead", "error", err)
	}
}

// renewed is a segment's new file and where its pages are there, in the order of appendSegment; nil
// when there was no file before.
type renewed struct {
	segment int
	file    pageFile
	pages   []pageRef
	moved   []byte // the pages themselves, until they are written
}

// begin is a segment's first file, or that in place of a lost one.
func (d *disk) begin(seg int) *renewed {
	return &renewed{segment: seg, file: pageFile{number: d.pages[seg].number, begun: pageUnit, end: pageUnit}}
}

// writePages notes where the pages of what a commit changes will be, and begins to write them, after making files: those
// of fresh, to which it adds. What can't be written is not found there later. Nobody reads any of it before the commit is applied.
func (d *disk) writePages(parts []part, fresh []*renewed, writing *sync.WaitGroup) []*renewed {
	type write struct {
		to    *pageFile
		pages []byte
		at    int64
	}
	into := make([]*renewed, segments)
	for _, r := range fresh {
		into[r.segment] = r
	}
	begin := func(seg int) {
		into[seg] = d.begin(seg)
		fresh = append(fresh, into[seg])
	}
	if d.fresh.Load() { // all at once, rather than one now and then while somebody waits for a block
		for seg := range into {
			begin(seg)
		}
	}
	writes := make([]write, 0, len(parts)+len(fresh))
	for i := range parts {
		p := &parts[i]
		if len(p.pages) == 0 {
			continue
		}
		f := &d.pages[p.segment]
		if f.file == nil && into[p.segment] == nil {
			begin(p.segment)
		}
		if r := into[p.segment]; r != nil {
			f = &r.file
		}
		writes = append(writes, write{f, p.pages, f.end})
		for j := range p.buckets {
			if b := &p.buckets[j]; hasPage(b.leaves) {
				b.node.setPage(pageAt(f.end, b.leaves))
				f.end += int64(pageSize(b.leaves))
			}
		}
	}
	if len(writes) == 0 && len(fresh) == 0 {
		return fresh
	}
	writing.Go(func() {
		for _, r := range fresh {
			if err := r.file.create(d.opts.FS, d.pagesPath(pagesName(r.segment, r.file.number))); err != nil {
				d.pagesFailed(err)
			}
			writes = append(writes, write{&r.file, r.moved, pageUnit})
			r.moved = nil
		}
		for _, w := range writes {
			if w.to.file == nil || len(w.pages) == 0 {
				continue
			}
			if _, err := w.to.file.WriteAt(w.pages, w.at); err != nil {
				d.pagesFailed(err)
			}
		}
	})
	return fresh
}

// removePages removes files that nobody reads any more, which takes longer than making them where the disk is told what it may forget.
func (d *disk) removePages(old []renewed) {
	for i := range old {
		if err := errors.Join(old[i].file.close(), d.opts.FS.Remove(d.pagesPath(pagesName(old[i].segment, old[i].file.number)))); err != nil {
			d.pagesFailed(err)
		}
	}
}

// stale tells whether a file is to be written anew with the segment's next checkpoint.
func (f *pageFile) stale() bool { return f.file != nil && f.end > f.begun+f.begun/2+pagesSlack }

// mover copies the pages of one segment that are in use. It keeps the memory that it reads into.
type mover struct {
	old []byte
	out []byte
	at  []pageRef
}

func (m *mover) move(r pageRef) pageRef {
	to := pageRef(0)
	if end := r.offset() + int64(r.size()); r != 0 && end <= int64(len(m.old)) {
		to = pageAt(pageUnit+int64(len(m.out)), r.leaves())
		m.out = append(m.out, m.old[r.offset():end]...)
	}
	m.at = append(m.at, to)
	return to
}

// read fills the mover with a file.
func (m *mover) read(f *pageFile) error {
	if int64(cap(m.old)) < f.end {
		m.old = make([]byte, f.end, f.end+f.end/8)
	}
	m.old, m.out, m.at = m.old[:f.end], make([]byte, 0, f.begun), nil
	n, err := f.file.ReadAt(m.old, 0)
	if n < len(m.old) {
		return err
	}
	return nil
}

// renew gathers the pages of a segment that are in use for a new file, and makes the checkpoint that names it.
func (d *disk) renew(seg int) (*renewed, []byte, error) {
	m := &d.mover
	if err := m.read(&d.pages[seg]); err != nil {
		return nil, nil, err
	}
	row := encodeCheckpoint(d.segs[seg], d.now.number, d.now.number, m.move)
	size := pageUnit + int64(len(m.out))
	return &renewed{segment: seg, file: pageFile{number: d.now.number, begun: size, end: size}, pages: m.at, moved: m.out}, row, nil
}

func stay(r pageRef) pageRef { return r }

// keptLeaves are the leaves of a bucket if it needs no reading, appended to mem.
func (d *disk) keptLeaves(n *node, p place, mem *[]byte) (leaves []proof.Leaf, ok bool) {
	if n.hash == (hufu.Digest{}) {
		return nil, true
	}
	ok = d.recent[p.segment()].find(p, n.hash, func(kept []proof.Leaf) {
		from := len(*mem)
		*mem = append(*mem, leafBytes(kept)...)
		leaves = leavesIn((*mem)[from:])
	})
	return leaves, ok
}

// readPage are the leaves of a bucket if it has a page that can be read and is to be believed, appended to mem.
func (d *disk) readPage(n *node, p place, mem *[]byte, read func(vfs.File, []byte, int64) bool) ([]proof.Leaf, bool) {
	f := &d.pages[p.segment()]
	r := n.page()
	if r == 0 || f.file == nil {
		return nil, false
	}
	from := len(*mem)
	*mem = slices.Grow(*mem, r.size())[:from+r.size()]
	page := (*mem)[from:]
	if read(f.file, page, r.offset()) {
		if leaves, ok := openPage(page, &n.hash); ok {
			return leaves, true
		}
	}
	*mem = (*mem)[:from]
	return nil, false
}

// readPageFile waits for what is not in memory.
func readPageFile(f vfs.File, page []byte, at int64) bool {
	n, _ := f.ReadAt(page, at)
	return n == len(page)
}

// readOrFetch has the system fetch what is not in memory, and does not wait for it.
func (d *disk) readOrFetch(f vfs.File, page []byte, at int64) bool {
	if d.opts.FS != vfs.Default { // what is open need not be a file of the system's
		return readPageFile(f, page, at)
	}
	if readNow(f, page, at) {
		return true
	}
	_ = f.Prefetch(at, int64(len(page))) // whoever reads it learns what is wrong
	return false
}

// pageLeaves are the leaves of a bucket, if they are kept in memory or it has a page that is to be believed. They are good until
// the reader reads another.
func (d *disk) pageLeaves(n *node, p place, buf *bucketReader) ([]proof.Leaf, bool) {
	buf.page = buf.page[:0]
	leaves, ok := d.keptLeaves(n, p, &buf.page)
	if ok {
		return leaves, true
	}
	if leaves, ok = d.readPage(n, p, &buf.page, readPageFile); ok {
		d.recent[p.segment()].keep(p, n.hash, leaves)
	}
	return leaves, ok
}

// bucketLeaves reads the leaves of a bucket: from its page, or else from the rows. They are good until the reader reads another.
func (d *disk) bucketLeaves(n *node, p place, buf *bucketReader) ([]proof.Leaf, error) {
	if leaves, ok := d.pageLeaves(n, p, buf); ok {
		return leaves, nil
	}
	return d.rowLeaves(n, p, buf)
}

// rowLeaves reads the leaves of a bucket from the rows, of which it asks for an iterator.
func (d *disk) rowLeaves(n *node, p place, buf *bucketReader) ([]proof.Leaf, error) {
	rows, err := buf.rows(d)
	if err != nil {
		return nil, err
	}
	leaves, err := readLeaves(rows, p, buf.leaves[:0])
	if buf.leaves = leaves; err != nil {
		return nil, err
	}
	if proof.Subtree(leaves, p.depth) != n.seen() {
		return nil, fmt.Errorf("%w: the records below %016x/%d are not those that were committed", ErrCorrupt, p.path, p.depth)
	}
	return leaves, nil
}
