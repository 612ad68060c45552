package udtpool

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDialTimeoutSaysWhatWasTried(t *testing.T) {
	bubble(t, Config{DialTimeout: 10 * time.Second}, func(t *testing.T, n *network, p *Pool) {
		start := time.Now()
		_, err := get(t.Context(), p, &url.URL{Scheme: "udt", Host: "nobody:9000"})
		de, ok := errors.AsType[*DialError](err)
		if !ok {
			t.Fatalf("err = %v, want a DialError", err)
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("failed after %v", got)
		}
		if want := "dial udt nobody:9000: no answer within 10s"; err.Error() != want || !de.Timeout() {
			t.Errorf("err = %q, timeout %v, want %q", err, de.Timeout(), want)
		}
	})
}

func TestDialFailureFailsEachWaiterOnce(t *testing.T) {
	bubble(t, Config{Connections: 4}, func(t *testing.T, n *network, p *Pool) {
		boom := errors.New("no route")
		n.setDialHook(func(string) error { return boom })
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				_, err := get(t.Context(), p, &url.URL{Scheme: "udt", Host: "a:9000"})
				if !errors.Is(err, boom) || !strings.Contains(err.Error(), "a:9000") {
					t.Errorf("err = %v", err)
				}
			})
		}
		wg.Wait()
	})
}

// A server that admits two connections serves eight workers over two.
func TestDialFailureIsNoFailureWhileOthersServe(t *testing.T) {
	bubble(t, Config{Connections: 8}, func(t *testing.T, n *network, p *Pool) {
		h := newBlocking()
		u := n.listen(t, "a:9000", h)
		var dials atomic.Int32
		n.setDialHook(func(string) error {
			if dials.Add(1) > 2 {
				return errors.New("refused")
			}
			return nil
		})
		p.Warm(t.Context(), u, 2)
		synctest.Wait()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { mustGet(t, p, u) })
		}
		for range 8 {
			time.Sleep(20 * time.Second) // virtual: time for many a repeated dial
			h.release <- struct{}{}
		}
		wg.Wait()
		if h.most.Load() != 2 {
			t.Errorf("%d requests at once, want 2", h.most.Load())
		}
		synctest.Wait()
		time.Sleep(2 * redialMax)
		if s := p.Stats(); s.Dialing != 0 {
			t.Errorf("%d dials still going on with nobody waiting", s.Dialing)
		}
		if s := p.Stats(); s.DialFailures > 300 {
			t.Errorf("%d dials in three minutes, want them paced", s.DialFailures)
		}
	})
}

// TestSilentUDPPort: the pool's own socket, which is a real one, gets no answer. So the
// timeout is one of real time.
func TestSilentUDPPort(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0") // held, and silent
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	p := New(Config{DialTimeout: 300 * time.Millisecond})
	defer p.Close()
	_, err = get(t.Context(), p, &url.URL{Scheme: "udt", Host: pc.LocalAddr().String(), Path: "/"})
	de, ok := errors.AsType[*DialError](err)
	if !ok || !de.Timeout() || !strings.Contains(err.Error(), pc.LocalAddr().String()) || de.Elapsed < 300*time.Millisecond {
		t.Errorf("err = %v, want a timeout that names %v", err, pc.LocalAddr())
	}
}
