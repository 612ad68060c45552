package wan

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is the number of packets taken, and delivered, before the emulator
	// turns to the other of the two.
	batch = 64

	// maxWait bounds one wait in the kernel, because the runtime of Go cannot
	// stop a goroutine that is there.
	maxWait = 10 * time.Millisecond
)

// direction emulates one direction of the link, in the process of the emulator.
// Its goroutine, run, owns everything that is not guarded by mu.
type direction struct {
	from, to  int // TUN devices
	grain     time.Duration
	lateAfter time.Duration

	taken []*packet // buffers to read into
	due   []*packet

	schedule hostSchedule // of the receiving host

	timeout unix.Timespec // argument of ppoll, here lest it be allocated

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

// run moves packets until a device is gone.
//
// It makes its system calls behind the back of Go's scheduler, which would take
// the processor (P) away during one, and give it back milliseconds late on a
// busy machine. It so occupies a P all the time.
func (d *direction) run() error {
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
			err = d.wait(nil, time.Until(now.Add(d.grain)))
		case next.IsZero():
			err = d.wait(poll, maxWait)
		default:
			err = d.wait(poll, time.Until(next))
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
		size, e := rawRead(d.from, d.taken[n].data)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
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
		begin := time.Now()
		delays[i] = d.schedule.begin(b.arrival, begin)
		for {
			e := rawWrite(d.to, b.data)
			if e == unix.EINTR {
				continue
			}
			if e == unix.EBADF || e == unix.EBADFD {
				return 0, time.Time{}, fmt.Errorf("write to a TUN device: %w", e)
			}
			refused[i] = e != 0
			break
		}
		d.schedule.end(time.Since(begin))
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

// wait waits until one of the files is ready or the time is over, at most
// maxWait. A signal ends it early.
func (d *direction) wait(files []unix.PollFd, timeout time.Duration) error {
	d.timeout = unix.NsecToTimespec(int64(min(max(timeout, 0), maxWait)))
	_, _, e := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(files))), uintptr(len(files)),
		uintptr(unsafe.Pointer(&d.timeout)), 0, 0, 0)
	if e != 0 && e != unix.EINTR {
		return e
	}
	return nil
}

// rawRead and rawWrite are unix.Read and unix.Write as run needs them, for
// buffers that are not empty. The error is 0 if there is none.
func rawRead(fd int, b []byte) (n int, err syscall.Errno) {
	r, _, err := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(r), err
}

func rawWrite(fd int, b []byte) syscall.Errno {
	_, _, err := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return err
}
