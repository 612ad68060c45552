package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// zstdWindow is how far back our encoder refers. A larger window gains little
	// on text and costs memory at both ends; RFC 9659 allows 8 MiB.
	zstdWindow = 1 << 20

	// gzipLevel takes about as long as zstd at its default level.
	gzipLevel = 4

	// codedChunk is how much is compressed in one go.
	codedChunk = 256 << 10
)

// An encoder compresses into the writer that Reset names.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// A coder compresses one body after the other. It belongs to the goroutine of
// the request that has it.
type coder struct {
	encoder
	in  []byte
	out bytes.Buffer // what is compressed and not sent yet
}

var coders = map[string]*sync.Pool{
	codingZstd: {New: func() any {
		// One goroutine only, the caller's: the budget counts cores.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("BUG: zstd: " + err.Error())
		}
		return &coder{encoder: e, in: make([]byte, codedChunk)}
	}},
	codingGzip: {New: func() any {
		e, err := gzip.NewWriterLevel(nil, gzipLevel)
		if err != nil {
			panic("BUG: gzip: " + err.Error())
		}
		return &coder{encoder: e, in: make([]byte, codedChunk)}
	}},
}

// takeCoder returns a coder whose output goes to its out.
func takeCoder(coding string) *coder {
	c := coders[coding].Get().(*coder)
	c.out.Reset()
	c.Reset(&c.out)
	return c
}

func (c *coder) giveBack(coding string) {
	c.Reset(nil)
	coders[coding].Put(c)
}

// coderTag tells apart what different builds make of the same bytes, so that
// the ETag of a compressed body is a strong one.
var coderTag = sync.OnceValue(func() string {
	release := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/klauspost/compress" {
				release = m.Version + m.Sum
			}
		}
	}
	sum := sha256.Sum256([]byte("chunkget coder 1\x00" + release + "\x00" + runtime.GOARCH))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
})

// A codedResponse compresses the body that http.ServeContent copies to it.
type codedResponse struct {
	*response
	ctx    context.Context
	ticket *ticket
	coding string
}

// ReadFrom implements io.ReaderFrom. It returns the number of bytes taken from
// src. The last bytes are sent after the file has proved to be unchanged.
func (w *codedResponse) ReadFrom(src io.Reader) (done int64, err error) {
	w.begin()
	c := takeCoder(w.coding)
	defer c.giveBack(w.coding)
	defer func() { w.err = err }()
	for end := false; !end; {
		n, err := io.ReadFull(src, c.in)
		done += int64(n)
		if end = err == io.EOF || err == io.ErrUnexpectedEOF; err != nil && !end {
			return done, err
		}
		if end {
			if body, ok := src.(*io.LimitedReader); ok && body.N > 0 {
				return done, io.ErrUnexpectedEOF
			}
			if w.verify != nil {
				if err := w.verify(); err != nil {
					return done, err
				}
			}
		}
		err = w.ticket.work(w.ctx, func() error {
			_, err := c.Write(c.in[:n])
			if end {
				err = errors.Join(err, c.Close())
			}
			return err
		})
		if err != nil {
			return done, err
		}
		for c.out.Len() > 0 {
			sent, err := w.ResponseWriter.Write(c.out.Next(sendChunk))
			w.count(int64(sent))
			if err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// Write implements io.Writer for messages of errors, which are not compressed.
func (w *codedResponse) Write(p []byte) (int, error) { return w.response.Write(p) }
