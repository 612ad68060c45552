package udt

import "encoding/binary"

// A packet that has become too large for the path cannot be cut into smaller
// ones: its bytes are bound to its sequence number. It is sent in pieces, which
// the receiver puts together. That takes neither fragmentation of IP, which
// IPv6 routers do not do and firewalls block, nor a word from the path.
//
// A piece is a user-defined control packet of extended type pieceType; word 1
// of the header is the sequence number. Its payload begins with one word:
//
//	number of this piece, from 0 (8) | number of pieces (8) | payload of the packet, bytes (16)
//
// and ends with the bytes. All pieces of a packet have the same size, but the
// last, which has the rest.
const (
	pieceType = 0x5043

	pieceHeader = headerSize + 4
	// maxPieces fit into the record of those that have come.
	maxPieces = 64
	// maxPartial bounds the packets of which a receiver holds pieces.
	maxPartial = 256
)

// piece is a decoded piece.
type piece struct {
	number, count, total int
	data                 []byte // inside the datagram
}

// pieceSize returns how many of total bytes each of count pieces carries.
func pieceSize(total, count int) int { return (total + count - 1) / count }

// parse decodes the payload of a control packet.
func (f *piece) parse(p []byte) (ok bool) {
	if len(p) <= 4 {
		return false
	}
	*f = piece{number: int(p[0]), count: int(p[1]), total: int(binary.BigEndian.Uint16(p[2:])), data: p[4:]}
	if f.count < 1 || f.count > maxPieces || f.number >= f.count || f.total < f.count {
		return false
	}
	size := pieceSize(f.total, f.count)
	return len(f.data) == min(size, f.total-f.number*size)
}

// appendPieces cuts a data packet into control packets of at most most bytes
// and appends them to packets. They lie one behind the other in space, which is
// returned for the next call.
func appendPieces(packets [][]byte, space, p []byte, most int) (_ [][]byte, rest []byte) {
	data := p[headerSize:]
	room := most - pieceHeader
	count := (len(data) + room - 1) / room
	if need := len(data) + count*pieceHeader; cap(space)-len(space) < need {
		space = make([]byte, 0, max(need, pieceSpace))
	}
	size := pieceSize(len(data), count)
	for i := range count {
		from := len(space)
		space = binary.BigEndian.AppendUint32(space, controlBit|uint32(ctrlUser)<<16|pieceType)
		space = append(space, p[:4]...)
		space = append(space, 0, 0, 0, 0)
		space = append(space, p[12:headerSize]...)
		space = append(space, byte(i), byte(count), byte(len(data)>>8), byte(len(data)))
		space = append(space, data[i*size:min((i+1)*size, len(data))]...)
		putCheck(space[from:])
		packets = append(packets, space[from:len(space):cap(space)])
	}
	return packets, space
}

// pieceSpace takes the pieces of one burst.
const pieceSpace = 128 << 10

// partialPacket is a packet of which some pieces have come.
type partialPacket struct {
	count int
	have  uint64 // bit i: piece i
	data  []byte
}

// partials are the packets that have come in part. The loop owns them. What they
// take is counted in the endpoint's Memory, but there is always one.
type partials struct {
	packets map[int64]*partialPacket // no more than maxPartial
	mem     *Memory
	held    int64 // bytes of mem
}

// add puts a piece of packet i in its place and returns the packet's payload
// once it is complete.
func (m *partials) add(i int64, f piece) (data []byte) {
	p := m.packets[i]
	if p == nil || p.count != f.count || len(p.data) != f.total {
		m.drop(i)
		if !m.makeRoom(i, int64(f.total)) {
			return nil
		}
		if m.packets == nil {
			m.packets = make(map[int64]*partialPacket)
		}
		p = &partialPacket{count: f.count, data: make([]byte, f.total)}
		m.packets[i] = p
	}
	copy(p.data[f.number*pieceSize(f.total, f.count):], f.data)
	p.have |= 1 << f.number
	if p.have != 1<<f.count-1 {
		return nil
	}
	m.drop(i)
	return p.data
}

// makeRoom takes memory for packet i. It gives up later packets, which are not
// needed as soon, and fails if there are none.
func (m *partials) makeRoom(i, size int64) bool {
	for len(m.packets) >= maxPartial || !m.mem.grow(m.held, size, 0) {
		if len(m.packets) == 0 {
			m.mem.resize(m.held, m.held+size, m.held+size, 0)
			break
		}
		last := i
		for k := range m.packets {
			last = max(last, k)
		}
		if last == i {
			return false
		}
		m.drop(last)
	}
	m.held += size
	return true
}

// drop forgets packet i, if it is there.
func (m *partials) drop(i int64) {
	p := m.packets[i]
	if p == nil {
		return
	}
	delete(m.packets, i)
	rest := m.held - int64(len(p.data))
	m.mem.resize(m.held, rest, rest, 0)
	m.held = rest
}

// dropBefore forgets packets that have come whole.
func (m *partials) dropBefore(i int64) {
	for k := range m.packets {
		if k < i {
			m.drop(k)
		}
	}
}
