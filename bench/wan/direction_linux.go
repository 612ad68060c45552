package wan

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// batch is the number of packets taken, and delivered, before the emulator
// turns to the other of the two.
const batch = 64

// direction emulates one direction of the link. Its goroutine, run, owns
// everything that is not guarded by mu.
type direction struct {
	from, to  *device
	wake      int // eventfd that ends run
	grain     time.Duration
	lateAfter time.Duration
	log       *slog.Logger

	taken []*packet // buffers to read into
	due   []*packet

	mu            sync.Mutex // guards what is below; never held across I/O
	pipe          *pipe
	late          lateness
	droppedBefore int64 // drops of the device before counting began
}

// newDirection prepares the direction from one device to another. The stream
// tells the random decisions of directions of one link apart.
func newDirection(link Link, stream uint64, from, to *device, log *slog.Logger) (*direction, error) {
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	d := &direction{
		from:      from,
		to:        to,
		wake:      wake,
		grain:     link.Grain(),
		lateAfter: link.lateAfter(),
		log:       log,
		pipe:      newPipe(link, rand.New(rand.NewPCG(link.Seed, stream))),
	}
	d.reset()
	return d, nil
}

// stop makes run return.
func (d *direction) stop() {
	one := [8]byte{7: 1} // any number but 0, in any byte order
	if _, err := unix.Write(d.wake, one[:]); err != nil {
		panic("wan: write to an eventfd: " + err.Error())
	}
}

// close frees what newDirection has made; run must have returned.
func (d *direction) close() error { return unix.Close(d.wake) }

// run moves packets until stop is called or a device is gone.
func (d *direction) run() error {
	restore, err := hurry()
	if err != nil {
		d.log.Warn("the emulated link has no real-time priority and may run late", "err", err)
	}
	defer restore()

	poll := []unix.PollFd{{Fd: int32(d.wake), Events: unix.POLLIN}, {Fd: int32(d.from.fd), Events: unix.POLLIN}}
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
			_, err = wait(poll[:1], 0)
		case taken > 0 || delivered > 0:
			// More is likely to follow at once: see to it together.
			_, err = wait(poll[:1], max(0, time.Until(now.Add(d.grain))))
		case next.IsZero():
			_, err = wait(poll, -1)
		default:
			_, err = wait(poll, max(0, time.Until(next)))
		}
		if err != nil {
			return fmt.Errorf("ppoll: %w", err)
		}
		if poll[0].Revents != 0 {
			return nil
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
		size, e := unix.Read(d.from.fd, d.taken[n].data)
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
			_, e := unix.Write(d.to.fd, b.data)
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
	dropped, err := d.from.dropped()
	if err != nil {
		d.log.Warn("no counters of the device", "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	l.merge(&d.late)
	c := d.pipe.count
	c.Missed = max(0, dropped-d.droppedBefore)
	return c
}

// reset sets the counters to zero.
func (d *direction) reset() {
	dropped, err := d.from.dropped()
	if err != nil {
		d.log.Warn("no counters of the device", "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pipe.count = Direction{}
	d.late = lateness{}
	d.droppedBefore = dropped
}

// wait waits until one of the files is ready or the time is over; negative means
// for ever. It updates what is ready in files.
func wait(files []unix.PollFd, timeout time.Duration) (n int, err error) {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	for i := range files {
		files[i].Revents = 0
	}
	n, err = unix.Ppoll(files, ts, nil)
	if errors.Is(err, unix.EINTR) {
		return 0, nil // a signal, such as the runtime's own: as if the time were over
	}
	return n, err
}

// hurry gives the calling goroutine a thread to itself that the kernel runs
// before all ordinary ones. Neither threads nor processes made by it inherit
// that. restore undoes both.
func hurry() (restore func(), err error) {
	runtime.LockOSThread()
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return runtime.UnlockOSThread, fmt.Errorf("sched_getattr: %w", err)
	}
	err = unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1,
	}, 0)
	if err != nil {
		return runtime.UnlockOSThread, fmt.Errorf("sched_setattr: %w", err)
	}
	return func() {
		// The runtime ends a thread whose goroutine ends locked to it, which is
		// right only for one that would stay in a hurry.
		if unix.SchedSetAttr(0, before, 0) == nil {
			runtime.UnlockOSThread()
		}
	}, nil
}
