package fetch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/internal/handover"
)

// A streamNet is what TCP is to these tests: byte streams in memory, so that time
// is virtual and a busy machine makes nothing slower. A server has a link of its
// own, which all connections to it share, in each direction.
//
// Ownership: streamNet.mu guards the listeners, streamLink.mu the state of a link,
// oneWay.mu that of one direction of a connection. No lock is held while another
// one is taken, but for a link's within a oneWay's.
type streamNet struct {
	mu        sync.Mutex
	listeners map[string]*streamListener
}

const (
	linkDelay  = 500 * time.Microsecond
	linkEvery  = time.Millisecond // what arrives within it comes at its end, in few reads
	linkRate   = 1 << 30          // bits per second
	windowSize = 256 << 10
	chunkSize  = 32 << 10
	alertSize  = 64 // of a TLS record with an alert, at most
)

// streams is one network for all tests: they have ports of their own.
var streams = streamNet{listeners: make(map[string]*streamListener)}

// listen opens a server's port.
func (n *streamNet) listen(addr netip.AddrPort) *streamListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &streamListener{Listener: handover.Listen(net.TCPAddrFromAddrPort(addr)), net: n, addr: addr}
	n.listeners[addr.String()] = l
	return l
}

// DialContext is that of a net.Dialer.
func (n *streamNet) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	select {
	case <-time.After(2 * linkDelay):
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
	up, down := newStream(&l.up), newStream(&l.down)
	client := net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.addr.Addr(), 1))
	near := &streamConn{in: down, out: up, local: client, remote: l.Addr()}
	switch err := l.Hand(ctx, &streamConn{in: up, out: down, local: l.Addr(), remote: client}); {
	case errors.Is(err, net.ErrClosed):
		return nil, refused
	case err != nil:
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return near, nil
}

// A streamListener is a server's port.
type streamListener struct {
	*handover.Listener
	net      *streamNet
	addr     netip.AddrPort
	up, down streamLink
}

// Close frees the port.
func (l *streamListener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.net.listeners[l.addr.String()] == l {
		delete(l.net.listeners, l.addr.String())
	}
	return l.Listener.Close()
}

// streamLink is the bottleneck of one direction.
type streamLink struct {
	mu   sync.Mutex
	free time.Time // when what was sent so far has left
}

// send returns when n bytes that are sent now arrive.
func (l *streamLink) send(now time.Time, n int) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(n) * 8 * time.Second / linkRate)
	return l.free.Add(linkDelay + linkEvery).Truncate(linkEvery)
}

// A oneWay is one direction of a connection.
type oneWay struct {
	link *streamLink

	mu          sync.Mutex
	changed     chan struct{} // closed at each change, and replaced
	chunks      []chunk
	unread      int       // bytes in chunks
	end         error     // what comes after the chunks
	endAt       time.Time // when it does
	writeErr    error     // of writes from now on
	readErr     error     // of reads from now on
	readBefore  time.Time // deadlines
	writeBefore time.Time
}

type chunk struct {
	at   time.Time // when it arrives
	data []byte
}

func newStream(link *streamLink) *oneWay { return &oneWay{link: link, changed: make(chan struct{})} }

// update changes s and wakes who waits for it.
func (s *oneWay) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// await waits for a change, or for the earliest of some times that are set. It is
// called with the lock, and gives it up meanwhile.
func (s *oneWay) await(now time.Time, times ...time.Time) {
	changed := s.changed
	var alarm <-chan time.Time
	var first time.Time
	for _, at := range times {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		timer := time.NewTimer(first.Sub(now))
		defer timer.Stop()
		alarm = timer.C
	}
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-alarm:
	}
}

func passed(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }

func (s *oneWay) read(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		now := time.Now()
		var next time.Time
		switch {
		case s.readErr != nil:
			return 0, s.readErr
		case passed(s.readBefore, now):
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case len(s.chunks) > 0:
			for n < len(p) && len(s.chunks) > 0 && !now.Before(s.chunks[0].at) {
				k := copy(p[n:], s.chunks[0].data)
				n += k
				if s.chunks[0].data = s.chunks[0].data[k:]; len(s.chunks[0].data) == 0 {
					s.chunks = s.chunks[1:]
				}
			}
			if n > 0 {
				s.unread -= n
				close(s.changed)
				s.changed = make(chan struct{})
				return n, nil
			}
			next = s.chunks[0].at
		case s.end != nil:
			if !now.Before(s.endAt) {
				return 0, s.end
			}
			next = s.endAt
		}
		s.await(now, next, s.readBefore)
	}
}

func (s *oneWay) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		now := time.Now()
		switch {
		case s.writeErr != nil:
			return n, s.writeErr
		case passed(s.writeBefore, now):
			return n, os.ErrDeadlineExceeded
		case s.unread >= windowSize && len(p) > alertSize:
			// An alert does not wait: net/http closes a connection with locks held that
			// others may want, and while one waits for a lock virtual time stands still.
			s.await(now, s.writeBefore)
			continue
		}
		data := append([]byte(nil), p[n:min(len(p), n+chunkSize)]...)
		s.chunks = append(s.chunks, chunk{s.link.send(now, len(data)), data})
		s.unread += len(data)
		n += len(data)
		close(s.changed)
		s.changed = make(chan struct{})
	}
	return n, nil
}

// A streamConn is one end of a connection.
type streamConn struct {
	in, out       *oneWay
	local, remote net.Addr

	mu    sync.Mutex
	reset bool // Close discards what was not sent yet
}

func (c *streamConn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && err != io.EOF {
		err = &net.OpError{Op: "read", Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
	}
	return n, err
}

func (c *streamConn) Write(p []byte) (int, error) {
	n, err := c.out.write(p)
	if err != nil {
		err = &net.OpError{Op: "write", Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
	}
	return n, err
}

// SetLinger is that of a TCPConn, for 0: Close resets the connection.
func (c *streamConn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = sec == 0
	return nil
}

func (c *streamConn) Close() error {
	c.mu.Lock()
	reset := c.reset
	c.mu.Unlock()
	now := time.Now()
	c.out.update(func() {
		if c.out.end == nil {
			c.out.end, c.out.endAt = io.EOF, now.Add(linkDelay)
			if reset {
				c.out.end, c.out.chunks, c.out.unread = syscall.ECONNRESET, nil, 0
			}
		}
		c.out.writeErr = net.ErrClosed
	})
	c.in.update(func() {
		c.in.readErr = net.ErrClosed
		if c.in.writeErr == nil {
			c.in.writeErr = syscall.EPIPE
		}
		c.in.chunks, c.in.unread = nil, 0
	})
	return nil
}

func (c *streamConn) LocalAddr() net.Addr  { return c.local }
func (c *streamConn) RemoteAddr() net.Addr { return c.remote }

func (c *streamConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *streamConn) SetReadDeadline(t time.Time) error {
	c.in.update(func() { c.in.readBefore = t })
	return nil
}

func (c *streamConn) SetWriteDeadline(t time.Time) error {
	c.out.update(func() { c.out.writeBefore = t })
	return nil
}

// Into a full window goes an alert, and no data.
func TestStreamTakesAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := streams.listen(newAddr())
		var accepting sync.WaitGroup
		accepting.Go(func() {
			if c, err := l.Accept(); err != nil {
				t.Error(err)
			} else {
				t.Cleanup(func() { c.Close() })
			}
		})
		c, err := streams.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepting.Wait()
		defer l.Close()
		defer c.Close()
		c.SetWriteDeadline(time.Now().Add(time.Second))
		for _, tt := range []struct {
			size int
			want error
		}{{windowSize, nil}, {alertSize, nil}, {alertSize + 1, os.ErrDeadlineExceeded}} {
			if n, err := c.Write(make([]byte, tt.size)); !errors.Is(err, tt.want) || err == nil && n != tt.size {
				t.Errorf("%d of %d bytes written: %v", n, tt.size, err)
			}
		}
	})
}
