package tlog

import (
	"crypto/sha256"
	"math/bits"

	"github.com/hufu-id/hufu"
)

// MaxProof is how many digests a proof can have: one for each level of the largest tree and the subtree
// it begins with.
const MaxProof = 64

// EmptyRoot is the root of a tree without entries.
func EmptyRoot() hufu.Digest { return sha256.Sum256(nil) }

// LeafHash is the hash of an entry (RFC 9162 §2.1.1).
func LeafHash(entry []byte) hufu.Digest {
	return sha256.Sum256(append([]byte{0}, entry...))
}

func node(left, right hufu.Digest) hufu.Digest {
	var in [1 + 2*rootLen]byte
	in[0] = 1
	copy(in[1:], left[:])
	copy(in[1+rootLen:], right[:])
	return sha256.Sum256(in[:])
}

// CheckInclusion refuses, by [RuleProof], a proof that does not show that the tree of c has leaf, a
// [LeafHash], as its entry number index, counted from 0 (RFC 9162 §2.1.3.2).
func CheckInclusion(c *Checkpoint, index uint64, leaf hufu.Digest, path []hufu.Digest) error {
	if index >= c.Size {
		return hufu.Refuse(RuleProof, "entry %d of a log of %d", index, c.Size)
	}
	if len(path) > MaxProof {
		return hufu.Refuse(RuleProof, "%d digests, more than %d", len(path), MaxProof)
	}
	fn, sn, r := index, c.Size-1, leaf
	for _, p := range path {
		if sn == 0 {
			return tooLong()
		}
		if fn&1 == 1 || fn == sn {
			r = node(p, r)
			if fn&1 == 0 {
				skip := bits.TrailingZeros64(fn)
				fn, sn = fn>>skip, sn>>skip
			}
		} else {
			r = node(r, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return tooShort()
	}
	if r != c.Root {
		return hufu.Refuse(RuleProof, "the proof is for another root")
	}
	return nil
}

// CheckConsistency refuses, by [RuleProof], a proof that does not show that newer's tree begins with
// older's (RFC 9162 §2.1.4.2). Trees of one size are consistent when their roots are equal, with an empty
// proof; the empty tree begins every other, with an empty proof.
func CheckConsistency(older, newer *Checkpoint, path []hufu.Digest) error {
	switch {
	case older.Size > newer.Size:
		return hufu.Refuse(RuleProof, "a log of %d entries does not continue one of %d", newer.Size, older.Size)
	case older.Size == newer.Size || older.Size == 0:
		if len(path) != 0 {
			return tooLong()
		}
		if older.Size == newer.Size && older.Root != newer.Root {
			return hufu.Refuse(RuleProof, "two roots of one size")
		}
		return nil
	}
	// The older tree is one whole subtree of the newer one: the proof leaves its root out.
	if older.Size&(older.Size-1) == 0 {
		path = append([]hufu.Digest{older.Root}, path...)
	}
	was, is, err := prefix(older.Size, newer.Size, path)
	if err != nil {
		return err
	}
	if was != older.Root || is != newer.Root {
		return hufu.Refuse(RuleProof, "the proof is for other roots")
	}
	return nil
}

// prefix computes from one path the root of the first m entries of a tree and the root of all its n, for
// 0 < m < n. Whoever knows the tree's root and gets it here knows that the other is the root of the tree's
// first m entries: the path's digests are all hashed into the root, at places that m and n fix.
func prefix(m, n uint64, path []hufu.Digest) (first, all hufu.Digest, err error) {
	if len(path) == 0 {
		return first, all, tooShort()
	}
	if len(path) > MaxProof+1 {
		return first, all, tooLong()
	}
	fn, sn := m-1, n-1
	skip := bits.TrailingZeros64(^fn)
	fn, sn = fn>>skip, sn>>skip
	first, all = path[0], path[0]
	for _, p := range path[1:] {
		if sn == 0 {
			return first, all, tooLong()
		}
		if fn&1 == 1 || fn == sn {
			first, all = node(p, first), node(p, all)
			if fn&1 == 0 {
				skip := bits.TrailingZeros64(fn)
				fn, sn = fn>>skip, sn>>skip
			}
		} else {
			all = node(all, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return first, all, tooShort()
	}
	return first, all, nil
}

// CheckConflict refuses, by [RuleNotAConflict] or [RuleProof], two checkpoints that one append-only log
// could have signed. Checkpoints of one size contradict each other when their roots differ, with an empty
// path. Else b is of more entries than a, and path shows what the root of the first a.Size entries of b's
// tree is: it is the consistency proof between trees of these sizes that b's own entries give, with the
// older tree's root in front also where a consistency proof leaves it out. So the contradiction can be seen
// without the entries.
func CheckConflict(a, b *Checkpoint, path []hufu.Digest) error {
	switch {
	case a.Origin != b.Origin:
		return hufu.Refuse(RuleNotAConflict, "checkpoints of two logs")
	case a.Size == 0 || a.Size > b.Size:
		return hufu.Refuse(RuleNotAConflict, "the first checkpoint is of %d entries, the second of %d", a.Size, b.Size)
	case a.Size == b.Size:
		if len(path) != 0 {
			return tooLong()
		}
		if a.Root == b.Root {
			return hufu.Refuse(RuleNotAConflict, "the same tree twice")
		}
		return nil
	}
	was, is, err := prefix(a.Size, b.Size, path)
	switch {
	case err != nil:
		return err
	case is != b.Root:
		return hufu.Refuse(RuleProof, "the path is not of the second checkpoint's tree")
	case was == a.Root:
		return hufu.Refuse(RuleNotAConflict, "the second tree begins with the first")
	}
	return nil
}

func tooLong() error {
	return hufu.Refuse(RuleProof, "the proof has more digests than the sizes ask for")
}

func tooShort() error {
	return hufu.Refuse(RuleProof, "the proof has fewer digests than the sizes ask for")
}
