package udt

import (
	"io"
	"net"
	"time"
)

// closeState is the loop's part in closing.
type closeState struct {
	progressAt time.Duration // latest acknowledgement progress while draining
	shutdowns  int           // Shutdown packets sent
	shutdownAt time.Duration // when to send the next
}

// maxShutdowns is how often a Shutdown is sent: at once, after a round trip
// and after three. A peer that misses them all is told when it next sends
// something, while the endpoint is open.
const maxShutdowns = 3

// Close sends what was written, waits until the peer has acknowledged it, and
// closes the connection. Blocked Reads and Writes return net.ErrClosed. It
// returns ErrLinger if the peer stopped acknowledging for Config.Linger.
// Unread data is dropped.
func (c *Conn) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return c.opError("close", net.ErrClosed)
	}
	close(c.closing)
	c.wakeLoop()
	<-c.flushed
	select {
	case <-c.done:
		c.rcv.discard()
	default:
	}
	if c.closeErr != nil {
		return c.opError("close", c.closeErr)
	}
	return nil
}

// checkClosed notices that the user has called Close.
func (c *Conn) checkClosed(now time.Duration) {
	if c.state == stateEstablished && c.closed.Load() {
		c.setState(stateDraining)
		c.progressAt = now
	}
}

// checkDrained sends the Shutdown once nothing is left to acknowledge, or the
// peer has stopped acknowledging.
func (c *Conn) checkDrained(now time.Duration) {
	unacked, _ := c.snd.waiting()
	if unacked > 0 {
		if now-c.progressAt < c.ep.cfg.linger() {
			return
		}
		c.closeErr = ErrLinger
	}
	c.snd.close(net.ErrClosed)
	c.setState(stateClosing)
	c.sendShutdown(now)
	c.release()
}

func (c *Conn) sendShutdown(now time.Duration) {
	c.sendControl(now, ctrlShutdown, 0)
	c.shutdowns++
	wait := min(max(c.rtt.srtt, 5*time.Millisecond), 500*time.Millisecond)
	c.shutdownAt = now + wait*time.Duration(2*c.shutdowns-1)
}

// repeatShutdown runs in stateClosing.
func (c *Conn) repeatShutdown(now time.Duration) {
	if now < c.shutdownAt {
		return
	}
	if c.shutdowns < maxShutdowns {
		c.sendShutdown(now)
		return
	}
	c.terminate(net.ErrClosed, net.ErrClosed, net.ErrClosed)
}

// onShutdown takes the peer's Shutdown: it sends no more, and it hears no more.
func (c *Conn) onShutdown() {
	c.terminate(io.EOF, io.ErrUnexpectedEOF, ErrPeerClosed)
}

// abort ends the connection from outside the loop, for the endpoint: the peer
// is told once. cause is what users get.
func (c *Conn) abort(cause error) {
	c.onLoop(func(now time.Duration) {
		if c.state != stateConnecting && c.state != stateDead {
			c.sendControl(now, ctrlShutdown, 0)
		}
		c.terminate(cause, cause, cause)
	})
	<-c.done
}

// Abort ends the connection at once: what the peer has not acknowledged is
// dropped, and the peer is told once. A Close that waits returns; one that has
// not been called yet is still needed to let go of unread data, and does not
// wait.
func (c *Conn) Abort() { c.abort(net.ErrClosed) }
