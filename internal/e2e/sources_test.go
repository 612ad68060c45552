//go:build linux

package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// overTCPOnly passes requests on to a chunkserve, whose offer of UDT it keeps to itself.
func overTCPOnly(t *testing.T, s *server) http.Handler {
	t.Helper()
	u, err := url.Parse(s.url("http", ""))
	if err != nil {
		t.Fatal(err)
	}
	p := httputil.NewSingleHostReverseProxy(u)
	p.ModifyResponse = func(resp *http.Response) error {
		resp.Header.Del("Alt-Svc")
		return nil
	}
	p.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // requests that are given up are no errors here
	return p
}

// A pacer gives the requests to a server turns, to send a block each. A turn that nobody
// takes is lost, so their rate is never above that of the turns.
type pacer struct {
	http.Handler
	turns <-chan time.Time
}

const pacedBlock = 32 << 10

// paced limits what h sends, over all requests, to a rate in bytes per second.
func paced(t *testing.T, h http.Handler, rate int) http.Handler {
	t.Helper()
	turns := time.NewTicker(time.Second * pacedBlock / time.Duration(rate))
	t.Cleanup(turns.Stop)
	return pacer{h, turns.C}
}

func (p pacer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.Handler.ServeHTTP(&pacedWriter{w, p.turns, r.Context()}, r)
}

type pacedWriter struct {
	http.ResponseWriter
	turns <-chan time.Time
	ctx   context.Context
}

func (w *pacedWriter) Write(b []byte) (n int, err error) {
	for n < len(b) {
		select {
		case <-w.turns:
		case <-w.ctx.Done():
			return n, w.ctx.Err()
		}
		k, err := w.ResponseWriter.Write(b[n:min(n+pacedBlock, len(b))])
		n += k
		if err == nil {
			err = http.NewResponseController(w.ResponseWriter).Flush()
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// TestFasterSourceBringsMore: of a web server, and chunkserve over UDT and over TCP, the one
// that is much slower brings little, whichever it is, and each of the others more than it.
func TestFasterSourceBringsMore(t *testing.T) {
	const size = 32 << 20
	// In bytes per second. They can be told apart on a machine, too, that is so busy that
	// the fast ones send a tenth of it.
	const fast, slow = 8 << 20, 128 << 10
	dir := t.TempDir()
	original := randomFile(t, dir, "big.bin", size)
	over := serveDir(t, dir)
	for slowest, name := range []string{"web server", "UDT", "TCP"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir()) // what the others have found of the paths is of other servers
			rates := [3]int{fast, fast, fast}
			rates[slowest] = slow
			web := httptest.NewServer(paced(t, http.FileServer(http.Dir(dir)), rates[0]))
			defer web.Close()
			overUDT := serveDir(t, dir, "--congestion", "fixed", "--rate", fmt.Sprint(8*rates[1]))
			overTCP := httptest.NewServer(paced(t, overTCPOnly(t, over), rates[2]))
			defer overTCP.Close()
			urls := []string{web.URL + "/big.bin", overUDT.url("udt", "big.bin"), overTCP.URL + "/big.bin"}
			// The slow one comes first, and has no fewer connections than the others.
			args := []string{"-n", "6", "--transport", "udt", urls[slowest]}
			for i, u := range urls {
				if i != slowest {
					args = append(args, "--mirror", u)
				}
			}
			out := t.TempDir()
			d := get(t, out, args...).done()
			sameContent(t, original, filepath.Join(out, "big.bin"))
			if !d.Verified || d.PiecesBad != 0 || len(d.Mirrors) != len(urls) {
				t.Fatalf("done event: %+v", d)
			}
			brought := map[string]int64{}
			for _, m := range d.Mirrors {
				brought[m.URL] = m.Bytes
			}
			t.Logf("%.1f s: %+v", d.Seconds, d.Mirrors)
			for i, u := range urls {
				if n := brought[u]; i == slowest && n > size/6 || i != slowest && n < size/8 {
					t.Errorf("%s brought %d bytes of %d: %+v", u, n, size, d.Mirrors)
				}
			}
		})
	}
}

// A lastStop is a server of which no answer gets beyond byte at, but that to the request
// that begins where a hedge does.
type lastStop struct {
	http.Handler
	at int64

	mu     sync.Mutex
	asked  []*lastStopWriter // by requests for data, in their order
	passes map[int64]bool    // first bytes of hedges
	told   chan struct{}     // closed, and another one, when any of that changes
}

// change changes s.
func (s *lastStop) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.told)
	s.told = make(chan struct{})
}

// isHedge reports whether the request of w begins where a hedge does, and is not the one
// that is raced against: of which nothing has come, and which therefore begins there, too.
func (s *lastStop) isHedge(w *lastStopWriter) bool {
	if !s.passes[w.first] {
		return false
	}
	for _, other := range s.asked {
		if other == w {
			return false
		}
		if other.first == w.first || other.first < w.first && w.first < other.end && !other.ended {
			return true
		}
	}
	return false
}

// hedged lets requests pass that begin with byte first.
func (s *lastStop) hedged(first int64) {
	s.change(func() { s.passes[first] = true })
}

// wait returns when the answer of w may go on.
func (s *lastStop) wait(w *lastStopWriter) error {
	for {
		s.mu.Lock()
		ok, told := s.isHedge(w), s.told
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-told:
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
}

func (s *lastStop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "" {
		data := &lastStopWriter{ResponseWriter: w, s: s, ctx: r.Context()}
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &data.first, &data.end)
		data.next, w = data.first, data
		s.change(func() { s.asked = append(s.asked, data) })
		defer s.change(func() { data.ended = true })
	}
	s.Handler.ServeHTTP(w, r)
}

type lastStopWriter struct {
	http.ResponseWriter
	s                *lastStop
	ctx              context.Context
	first, end, next int64 // bytes of the file: that were asked for, and to come
	ended            bool  // guarded by s.mu
}

func (w *lastStopWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *lastStopWriter) Write(b []byte) (n int, err error) {
	if before := w.s.at - w.next; before < int64(len(b)) {
		if before > 0 {
			n, err = w.ResponseWriter.Write(b[:before])
			w.next += int64(n)
			if err == nil {
				err = http.NewResponseController(w.ResponseWriter).Flush()
			}
		}
		if err == nil {
			err = w.s.wait(w)
		}
		if err != nil {
			return n, err
		}
	}
	k, err := w.ResponseWriter.Write(b[n:])
	w.next += int64(k)
	return n + k, err
}

// TestLastBytesAreRaced: a server stops in the middle of the last piece, for good, while
// another connection to it goes on. That one gets the rest, and what comes twice for
// it is less than 3 % of the file.
func TestLastBytesAreRaced(t *testing.T) {
	const size = 64 << 20
	chunkserve, original := serveBig(t, size)
	for _, scheme := range []string{"http", "udt"} {
		t.Run(scheme, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			s := &lastStop{Handler: overTCPOnly(t, chunkserve), at: size - 512<<10, passes: map[int64]bool{}, told: make(chan struct{})}
			tcp, udp, _ := serveAllWays(t, s)
			addr := map[string]string{"http": tcp, "udt": udp}[scheme]
			out := t.TempDir()
			// Two connections, so that there is nothing else to race. Who stops is not
			// asked again: without a hedge this fails.
			c := get(t, out, "-n", "2", "--tries", "1", "--transport", "udt", scheme+"://"+addr+"/big.bin")
			var decisions []string
			c.until(func(e event) bool {
				if e.Event == "hedge" {
					decisions = append(decisions, e.Decision)
					if e.Decision == "started" {
						s.hedged(size - e.Bytes)
					}
				}
				return false
			})
			d := c.done()
			sameContent(t, original, filepath.Join(out, "big.bin"))
			t.Logf("%.1f s, %d bytes fetched and %d raced for, hedges: %q", d.Seconds, d.BytesFetched, d.BytesHedged, decisions)
			if len(decisions) < 2 || decisions[len(decisions)-1] != "won" {
				t.Errorf("hedges: %q", decisions)
			}
			if !d.Verified || d.PiecesBad != 0 || d.Retries != 0 {
				t.Errorf("done event: %+v", d)
			}
			if all := d.BytesFetched + d.BytesHedged; d.BytesHedged == 0 || all > size*103/100 {
				t.Errorf("%d bytes fetched and %d raced for, of %d", d.BytesFetched, d.BytesHedged, size)
			}
		})
	}
}
