package serve

import (
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

const (
	// sampleSize is how many bytes of the beginning, and how many of the middle,
	// are compressed to see whether it is worth it.
	sampleSize = 64 << 10

	// minCoded is the least number of bytes that is worth compressing: less than
	// that fits into a packet or two anyway.
	minCoded = 1 << 10

	// maxSampled is how many versions of files the result is kept for.
	maxSampled = 4096
)

// samples remembers which files shrink.
type samples struct {
	running chan struct{} // one element for each sample that is taken now, which needs an encoder

	mu      sync.Mutex
	shrinks map[key]bool // guarded by mu
}

func newSamples() *samples {
	return &samples{running: make(chan struct{}, runtime.GOMAXPROCS(0)), shrinks: make(map[key]bool)}
}

// worthwhile reports whether the file as a whole shrinks.
func (s *samples) worthwhile(f *file) bool {
	if f.version.size < minCoded || compressedName(f.name) {
		return false
	}
	k := key{name: f.name, version: f.version}
	if known, ok := s.get(k); ok {
		return known
	}
	s.running <- struct{}{} // who is there computes, and waits for nobody
	defer func() { <-s.running }()
	if known, ok := s.get(k); ok {
		return known
	}
	known := shrinks(f, 0, f.version.size)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.shrinks) >= maxSampled {
		clear(s.shrinks) // cheap to find out again
	}
	s.shrinks[k] = known
	return known
}

func (s *samples) get(k key) (known, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok = s.shrinks[k]
	return known, ok
}

// shrinks reports whether a sample of the n bytes from off on loses at least an
// eighth by compression. What cannot be read does not.
func shrinks(r io.ReaderAt, off, n int64) bool {
	if n < minCoded {
		return false
	}
	c := takeCoder(codingZstd)
	defer c.giveBack(codingZstd)
	var read int64
	sample := func(off, n int64) bool {
		p := c.in[:min(n, sampleSize)]
		if _, err := r.ReadAt(p, off); err != nil && err != io.EOF {
			return false
		}
		read += int64(len(p))
		_, err := c.Write(p)
		return err == nil
	}
	if !sample(off, n) {
		return false
	}
	if middle := n / 2; middle >= sampleSize && !sample(off+middle, n-middle) {
		return false
	}
	return c.Close() == nil && int64(c.out.Len()) <= read-read/8
}

// compressedTypes are the extensions of formats that are compressed by
// themselves.
var compressedTypes = map[string]bool{}

func init() {
	for ext := range strings.FieldsSeq(`
		.gz .tgz .zst .tzst .xz .txz .bz2 .tbz2 .lz .lz4 .lzma .lzo .br .z .sz
		.zip .7z .rar .jar .war .apk .ipa .whl .egg .nupkg .crx .xpi .cab .dmg
		.deb .rpm .snap .flatpak .squashfs .docx .xlsx .pptx .odt .ods .odp .epub
		.jpg .jpeg .png .gif .webp .avif .heic .heif .jxl .jp2
		.mp4 .m4v .m4a .mov .mkv .webm .avi .mpg .mpeg .ts .wmv .flv .3gp
		.mp3 .aac .ogg .oga .ogv .opus .flac .wma
		.woff .woff2 .parquet .orc .gpg .pgp .age`) {
		compressedTypes[ext] = true
	}
}

// compressedName reports whether the name says that the file is compressed.
func compressedName(name string) bool {
	return compressedTypes[strings.ToLower(filepath.Ext(name))]
}
