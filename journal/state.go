package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/bits"
)

// A Digest is a SHA-256.
type Digest = [DigestSize]byte

// State is what a journal says. It is filled by replaying records.
type State struct {
	Header Header

	Root    Digest // root of the hash tree, if HasRoot
	HasRoot bool

	// Expected is the digest that the whole file has been expected to have, as
	// ALGORITHM:HEX, "" when none was known. Pieces recorded under it belong to
	// that file, whichever server they are from.
	Expected string

	Records   int   // number of good records
	GoodBytes int64 // length of the header and the good records
	TornBytes int64 // bytes after the last good record, which are ignored
	TornWhy   string

	pieces  []uint64       // a bit for each piece on disk
	digests map[int]Digest // of pieces that were recorded with one
	count   int            // bits set in pieces
}

func newState(h Header) *State {
	return &State{Header: h, pieces: make([]uint64, (h.Pieces()+63)/64), digests: map[int]Digest{}}
}

// Has reports whether piece i is recorded.
func (s *State) Has(i int) bool {
	return i >= 0 && i < s.Header.Pieces() && s.pieces[i/64]&(1<<(i%64)) != 0
}

// Count returns the number of recorded pieces.
func (s *State) Count() int { return s.count }

// Digest returns the SHA-256 of piece i, if it was recorded with one.
func (s *State) Digest(i int) (Digest, bool) {
	d, ok := s.digests[i]
	return d, ok
}

// Pieces yields the recorded pieces in ascending order.
func (s *State) Pieces() iter.Seq[int] {
	return func(yield func(int) bool) {
		for w, word := range s.pieces {
			for word != 0 {
				if !yield(w*64 + bits.TrailingZeros64(word)) {
					return
				}
				word &= word - 1
			}
		}
	}
}

// Runs yields the first piece and the length of each run of recorded pieces.
func (s *State) Runs() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		first, n := 0, 0
		for i := range s.Pieces() {
			if n > 0 && i == first+n {
				n++
				continue
			}
			if n > 0 && !yield(first, n) {
				return
			}
			first, n = i, 1
		}
		if n > 0 {
			yield(first, n)
		}
	}
}

func (s *State) set(i int) {
	if !s.Has(i) {
		s.pieces[i/64] |= 1 << (i % 64)
		s.count++
	}
}

func (s *State) clear(i int) {
	if s.Has(i) {
		s.pieces[i/64] &^= 1 << (i % 64)
		s.count--
	}
	delete(s.digests, i)
}

// apply checks a record whose checksum is good and adds what it says.
func (s *State) apply(kind byte, payload []byte) error {
	switch kind {
	case recordVerified:
		if len(payload)%runSize != 0 {
			return fmt.Errorf("runs of %d bytes", len(payload))
		}
		for p := payload; len(p) > 0; p = p[runSize:] {
			if _, _, err := s.run(p); err != nil {
				return err
			}
		}
		for p := payload; len(p) > 0; p = p[runSize:] {
			first, n, _ := s.run(p)
			for i := range n {
				s.set(first + i)
			}
		}
	case recordRoot:
		if len(payload) != DigestSize {
			return fmt.Errorf("root of %d bytes", len(payload))
		}
		if s.HasRoot && s.Root != Digest(payload) {
			return errors.New("a second root")
		}
		s.Root, s.HasRoot = Digest(payload), true
	case recordExpected:
		if n := len(payload); n == 0 || n > maxDigest {
			return fmt.Errorf("expected digest of %d bytes", n)
		}
		if s.Expected != "" && s.Expected != string(payload) {
			return errors.New("a second expected digest")
		}
		s.Expected = string(payload)
	case recordDigests:
		if len(payload) < runSize {
			return fmt.Errorf("digests of %d bytes", len(payload))
		}
		first, n, err := s.run(payload)
		if err != nil {
			return err
		}
		if len(payload) != runSize+n*DigestSize {
			return fmt.Errorf("%d digests in %d bytes", n, len(payload))
		}
		for i := range n {
			s.set(first + i)
			s.digests[first+i] = Digest(payload[runSize+i*DigestSize:][:DigestSize])
		}
	default:
		return fmt.Errorf("unknown record type %d", kind)
	}
	return nil
}

// run parses a run of pieces and checks that it lies within the file.
func (s *State) run(p []byte) (first, n int, err error) {
	f, c := uint64(binary.BigEndian.Uint32(p)), uint64(binary.BigEndian.Uint32(p[4:]))
	if c == 0 || f+c > uint64(s.Header.Pieces()) {
		return 0, 0, fmt.Errorf("pieces %d+%d of %d", f, c, s.Header.Pieces())
	}
	return int(f), int(c), nil
}
