package connstats

import (
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// caStates are the states of TCP's loss recovery (enum tcp_ca_state).
var caStates = [...]string{"open", "disorder", "cwr", "recovery", "loss"}

// readTCPInfo adds to s what the kernel knows. Of what the peer sends that is no
// more than the round trip of our own few packets.
func readTCPInfo(c *net.TCPConn, d Direction, s *Stats) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	var info *unix.TCPInfo
	var control string
	// An error means that the connection is closed, and leaves everything unknown.
	_ = raw.Control(func(fd uintptr) {
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			control, _ = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		}
	})
	if info == nil || err != nil {
		return
	}
	p := &s.Path
	p.RTT = time.Duration(info.Rtt) * time.Microsecond
	if info.Min_rtt != math.MaxUint32 {
		p.MinRTT = time.Duration(info.Min_rtt) * time.Microsecond
	}
	if d == Receiving {
		return
	}
	s.Known = true
	if info.Bytes_acked > 0 {
		s.Bytes = int64(info.Bytes_acked) - 1 // the SYN counts as a byte
	}
	mss := int64(info.Snd_mss)
	p.Controller = control
	if int(info.Ca_state) < len(caStates) {
		p.State = caStates[info.Ca_state]
	}
	if info.Pacing_rate < math.MaxInt64 {
		p.PacingRate = 8 * float64(info.Pacing_rate)
	}
	p.DeliveryRate = 8 * float64(info.Delivery_rate)
	if info.Data_segs_out > 0 {
		p.Loss = min(float64(info.Total_retrans)/float64(info.Data_segs_out), 1)
	}
	p.Window = int64(info.Snd_cwnd) * mss
	// As tcp_packets_in_flight of the kernel has it.
	p.InFlight = max(0, int64(info.Unacked)-int64(info.Sacked)-int64(info.Lost)+int64(info.Retrans)) * mss
}
