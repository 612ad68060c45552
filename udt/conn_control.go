package udt

import "time"

// onControl dispatches a control packet of an open or opening connection.
func (c *Conn) onControl(now time.Duration, h header, p []byte) {
	payload := p[headerSize:]
	if h.typ == ctrlHandshake {
		c.onHandshake(now, payload)
		return
	}
	if c.state == stateConnecting {
		if h.typ == ctrlKeepalive {
			c.onEarlyPacket(now)
		}
		return
	}
	if c.state == stateDead {
		return
	}
	if shortControl(h.typ) && len(payload) > padSize {
		c.count.invalid++ // a data packet with a flipped bit
		return
	}
	switch h.typ {
	case ctrlKeepalive, ctrlCongested:
		// Signs of life; a congestion warning has no other effect.
	case ctrlUser:
		if h.dst == 0 {
			c.onReset(p)
		} else {
			c.onExtension(now, h.info, p)
		}
	case ctrlACK:
		c.onACK(now, ackNo(h.info&seqMask), payload)
	case ctrlNAK:
		c.onNAK(now, payload)
	case ctrlACK2:
		c.onACK2(now, ackNo(h.info&seqMask))
	case ctrlShutdown:
		c.onShutdown()
	case ctrlPeerError:
		c.snd.failOnce(&PeerError{Code: h.info})
	default:
		// A message drop request has no place in a stream: following it would
		// leave a hole in the data.
		c.count.invalid++
	}
}

// padSize is the largest payload of packets that need none.
const padSize = 4

func shortControl(t ctrlType) bool {
	switch t {
	case ctrlKeepalive, ctrlCongested, ctrlShutdown, ctrlACK2, ctrlPeerError:
		return true
	}
	return false
}
