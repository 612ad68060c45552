package serve

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
)

// siblingSuffix is what a coding adds to the name of a file.
var siblingSuffix = map[string]string{codingZstd: ".zst", codingGzip: ".gz"}

// maxWindow is the largest window that a body in the coding zstd may need
// (RFC 9659, section 3).
const maxWindow = 8 << 20

// sibling opens the file beside f that holds f in a coding, or returns nil: if
// there is none, if it is older than f, if what it says of its content does not
// fit f, or if clients upload. The caller closes it.
func (h *Handler) sibling(f *file, coding string) *file {
	if h.uploads != nil {
		return nil // who uploads FILE.gz must not change what others get for FILE
	}
	s, err := openIn(h.root, f.name+siblingSuffix[coding])
	if err != nil {
		return nil
	}
	if s.dir || s.version.mtime < f.version.mtime || !holds(s, s.version.size, coding, f.version.size) {
		s.Close()
		return nil
	}
	return s
}

// holds reports whether r, of n bytes, looks like a file of size bytes in a
// coding.
func holds(r io.ReaderAt, n int64, coding string, size int64) bool {
	if coding == codingGzip {
		// RFC 1952, 2.3: ten bytes of header, and a trailer with the length of the
		// content modulo 2^32, of the last member if there are several.
		var head [2]byte
		var tail [4]byte
		if n < 18 {
			return false
		}
		if _, err := r.ReadAt(head[:], 0); err != nil || head != [2]byte{0x1f, 0x8b} {
			return false
		}
		got, err := r.ReadAt(tail[:], n-4)
		return got == len(tail) && (err == nil || err == io.EOF) && binary.LittleEndian.Uint32(tail[:]) == uint32(size)
	}
	head := make([]byte, min(n, zstd.HeaderMaxSize))
	if got, err := r.ReadAt(head, 0); got < len(head) && err != nil {
		return false
	}
	var hdr zstd.Header
	if err := hdr.Decode(head); err != nil || hdr.Skippable || hdr.DictionaryID != 0 {
		return false
	}
	if hdr.HasFCS && hdr.FrameContentSize != uint64(size) {
		return false
	}
	if hdr.SingleSegment {
		return hdr.FrameContentSize <= maxWindow
	}
	return hdr.WindowSize <= maxWindow
}
