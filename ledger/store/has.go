package store

import (
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Has asks the trie in memory and one page. Get, of what is not there, has to look into every memtable, each
// of which costs as much as all of this, and into a filter for each level below them. A commit makes it wait for the trie alone; where there
// is no page to ask, it may know of a record in the instant before.
func (d *disk) Has(key []byte) (bool, error) {
	if err := d.running.enter(); err != nil {
		return false, err
	}
	defer d.running.leave()
	kh := proof.HashKey(key)
	d.mu.RLock()
	defer d.mu.RUnlock()
	at, depth := d.segs[kh[0]].find(&kh)
	buf := buffers.Get().(*bucketReader)
	defer buffers.Put(buf)
	if leaves, ok := d.pageLeaves(&d.segs[kh[0]][at], placeOf(&kh, depth), buf); ok {
		return holds(leaves, &kh), nil
	}
	r, err := d.record(&kh)
	return r.Key != nil, err
}

func holds(leaves []proof.Leaf, kh *hufu.Digest) bool {
	for i := range leaves {
		if leaves[i].KeyHash == *kh {
			return true
		}
	}
	return false
}

// buffers are for those who look for one record. None gets an iterator.
var buffers = sync.Pool{New: func() any { return new(bucketReader) }}
