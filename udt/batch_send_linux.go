package udt

import (
	"encoding/binary"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sendMessages bounds the messages of one call, sendVectors the pieces of
	// memory that they consist of.
	sendMessages = 64
	sendVectors  = 128

	controlSpace = 128 // for all control messages of one datagram
)

// sendBatch is one call of sendmmsg.
type sendBatch struct {
	hdrs    [sendMessages]unix.Mmsghdr
	vecs    [sendVectors]unix.Iovec
	control [sendMessages][controlSpace]byte
	packets [sendMessages]int // in each message
	count   int               // messages

	next int        // first message that was not sent
	n    int        // result of the call: messages sent
	err  unix.Errno // of the message after those
	done bool

	try  func(fd uintptr)
	wait func(fd uintptr) bool
}

func newSendBatch(space *sendSpace) *sendBatch {
	b := new(sendBatch)
	b.wait = func(fd uintptr) bool {
		for {
			// A raw call, here and for receiving: it never waits, and a scheduler that knew
			// of it would give our processor away after 20 µs, for us to get it back.
			n, _, err := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.hdrs[b.next])),
				uintptr(b.count-b.next), unix.MSG_DONTWAIT, 0, 0)
			if err == unix.EINTR || noSpace(err) && space.grow(int(fd)) {
				continue
			}
			b.n, b.err = int(n), err
			return err != unix.EAGAIN
		}
	}
	b.try = func(fd uintptr) { b.done = b.wait(fd) }
	return b
}

// send implements datagramIO. An error may be that of an earlier packet, of
// which ICMP has told: each message gets a second chance.
func (b *batchIO) send(packets [][]byte, r route) (first error) {
	s := b.senders.Get().(*sendBatch)
	for len(packets) > 0 {
		s.fill(packets, r, b.segment && !r.path.whole)
		var err error
		packets, err = b.sendFilled(s, packets, r)
		if first == nil {
			first = err
		}
	}
	clear(s.vecs[:]) // the packets are not ours
	b.senders.Put(s)
	return first
}

// fill makes messages of the first packets, as many as fit.
func (s *sendBatch) fill(packets [][]byte, r route, segment bool) {
	s.count, s.next = 0, 0
	vecs := s.vecs[:]
	for len(packets) > 0 && s.count < sendMessages {
		n := 1
		if segment {
			n = runLength(packets)
		}
		if n > len(vecs) {
			return
		}
		h := &s.hdrs[s.count].Hdr
		h.Name, h.Namelen = &r.path.name[0], r.path.nameLen
		used := gatherVectors(vecs, packets[:n])
		h.Iov = &vecs[0]
		h.SetIovlen(used)
		vecs = vecs[used:]

		control := append(s.control[s.count][:0], r.oob...)
		if n > 1 {
			control = appendSegmentSize(control, len(packets[0]))
		}
		h.Control = nil
		if len(control) > 0 {
			h.Control = &control[0]
		}
		h.SetControllen(len(control))
		s.packets[s.count] = n
		s.count++
		packets = packets[n:]
	}
}

// gatherVectors describes packets by as few pieces of memory as possible and
// returns their number. Neighbours in a send buffer are one piece.
func gatherVectors(vecs []unix.Iovec, packets [][]byte) int {
	n := 0
	var end *byte // one past the last piece
	for _, p := range packets {
		if end == &p[0] {
			vecs[n-1].SetLen(int(vecs[n-1].Len) + len(p))
		} else {
			vecs[n].Base = &p[0]
			vecs[n].SetLen(len(p))
			n++
		}
		end = nil
		if cap(p) > len(p) {
			end = &p[:len(p)+1][len(p)]
		}
	}
	return n
}

// appendSegmentSize appends the control message that has the kernel cut a
// message into packets.
func appendSegmentSize(b []byte, size int) []byte {
	at := len(b)
	b = b[:at+unix.CmsgSpace(2)]
	putCmsgHeader(b[at:], unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(b[at+unix.CmsgLen(0):], uint16(size))
	return b
}

// sendFilled sends the messages of s, which hold the first packets, and
// returns the packets that are to be filled in anew.
func (b *batchIO) sendFilled(s *sendBatch, packets [][]byte, r route) (rest [][]byte, first error) {
	retried := false
	for s.next < s.count {
		err := s.call(b)
		for ; s.n > 0; s.n-- {
			packets = packets[s.packets[s.next]:]
			s.next++
			retried = false
		}
		if err == nil {
			continue
		}
		n := s.packets[s.next]
		if n > 1 && segmentsRefused(err) {
			r.path.whole = true
			b.noteRefusal(r, err)
			return packets, first
		}
		if first == nil {
			first = err
		}
		if s.err == 0 {
			return nil, first // the socket is closed
		}
		if retried {
			packets = packets[n:]
			s.next++
		}
		retried = !retried
	}
	return packets, first
}

// call sends what is left, as far as the kernel takes it at once, and waits
// for space if it takes nothing. The error is that of the message after those
// that were sent.
func (s *sendBatch) call(b *batchIO) error {
	s.n, s.err = 0, 0
	// This way senders of several connections do not wait for each other.
	err := b.rc.Control(s.try)
	if err == nil && !s.done {
		err = b.rc.Write(s.wait)
	}
	switch {
	case err != nil:
		s.n, s.err = 0, 0
		return err
	case s.err != 0:
		s.n = 0
		return os.NewSyscallError("sendmmsg", s.err)
	}
	return nil
}
