package wan

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// batch is the number of packets taken, and delivered, before the emulator
// turns to the other of the two.
const batch = 64

// direction emulates one direction of the link, in the process of the emulator.
// Its goroutine, run, owns
// everything that is not guarded by mu.
type direction struct {
	from, to  int // TUN devices
	grain     time.Duration
	lateAfter time.Duration

	taken []*packet // buffers to read into
	due   []*packet

	mu   sync.Mutex // guards what is below; never held across I/O
	pipe *pipe
	late lateness
}

// newDirection prepares the direction from one device to another. The stream
// tells the random decisions of directions of one link apart.
func newDirection(link Link, stream uint64, from, to int) *direction {
	return &direction{
		from:      from,
		to:        to,
		grain:     link.Grain(),
		lateAfter: link.lateAfter(),
		pipe:      newPipe(link, rand.New(rand.NewPCG(link.Seed, stream))),
	}
}

// run moves packets until a device is gone. It keeps its thread to itself.
func (d *direction) run() error {
	runtime.LockOSThread()
	poll := []unix.PollFd{{Fd: int32(d.from), Events: unix.POLLIN}}
	for {
		// What has come since and what is due by now.
		now := time.Now()
		taken, err := d.take(now)
		if err != nil {
			return err
		}
		delivered, next, err := d.deliver(now)
		if err != nil {
			return err
		}
		switch {
		case taken == batch || delivered == batch:
		case taken > 0 || delivered > 0:
			// More is likely to follow at once: see to it together.
			err = wait(nil, max(0, time.Until(now.Add(d.grain))))
		case next.IsZero():
			err = wait(poll, -1)
		default:
			err = wait(poll, max(0, time.Until(next)))
		}
		if err != nil {
			return fmt.Errorf("ppoll: %w", err)
		}
	}
}

// take reads up to batch packets from the sending host.
func (d *direction) take(now time.Time) (n int, err error) {
	d.mu.Lock()
	for len(d.taken) < batch {
		d.taken = append(d.taken, d.pipe.buffer())
	}
	d.mu.Unlock()
	for n < batch {
		size, e := unix.Read(d.from, d.taken[n].data)
		if e == unix.EINTR {
			continue
		}
		if e != nil {
			if e != unix.EAGAIN {
				err = fmt.Errorf("read from a TUN device: %w", e)
			}
			break
		}
		d.taken[n].data = d.taken[n].data[:size]
		n++
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, b := range d.taken[:n] {
		d.pipe.accept(b, len(b.data), now)
		d.taken[i] = nil
	}
	// The buffers not used stay for the next time.
	d.taken = append(d.taken[:0], d.taken[n:]...)
	return n, err
}

// deliver writes up to batch packets that are due to the receiving host, and
// returns when the next one will be, zero if there is none.
func (d *direction) deliver(now time.Time) (n int, next time.Time, err error) {
	d.mu.Lock()
	d.due = d.due[:0]
	for len(d.due) < batch {
		b := d.pipe.next(now)
		if b == nil {
			break
		}
		d.due = append(d.due, b)
	}
	next, _ = d.pipe.nextArrival()
	d.mu.Unlock()

	var delays [batch]time.Duration
	var refused [batch]bool
	for i, b := range d.due {
		delays[i] = time.Since(b.arrival)
		for {
			_, e := unix.Write(d.to, b.data)
			if e == unix.EINTR {
				continue
			}
			if e == unix.EBADF || e == unix.EBADFD {
				return 0, time.Time{}, fmt.Errorf("write to a TUN device: %w", e)
			}
			refused[i] = e != nil
			break
		}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	for i, b := range d.due {
		if refused[i] {
			d.pipe.count.Refused.add(len(b.data))
		} else {
			d.pipe.count.Delivered.add(len(b.data))
		}
		d.late.add(delays[i], d.lateAfter)
		d.pipe.recycle(b)
	}
	return len(d.due), next, nil
}

// snapshot returns the counters and adds the lateness to what l has.
func (d *direction) snapshot(l *lateness) Direction {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.merge(&d.late)
	return d.pipe.count
}

// reset sets the counters to zero.
func (d *direction) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pipe.count = Direction{}
	d.late = lateness{}
}

// wait waits until one of the files is ready or the time is over; negative means
// for ever. A signal, such as the runtime's own, ends it early.
func wait(files []unix.PollFd, timeout time.Duration) error {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	if _, err := unix.Ppoll(files, ts, nil); err != nil && err != unix.EINTR {
		return err
	}
	return nil
}
