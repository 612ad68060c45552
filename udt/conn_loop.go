package udt

import (
	"sync"
	"time"
)

// turnState says who runs a connection: whoever has its turn is its loop then.
//
//   - The connection's own goroutine has the turn while it is awake, and not while it
//     waits for packets, a user or the timer. It takes it for good when it ends.
//   - The endpoint's read goroutine takes it while that one waits, when two batches in a
//     row are for this connection alone. It has the packets in its cache, and wakes nobody.
type turnState struct {
	turn sync.Mutex
	// timer wakes the goroutine when something is due. It belongs to who has the turn.
	timer *time.Timer
	// moreWaits: who reads the socket runs the connection, and has not read all.
	moreWaits bool
	// asleep: then, the reader of the stream was left asleep with something to read.
	asleep bool
}

// loop is the connection's goroutine, until the connection is dead.
func (c *Conn) loop() {
	defer c.end()
	defer c.timer.Stop()
	c.turn.Lock()
	for {
		wait := c.step()
		if c.state == stateDead {
			return
		}
		if wait <= 0 {
			select {
			case f := <-c.calls:
				f(c.ep.now())
			default:
			}
			continue
		}
		c.timer.Reset(wait)
		c.turn.Unlock()
		var call func(now time.Duration)
		select {
		case <-c.wake:
		case <-c.timer.C:
		case call = <-c.calls:
		}
		c.turn.Lock()
		if call != nil {
			call(c.ep.now())
		}
	}
}

// step does all that there is to do, but sends no more than one burst. It returns how
// long there will be nothing to do unless packets come or users call.
func (c *Conn) step() (wait time.Duration) {
	runs := c.in.swap(c.spare)
	now := c.ep.now() // later than any arrival in runs
	c.receive(now, runs)
	c.onTimers(now)
	sendAt := c.maybeSend(now)
	if c.state == stateDraining {
		c.checkDrained(now)
	}
	return min(sendAt, c.nextTimeout()) - now
}

// visit has the caller do what the loop would do when it is woken, unless that is
// awake. moreWaits is set if the caller will go on with more packets. A reader of the
// stream that has memory for those may be left asleep: the caller calls c.rcv.wake
// before it waits.
func (c *Conn) visit(moreWaits bool) (asleep bool) {
	if !c.turn.TryLock() {
		c.wakeLoop()
		return false
	}
	defer c.turn.Unlock()
	c.moreWaits, c.asleep = moreWaits, false
	wait := c.step()
	c.moreWaits = false
	if wait <= 0 || c.state == stateDead {
		c.wakeLoop()
	} else {
		c.timer.Reset(wait)
	}
	return c.asleep
}

func (c *Conn) wakeLoop() { poke(c.wake) }

// onLoop runs f on the loop and waits for it; false if the loop has ended.
func (c *Conn) onLoop(f func(now time.Duration)) bool {
	ran := make(chan struct{})
	select {
	case c.calls <- func(now time.Duration) { f(now); close(ran) }:
		<-ran
		return true
	case <-c.done:
		return false
	}
}
