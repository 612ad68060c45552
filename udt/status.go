package udt

import (
	"encoding/binary"
	"math"
	"time"
)

// A status packet tells a receiver what its sender's congestion control knows
// and does, for people to see. Of it only the round trip is made use of, for the size
// of the receive window. The package comment specifies it.
const statusType = 0x4653

const (
	statusWords = 11
	stateSize   = 12 // bytes
)

// appendStatus appends the packet that says s to b, which is empty.
func appendStatus(b []byte, no uint32, dst socketID, s *SenderStats, payload int) []byte {
	var state [stateSize]byte
	copy(state[:], s.State)
	word := func(i int) uint32 { return binary.BigEndian.Uint32(state[4*i:]) }
	return appendUser(b, statusType, no, dst,
		controllerCode(s.Controller), word(0), word(1), word(2),
		wireCount(s.PacingRate/1e3), wireCount(s.DeliveryRate/1e3),
		statusMicros(s.MinRTT), statusMicros(s.RTT),
		wireCount(s.Loss*1e6), wireCount(float64(s.Window)/float64(payload)), wireCount(float64(s.InFlight)/float64(payload)))
}

// statusMicros keeps round trips on one machine from becoming unknown ones.
func statusMicros(d time.Duration) uint32 {
	if d > 0 {
		d = max(d, time.Microsecond)
	}
	return wireCount(float64(d.Microseconds()))
}

// wireCount turns x into a word, the nearest that there is.
func wireCount(x float64) uint32 { return uint32(min(max(math.Round(x), 0), math.MaxUint32)) }

// parseStatus decodes the payload of a status packet from a peer whose packets
// carry up to payload bytes.
func parseStatus(p []byte, payload int) (s SenderStats, ok bool) {
	if len(p) < 4*statusWords || len(p)%4 != 0 {
		return SenderStats{}, false
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(p[4*i:]) }
	state, ok := parseState(p[4 : 4+stateSize])
	if !ok || word(8) > 1e6 {
		return SenderStats{}, false
	}
	micros := func(i int) time.Duration { return time.Duration(word(i)) * time.Microsecond }
	return SenderStats{
		Controller: controllerName(word(0)), State: state,
		PacingRate: float64(word(4)) * 1e3, DeliveryRate: float64(word(5)) * 1e3,
		MinRTT: micros(6), RTT: micros(7), Loss: float64(word(8)) / 1e6,
		Window: int64(word(9)) * int64(payload), InFlight: int64(word(10)) * int64(payload),
	}, true
}

// parseState takes no character that a terminal could act on.
func parseState(p []byte) (string, bool) {
	n := 0
	for n < len(p) && p[n] != 0 {
		if c := p[n]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", false
		}
		n++
	}
	for _, c := range p[n:] {
		if c != 0 {
			return "", false
		}
	}
	return string(p[:n]), true
}
