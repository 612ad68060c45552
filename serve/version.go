package serve

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io/fs"
	"time"
)

// A version identifies one state of one file. Two equal versions have the same
// bytes, provided the file was left alone for a moment; see settle.
type version struct {
	size   int64
	mtime  int64  // modification of the bytes, in nanoseconds since 1970
	ctime  int64  // change of bytes or inode, likewise; 0 where there is none
	inode  uint64 // 0 where there is none
	device uint64 // likewise
}

func versionOf(info fs.FileInfo) version {
	v := version{size: info.Size(), mtime: info.ModTime().UnixNano()}
	v.addSystem(info)
	return v
}

// append encodes v for use in keys and tags.
func (v version) append(b []byte) []byte {
	for _, n := range [...]uint64{uint64(v.size), uint64(v.mtime), uint64(v.ctime), v.inode, v.device} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// tag returns the opaque part of the ETag. It is a hash so that it tells
// nothing about the server's file system.
func (v version) tag() string {
	sum := sha256.Sum256(v.append([]byte("chunkget etag 1\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// etag returns the strong entity tag of the whole file.
func (v version) etag() string { return `"` + v.tag() + `"` }

// sameBytes reports whether a file that was v and now is w still has the same
// bytes. The change time does not count here, because replacing or unlinking
// the name of an open file changes it.
func (v version) sameBytes(w version) bool {
	return v.size == w.size && v.mtime == w.mtime && v.inode == w.inode && v.device == w.device
}

const (
	// fineTick covers the granularity of file times in kernels that take them
	// from a coarse clock: one tick, at most 10 ms at 100 Hz (Linux before 6.13).
	fineTick = 20 * time.Millisecond

	// coarseTick covers file systems that keep whole seconds (ext3, HFS+, NFS 2)
	// or every second one (FAT).
	coarseTick = 2 * time.Second
)

// settle returns how long to wait, at the time now, before reading a file of
// this version may begin. Two writes within one tick of the file system's clock
// leave the same times behind, so what was read before that tick is over may
// not be what the version will stand for afterwards.
func (v version) settle(now time.Time) time.Duration {
	last := max(v.mtime, v.ctime)
	tick := fineTick
	if last%int64(time.Second) == 0 {
		tick = coarseTick
	}
	wait := tick - now.Sub(time.Unix(0, last))
	if wait > tick {
		return 0 // The file is from the future, which no wait will cure.
	}
	return max(0, wait)
}
