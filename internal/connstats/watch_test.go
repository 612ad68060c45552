package connstats

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/trace"
	"github.com/chunkget/chunkget/udt"
)

// steady is a connection that gets a number of bytes in each second of its life.
type steady struct {
	start time.Time
	rate  int64 // byte/s
	life  time.Duration
	late  time.Duration // that telling takes
}

func (s *steady) Stats() Stats {
	time.Sleep(s.late)
	age := min(time.Since(s.start), s.life)
	return Stats{Transport: "udt", Remote: "h:1", Bytes: int64(age.Seconds() * float64(s.rate)), Ended: age == s.life, Known: true,
		Path: udt.SenderStats{Controller: "bbr", State: "cruise", RTT: 60 * time.Millisecond, MinRTT: 50 * time.Millisecond, Loss: 0.01, Window: 1000}}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type look struct {
			at   time.Duration
			rows []Row
			last bool
		}
		var looks []look
		w := Start(time.Second, func(at time.Duration, rows []Row, last bool) {
			looks = append(looks, look{at, slices.Clone(rows), last})
		})
		time.Sleep(500 * time.Millisecond)
		w.Add(&steady{time.Now(), 1000, 2 * time.Second, 0})
		w.Add(&steady{time.Now(), 500, time.Hour, 0})
		time.Sleep(3 * time.Second)
		w.Close()
		if len(looks) != 4 || !looks[3].last || looks[2].last || looks[3].at != 3500*time.Millisecond {
			t.Fatalf("%+v", looks)
		}
		for i, want := range []int{2, 2, 2, 1} {
			if len(looks[i].rows) != want {
				t.Errorf("look %d: %d connections, want %d", i, len(looks[i].rows), want)
			}
		}
		if r := looks[1].rows[0]; r.ID != 1 || r.Rate != 8000 || r.Bytes != 1500 || r.Age != 1500*time.Millisecond || r.Ended {
			t.Errorf("%+v", r)
		}
		if r := looks[2].rows[0]; !r.Ended || r.Bytes != 2000 || r.Rate != 4000 {
			t.Errorf("the end: %+v", r)
		}
		if r := looks[3].rows[0]; r.ID != 2 || r.Bytes != 1500 || r.Rate != 4000 {
			t.Errorf("the last look: %+v", r)
		}
	})
}

// Who adds connections does not wait for a look that takes long.
func TestWatchHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		w := Start(100*time.Millisecond, func(time.Duration, []Row, bool) {
			looks.Add(1)
			time.Sleep(10 * time.Second)
		})
		w.Add(&steady{time.Now(), 1, time.Hour, time.Second})
		time.Sleep(5 * time.Second)
		before := time.Now()
		w.Add(&steady{time.Now(), 1, time.Hour, 0})
		if waited := time.Since(before); waited > 0 {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(20 * time.Second)
		w.Close()
		if n := looks.Load(); n > 5 {
			t.Errorf("%d looks", n)
		}
	})
}

func TestRecorder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "trace")
	synctest.Test(t, func(t *testing.T) {
		r, err := Record(name, "test", Sending)
		if err != nil {
			t.Fatal(err)
		}
		r.Add(&steady{time.Now(), 1e6, 250 * time.Millisecond, 0})
		time.Sleep(time.Second + time.Millisecond)
		r.Add(&steady{time.Now(), 1e6, time.Hour, 0})
		time.Sleep(50 * time.Millisecond)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, samples, err := trace.Read(f)
	if err != nil || h.Role != trace.Sender || h.Program != "test" || len(samples) != 4 {
		t.Fatalf("%+v, %d samples, %v", h, len(samples), err)
	}
	if s := samples[1]; s.Time != 0.2 || s.Conn != 1 || s.Bytes != 200_000 || s.Rate != 8e6 || *s.RTT != 0.06 || *s.Queue != 0.01 ||
		*s.Loss != 0.01 || *s.Window != 1000 || *s.InFlight != 0 || s.PacingRate != nil || s.State != "cruise" || s.Ended {
		t.Errorf("%+v", s)
	}
	if s := samples[2]; !s.Ended || s.Bytes != 250_000 {
		t.Errorf("the end: %+v", s)
	}
	if s := samples[3]; s.Conn != 2 || s.Ended {
		t.Errorf("the last sample: %+v", s)
	}
}

func TestRecordErrors(t *testing.T) {
	if _, err := Record(filepath.Join(t.TempDir(), "none", "trace"), "test", Sending); err == nil || !strings.Contains(err.Error(), "create the trace") {
		t.Errorf("got %v", err)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if _, err := Record("/dev/full", "test", Sending); err == nil || !strings.Contains(err.Error(), "write the trace") {
		t.Errorf("got %v", err)
	}
}

// Both ends of TCP connections count, before and after their end; Linux tells
// the sender more.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ac, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client, server := TCP(nc.(*net.TCPConn), Receiving), TCP(ac.(*net.TCPConn), Sending)
	const n = 300_000
	sent := make(chan struct{})
	go func() {
		server.Write(make([]byte, n/3))
		server.ReadFrom(strings.NewReader(strings.Repeat("x", 2*n/3)))
		close(sent)
	}()
	if _, err := io.ReadFull(client, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	<-sent
	if s := client.Stats(); s.Bytes != n || s.Ended || s.Transport != "tcp" || s.Remote != l.Addr().String() || s.Known {
		t.Errorf("client: %+v", s)
	}
	if s := server.Stats(); runtime.GOOS == "linux" && (!s.Known || s.Path.RTT <= 0 || s.Path.MinRTT <= 0 || s.Path.Window <= 0 ||
		s.Path.Controller == "" || s.Path.State == "" || s.Bytes <= 0) {
		t.Errorf("server: %+v", s)
	}
	for _, c := range []*TCPConn{client, server} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if s := c.Stats(); !s.Ended || s.Bytes != n {
			t.Errorf("at the end: %+v", s)
		}
	}
}
