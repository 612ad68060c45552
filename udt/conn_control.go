package udt

import (
	"net/netip"
	"time"
)

// onControl dispatches a control packet of an open or opening connection.
func (c *Conn) onControl(now time.Duration, h header, payload []byte, from netip.AddrPort) {
	if h.typ == ctrlHandshake {
		c.onHandshake(now, payload, from)
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
	switch h.typ {
	case ctrlKeepalive, ctrlCongested, ctrlUser:
		// Signs of life; the types after Keepalive have no effect.
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
