package serve

import (
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// sendChunk is how many bytes of a file are sent before they are counted.
	sendChunk = 1 << 20

	// heldBack is how many bytes at the end of a body are sent only after the
	// file has proved to be unchanged.
	heldBack = 16 << 10
)

// A response is the http.ResponseWriter of one request. It counts, and keeps a
// body from being completed that must not be. It belongs to the goroutine of the
// request.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	total   *atomic.Int64 // body bytes of all responses

	status int   // 0 until the header is written
	bytes  int64 // of the body

	// verify is called before the last bytes of a body are copied; what it
	// returns becomes err. nil verifies nothing.
	verify func() error
	// err says why the body was not sent to its end.
	err error
}

func newResponse(w http.ResponseWriter, total *atomic.Int64) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), total: total}
}

// Unwrap lets http.ResponseController find the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. An error's body is not the
// representation that a digest, a coding or a length set before is about.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	if status >= 400 {
		for _, name := range []string{"Repr-Digest", "Link", "Link-Template", "Content-Encoding", "Content-Length"} {
			w.Header().Del(name)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.count(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom, which is how http.ServeContent sends a
// body. It hands src through in chunks, so that the kernel can still copy a file
// to a TCP socket by itself.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	w.begin()
	body, ok := src.(*io.LimitedReader)
	if !ok {
		n, err := w.copy(src)
		w.count(n)
		return n, err
	}
	var done int64
	for body.N > 0 {
		left := body.N
		if w.verify != nil && left > heldBack {
			left -= heldBack
		} else if w.verify != nil {
			if w.err = w.verify(); w.err != nil {
				return done, w.err
			}
		}
		chunk := &io.LimitedReader{R: body.R, N: min(left, sendChunk)}
		want := chunk.N
		n, err := w.copy(chunk)
		body.N -= n
		done += n
		w.count(n)
		if err == nil && n < want {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			w.err = err
			return done, err
		}
	}
	return done, nil
}

// begin notes that a body without a status is one with status 200.
func (w *response) begin() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
}

func (w *response) copy(src io.Reader) (int64, error) {
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, src)
}

func (w *response) count(n int64) {
	w.bytes += n
	w.total.Add(n)
}
