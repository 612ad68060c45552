package udt

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A quietSocket is a UDP socket that is not in the runtime's poller, which would hear
// of each datagram as long as the socket is there: while the read goroutine is busy or
// gathers, every one of them would wake the thread that waits for timers, for nothing.
// Here the socket is in a poll set of its own, as an event that is delivered once and
// then has to be armed again, and that set is in the runtime's poller. Even a set in
// which nobody waits hears of each datagram, which is a tenth of what it costs to bring one
// to the socket. So a reader that has not waited for a while takes the socket out.
//
// It implements syscall.Conn and syscall.RawConn. One goroutine may call Read.
type quietSocket struct {
	file *os.File // the socket
	raw  syscall.RawConn
	set  *os.File // the poll set

	setRaw syscall.RawConn
	setFD  int
	closed atomic.Bool

	// Of the goroutine that reads: nothing is allocated per call.
	f      func(fd uintptr) bool
	done   bool
	member bool // the socket is in the set
	busy   int  // calls of Read in a row that need not wait
	events [1]unix.EpollEvent
	n      int
	err    error
	try    func(fd uintptr)
	arm    func(fd uintptr)
	wait   func(fd uintptr) bool
}

// leaveAfter is the number of calls of Read that did not have to wait after which the
// socket leaves the poll set. To leave and to join costs a microsecond more than to be
// armed in it, and so does a call of Read for eight datagrams that the set has heard of.
const leaveAfter = 4

// errQueued is what Read returns when there is nothing to read but reports of errors.
var errQueued = errors.New("the kernel has reports of errors")

// newQuietSocket moves a socket out of the runtime's poller. When it succeeds, udp is
// closed, and the socket lives on in what it returns.
func newQuietSocket(udp *net.UDPConn) (_ *quietSocket, err error) {
	fd, set := -1, -1
	if err := control(udp, func(old int) (err error) {
		fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 0)
		return err
	}); err != nil {
		return nil, fmt.Errorf("duplicate the socket: %w", err)
	}
	// Both descriptors share this flag. All calls say themselves that they do not
	// wait, and a file that seems to block stays out of the runtime's poller.
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("take the socket over: %w", err)
	}
	q := &quietSocket{file: os.NewFile(uintptr(fd), "udp")}
	defer func() {
		if err != nil {
			_ = unix.SetNonblock(fd, true) // of udp as well
			q.file.Close()
			q.set.Close()
		}
	}()
	if set, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a poll set: %w", err)
	}
	if err := unix.SetNonblock(set, true); err != nil {
		return nil, fmt.Errorf("make a poll set: %w", err)
	}
	q.set, q.setFD = os.NewFile(uintptr(set), "epoll"), set
	if err := q.set.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("have the poll set polled: %w", err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: int32(fd)}
	if err := unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return nil, fmt.Errorf("poll the socket: %w", err)
	}
	if q.setRaw, err = q.set.SyscallConn(); err != nil {
		return nil, err
	}
	if q.raw, err = q.file.SyscallConn(); err != nil {
		return nil, err
	}
	if err := udp.Close(); err != nil {
		return nil, fmt.Errorf("take the socket over: %w", err)
	}
	q.member = true
	q.try = func(fd uintptr) {
		if q.done = q.f(fd); q.done {
			q.busy++
		} else {
			q.busy = -1 // the call that ends the wait is none of them
		}
		if q.busy >= leaveAfter && q.member {
			q.member = unix.EpollCtl(q.setFD, unix.EPOLL_CTL_DEL, int(fd), nil) != nil
		}
	}
	q.arm = func(fd uintptr) {
		event := &q.events[0]
		*event = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(fd)}
		op := unix.EPOLL_CTL_MOD
		if !q.member {
			op = unix.EPOLL_CTL_ADD
		}
		if q.err = unix.EpollCtl(q.setFD, op, int(fd), event); q.err == nil {
			q.member = true
		}
	}
	q.wait = func(fd uintptr) bool {
		for {
			q.n, q.err = unix.EpollWait(int(fd), q.events[:], 0)
			if q.err != unix.EINTR {
				return q.n != 0 || q.err != nil
			}
		}
	}
	return q, nil
}

// SyscallConn implements syscall.Conn.
func (q *quietSocket) SyscallConn() (syscall.RawConn, error) { return q, nil }

// Control implements syscall.RawConn.
func (q *quietSocket) Control(f func(fd uintptr)) error { return q.errorOf(q.raw.Control(f)) }

// Read implements syscall.RawConn.
func (q *quietSocket) Read(f func(fd uintptr) bool) error {
	q.f = f
	for {
		if err := q.raw.Control(q.try); err != nil || q.done {
			return q.errorOf(err)
		}
		if err := q.raw.Control(q.arm); err != nil || q.err != nil {
			return q.errorOf(errors.Join(err, q.err))
		}
		if err := q.setRaw.Read(q.wait); err != nil || q.err != nil {
			return q.errorOf(errors.Join(err, q.err))
		}
		if q.events[0].Events&(unix.EPOLLIN|unix.EPOLLERR) == unix.EPOLLERR {
			return errQueued
		}
	}
}

// sendWait in ms is how long Write waits for space before it looks whether the socket
// has been closed.
const sendWait = 100

// Write implements syscall.RawConn. It is for what is rare, a full send buffer.
func (q *quietSocket) Write(f func(fd uintptr) bool) error {
	done := false
	for {
		err := q.raw.Control(func(fd uintptr) {
			if done = f(fd); !done {
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, sendWait)
			}
		})
		if err != nil || done {
			return q.errorOf(err)
		}
	}
}

// Close ends a Read that waits.
func (q *quietSocket) Close() error {
	if q.closed.Swap(true) {
		return net.ErrClosed
	}
	// The socket goes first: who hears of the end has no more to send.
	return errors.Join(q.file.Close(), q.set.Close())
}

// errorOf gives what comes of closing the name that package net has for it.
func (q *quietSocket) errorOf(err error) error {
	if err != nil && q.closed.Load() {
		return net.ErrClosed
	}
	return err
}
