package udt

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recvBatch is one call of recvmmsg.
type recvBatch struct {
	size  int // of the space for one message, bytes
	hdrs  []unix.Mmsghdr
	vecs  []unix.Iovec
	names [][unix.SizeofSockaddrInet6]byte
	ctl   [][controlSpace]byte
	zones map[uint32]string
	// peer is where all datagrams come from if the socket is connected: then the kernel
	// need not say so for each, which is a fiftieth of what receiving one costs.
	peer netip.AddrPort

	reader *slabReader
	more   bool // the call adds to what an earlier one has got, and does not wait
	count  int  // messages asked for
	n      int  // messages received
	err    unix.Errno
	wait   func(fd uintptr) bool
}

const (
	// coalescedMessages of up to maxDatagram each may come out of one call,
	// plainMessages when the kernel joins nothing.
	coalescedMessages = slabSize / maxDatagram
	plainMessages     = 64
	minPlainSize      = 2048
	// recvEnough datagrams that the kernel has not joined are a batch.
	recvEnough = 64
	// moveLimit is the size in bytes up to which datagrams are moved together.
	// What a small one pins of its slab is no more than a few times its size.
	moveLimit = 16 << 10
	// maxRunTime in ns is how much later than the first datagram of a run another
	// may have arrived, whose time is taken for that of the first. Datagrams that
	// waited for a busy reader came at all times: as one run they would look as if
	// they had come faster than they did.
	maxRunTime = 50_000
)

func newRecvBatch(gro bool, mss int) *recvBatch {
	size, count := maxDatagram, coalescedMessages
	if !gro {
		size = max(minPlainSize, mss)
		count = min(plainMessages, slabSize/2/size)
	}
	b := &recvBatch{
		size:  size,
		hdrs:  make([]unix.Mmsghdr, count),
		vecs:  make([]unix.Iovec, count),
		names: make([][unix.SizeofSockaddrInet6]byte, count),
		ctl:   make([][controlSpace]byte, count),
		zones: make(map[uint32]string),
	}
	b.wait = func(fd uintptr) bool {
		b.prepare()
		for {
			n, _, err := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.hdrs[0])),
				uintptr(b.count), unix.MSG_DONTWAIT, 0, 0)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				if b.more {
					b.n = 0
					return true
				}
				b.reader.idle()
				return false
			}
			b.n, b.err = int(n), err
			return true
		}
	}
	return b
}

// prepare points the messages to the free part of the slab. The kernel
// overwrites the lengths with each call.
func (b *recvBatch) prepare() {
	var free []byte
	if b.more {
		free = b.reader.rest()
	} else {
		free = b.reader.reserve(b.least())
	}
	b.count = min(len(b.hdrs), len(free)/b.size)
	for i := range b.count {
		v, h := &b.vecs[i], &b.hdrs[i].Hdr
		v.Base = &free[i*b.size]
		v.SetLen(b.size)
		h.Iov = v
		h.SetIovlen(1)
		if !b.peer.IsValid() {
			h.Name, h.Namelen = &b.names[i][0], uint32(len(b.names[i]))
		}
		h.Control = &b.ctl[i][0]
		h.SetControllen(len(b.ctl[i]))
		h.Flags = 0
	}
}

// least is the space that a call needs.
func (b *recvBatch) least() int { return b.size * (len(b.hdrs) + 1) / 2 }

// recv implements datagramIO. A call has space for few datagrams where the kernel may
// join them, and each batch wakes goroutines. So where a device has joined nothing, it
// goes on while there are more, up to recvEnough.
func (b *batchIO) recv(in *slabReader, dst []inbound) ([]inbound, error) {
	r := b.in
	r.reader, r.more = in, false
	for got := 0; ; {
		r.n, r.err = 0, 0
		err := b.rc.Read(r.wait)
		if err == nil && r.err != 0 {
			err = os.NewSyscallError("recvmmsg", r.err)
		}
		if err != nil && r.more {
			return dst, nil // what has come first; the next call hears of it, or the queue of errors does
		} else if err != nil {
			return dst, err
		}
		had := len(dst)
		dst = b.collect(in, dst)
		got += r.n
		joined := slices.ContainsFunc(dst[had:], func(run inbound) bool { return run.train })
		if r.more = true; joined || b.empty() || got >= recvEnough || len(in.rest()) < r.least() {
			return dst, nil
		}
	}
}

// empty reports whether the latest call got less than it had asked for.
func (b *batchIO) empty() bool { return b.in.n < b.in.count }

// collect appends the messages received to dst. Small ones are moved together,
// and those of one peer become one run: the kernel joins nothing that comes
// over a device without NAPI. The halves of a probe pair begin runs, for the
// sake of their times.
func (b *batchIO) collect(in *slabReader, dst []inbound) []inbound {
	r := b.in
	start := in.used // of the batch; messages lie at multiples of size behind it
	runStart := -1   // of the last run, if more may be joined to it
	for i := range r.n {
		h := &r.hdrs[i]
		if h.Hdr.Flags&unix.MSG_TRUNC != 0 {
			b.truncated.Add(1)
			continue
		}
		n, at := int(h.Len), start+i*r.size
		next := inbound{slab: in.slab, segment: max(n, 1), from: r.source(i)}
		if int(h.Hdr.Controllen) > 0 {
			r.parseControl(r.ctl[i][:h.Hdr.Controllen], &next)
		}
		if n > moveLimit {
			in.used = at
			next.data = in.take(n)
			dst = append(dst, next)
			runStart = -1
			continue
		}
		if at != in.used {
			copy(in.slab.buf[in.used:], in.slab.buf[at:at+n])
		}
		moved := in.used
		next.data = in.take(n)
		if runStart >= 0 && !next.train && !probes(next.data) {
			if run := &dst[len(dst)-1]; n > 0 && n <= run.segment && len(run.data)%run.segment == 0 &&
				!run.train && run.from == next.from && run.local == next.local && next.stamp-run.stamp <= maxRunTime {
				run.data = in.slab.buf[runStart:in.used:in.used]
				run.spread = max(run.spread, time.Duration(next.stamp-run.stamp))
				continue
			}
		}
		runStart = moved
		dst = append(dst, next)
	}
	return dst
}

// parseControl takes the segment size, the time of arrival and the local
// address from the control messages.
func (r *recvBatch) parseControl(control []byte, to *inbound) {
	for len(control) >= unix.SizeofCmsghdr {
		hdr, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return
		}
		if hdr.Level == unix.IPPROTO_UDP && hdr.Type == unix.UDP_GRO && len(data) >= 4 {
			if size := int(binary.NativeEndian.Uint32(data)); size > 0 && size < to.segment {
				to.segment, to.train = size, true
			}
		} else if hdr.Level == unix.SOL_SOCKET && hdr.Type == unix.SO_TIMESTAMPNS_NEW && len(data) >= 16 {
			// Two 64-bit words on every architecture.
			to.stamp = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		} else if local, ok := localAddr(&hdr, data); ok {
			to.local = local
		}
		control = rest
	}
}

// source returns the address that message i came from.
func (r *recvBatch) source(i int) netip.AddrPort {
	if r.peer.IsValid() {
		return r.peer
	}
	name := &r.names[i]
	switch (*unix.RawSockaddr)(unsafe.Pointer(name)).Family {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), port)
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(unsafe.Pointer(name))
		port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(r.zone(sa.Scope_id))
		}
		return netip.AddrPortFrom(ip, port)
	}
	return netip.AddrPort{}
}

// zone is zoneName with a memory.
func (r *recvBatch) zone(scope uint32) string {
	name, ok := r.zones[scope]
	if !ok {
		name = zoneName(scope)
		r.zones[scope] = name
	}
	return name
}
