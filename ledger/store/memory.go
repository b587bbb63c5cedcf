package store

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// memory keeps every version as an immutable trie that shares what did not change with the one
// before it.
type memory struct {
	writer sync.Mutex // one Commit or Restore at a time
	mu     sync.RWMutex
	now    version
	closed bool
}

type version struct {
	State
	number uint64
	top    *twig
}

// twig is a node of the immutable trie: a leaf when record is set. A nil twig is empty.
type twig struct {
	proof.Node
	left, right *twig
	record      *record
}

type record struct {
	keyHash hufu.Digest
	proof.KV
}

// NewMemory returns an empty store that lives in memory.
func NewMemory() Store { return &memory{} }

func (m *memory) current() (version, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return version{}, ErrClosed
	}
	return m.now, nil
}

func (m *memory) Get(key []byte) ([]byte, error) {
	r, err := m.record(key)
	if r == nil {
		return nil, err
	}
	return bytes.Clone(r.Value), nil
}

func (m *memory) Has(key []byte) (bool, error) {
	r, err := m.record(key)
	return r != nil, err
}

// record is nil when there is none.
func (m *memory) record(key []byte) (*record, error) {
	v, err := m.current()
	if err != nil {
		return nil, err
	}
	kh := proof.HashKey(key)
	t := v.top
	for depth := 0; t != nil && t.record == nil; depth++ {
		t = t.child(proof.Bit(&kh, depth))
	}
	if t == nil || t.record.keyHash != kh {
		return nil, nil
	}
	return t.record, nil
}

func (m *memory) Stage(changes []Change) (*Staged, error) {
	v, err := m.current()
	if err != nil {
		return nil, err
	}
	todo, err := sorted(changes)
	if err != nil {
		return nil, err
	}
	count := int64(v.Count)
	top := v.top.with(todo, 0, &count)
	return &Staged{root: top.node().Hash, count: uint64(count), owner: m, base: v.number, next: top}, nil
}

func (m *memory) Commit(s *Staged, height hufu.Height, meta []byte) error {
	m.writer.Lock()
	defer m.writer.Unlock()
	v, err := m.current()
	if err != nil {
		return err
	}
	if err := checkCommit(m, s, v.number, v.Height, height); err != nil {
		return err
	}
	next := version{
		State:  State{Height: height, Root: s.root, Meta: bytes.Clone(meta), Count: s.count},
		number: v.number + 1,
		top:    s.next.(*twig),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = next
	return nil
}

func (m *memory) Prove(keys [][]byte) (*Answer, error) {
	v, err := m.current()
	if err != nil {
		return nil, err
	}
	a := &Answer{Height: v.Height, Root: v.Root, Items: make([]Item, len(keys))}
	for i, key := range keys {
		if err := checkRecord(key, nil, true); err != nil {
			return nil, err
		}
		a.Items[i] = v.top.prove(key)
	}
	return a, nil
}

func (m *memory) State() State {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.now.State
	s.Meta = bytes.Clone(s.Meta)
	return s
}

func (m *memory) Restore(as State, records iter.Seq2[proof.KV, error]) error {
	m.writer.Lock()
	defer m.writer.Unlock()
	v, err := m.current()
	if err != nil {
		return err
	}
	if v.number > 0 {
		return ErrNotEmpty
	}
	var todo []pending
	order := inOrder{}
	for r, err := range records {
		if err != nil {
			return err
		}
		kh, err := order.next(r)
		if err != nil {
			return err
		}
		todo = append(todo, pending{kh, Change(r)})
	}
	var count int64
	top := (*twig)(nil).with(todo, 0, &count)
	if top.node().Hash != as.Root {
		return fmt.Errorf("%w: %s, not %s", ErrRoot, top.node().Hash, as.Root)
	}
	as.Count, as.Meta = uint64(count), bytes.Clone(as.Meta)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = version{State: as, number: 1, top: top}
	return nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed, m.now = true, version{}
	return nil
}

func (m *memory) Snapshot() (Snapshot, error) {
	v, err := m.current()
	if err != nil {
		return nil, err
	}
	return memorySnapshot{v}, nil
}

type memorySnapshot struct{ version }

func (s memorySnapshot) State() State {
	st := s.version.State
	st.Meta = bytes.Clone(st.Meta)
	return st
}

func (s memorySnapshot) Close() error { return nil }

func (s memorySnapshot) Records() iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) { s.top.each(yield) }
}

func (t *twig) node() proof.Node {
	if t == nil {
		return proof.Node{}
	}
	return t.Node
}

func (t *twig) child(bit int) *twig {
	if bit == 0 {
		return t.left
	}
	return t.right
}

func (t *twig) each(yield func(proof.KV, error) bool) bool {
	switch {
	case t == nil:
		return true
	case t.record != nil:
		return yield(proof.KV{Key: bytes.Clone(t.record.Key), Value: bytes.Clone(t.record.Value)}, nil)
	}
	return t.left.each(yield) && t.right.each(yield)
}

// with is the trie after the changes, all of which belong below t at depth.
func (t *twig) with(todo []pending, depth int, count *int64) *twig {
	if len(todo) == 0 {
		return t
	}
	if t == nil && len(todo) == 1 {
		return todo[0].twig(count)
	}
	var left, right *twig
	switch {
	case t == nil:
	case t.record == nil:
		left, right = t.left, t.right
	case len(todo) == 1 && todo[0].keyHash == t.record.keyHash:
		*count--
		return todo[0].twig(count)
	case proof.Bit(&t.record.keyHash, depth) == 0:
		left = t
	default:
		right = t
	}
	mid := splitPending(todo, depth)
	left = left.with(todo[:mid], depth+1, count)
	right = right.with(todo[mid:], depth+1, count)
	l, r := left.node(), right.node()
	node := proof.Join(&l, &r)
	switch {
	case node.Hash == (hufu.Digest{}):
		return nil
	case node.Leaf && right == nil:
		return left
	case node.Leaf:
		return right
	}
	return &twig{Node: node, left: left, right: right}
}

// twig is the leaf that the change makes, nil when it deletes.
func (p *pending) twig(count *int64) *twig {
	if p.Value == nil {
		return nil
	}
	*count++
	r := &record{keyHash: p.keyHash, KV: proof.KV{Key: bytes.Clone(p.Key), Value: bytes.Clone(p.Value)}}
	return &twig{Node: proof.Node{Hash: proof.HashLeaf(p.keyHash, p.Value), Leaf: true}, record: r}
}

// splitPending is the number of changes that go left at depth.
func splitPending(todo []pending, depth int) int {
	for i := range todo {
		if proof.Bit(&todo[i].keyHash, depth) == 1 {
			return i
		}
	}
	return len(todo)
}

func (t *twig) prove(key []byte) Item {
	item := Item{Key: bytes.Clone(key)}
	kh := proof.HashKey(key)
	var before, after []proof.Step // steps from the root to the neighbours of kh
	var steps []proof.Step
	var left, right *twig // subtrees that hold the neighbours, when they are set
	for depth := 0; t != nil && t.record == nil; depth++ {
		if proof.Bit(&kh, depth) == 0 {
			if t.right != nil {
				right, after = t.right, append(slices.Clone(steps), proof.Step{Sibling: t.left.node().Hash})
			}
			steps, t = append(steps, proof.Step{Sibling: t.right.node().Hash, OnRight: true}), t.left
		} else {
			if t.left != nil {
				left, before = t.left, append(slices.Clone(steps), proof.Step{Sibling: t.right.node().Hash, OnRight: true})
			}
			steps, t = append(steps, proof.Step{Sibling: t.left.node().Hash}), t.right
		}
	}
	if t != nil && t.record.keyHash == kh {
		item.Value = bytes.Clone(t.record.Value)
		item.Proof = t.membership(steps).Encode()
		return item
	}
	if t != nil { // one leaf stands on the way and is itself a neighbour
		if bytes.Compare(t.record.keyHash[:], kh[:]) < 0 {
			left, before = t, steps
		} else {
			right, after = t, steps
		}
	}
	item.Proof = proof.EncodeAbsence(key, left.edge(before, 1), right.edge(after, 0))
	return item
}

// edge is the last (side 1) or first (side 0) record below t.
func (t *twig) edge(steps []proof.Step, side int) *proof.Membership {
	if t == nil {
		return nil
	}
	for t.record == nil {
		near, far := t.child(side), t.child(1-side)
		if near == nil {
			near = far
			steps = append(steps, proof.Step{OnRight: side == 1})
		} else {
			steps = append(steps, proof.Step{Sibling: far.node().Hash, OnRight: side == 0})
		}
		t = near
	}
	return t.membership(steps)
}

// membership turns steps, which run from the root, into a path.
func (t *twig) membership(steps []proof.Step) *proof.Membership {
	path := make([]proof.Step, len(steps))
	for i, s := range steps {
		path[len(steps)-1-i] = s
	}
	return &proof.Membership{KV: t.record.KV, Path: path}
}
