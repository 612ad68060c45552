//go:build libudt

package libudt

// #include "shim.h"
import "C"

// PerfMon is the library's record of a connection, under the library's names:
// ms, us and Mbps are the units, pkt counts packets. Fields ending in Total
// count since the socket was opened, their namesakes since the last call with
// clear, the others are current values.
type PerfMon struct {
	MsTimeStamp                                       int64
	PktSentTotal, PktRecvTotal                        int64 // data packets, retransmissions and duplicates included
	PktSndLossTotal, PktRcvLossTotal, PktRetransTotal int
	PktSentACKTotal, PktRecvACKTotal                  int // full ACKs; received ones only if they advanced
	PktSentNAKTotal, PktRecvNAKTotal                  int
	PktSent, PktRecv                                  int64
	PktSndLoss, PktRcvLoss, PktRetrans                int
	PktSentACK, PktRecvACK, PktSentNAK, PktRecvNAK    int
	MbpsSendRate, MbpsRecvRate                        float64
	UsPktSndPeriod, MsRTT, MbpsBandwidth              float64
	PktFlowWindow, PktCongestionWindow, PktFlightSize int
	ByteAvailSndBuf, ByteAvailRcvBuf                  int
}

// PerfMon returns the record of the connection.
func (c *Conn) PerfMon(clear bool) (PerfMon, error) {
	var m C.peer_perfmon
	var e C.peer_error
	reset := C.int(0)
	if clear {
		reset = 1
	}
	if C.peer_stats(c.socket, reset, &m, &e) < 0 {
		return PerfMon{}, c.opError("perfmon", errorOf("perfmon", &e))
	}
	return PerfMon{
		MsTimeStamp:         int64(m.msTimeStamp),
		PktSentTotal:        int64(m.pktSentTotal),
		PktRecvTotal:        int64(m.pktRecvTotal),
		PktSndLossTotal:     int(m.pktSndLossTotal),
		PktRcvLossTotal:     int(m.pktRcvLossTotal),
		PktRetransTotal:     int(m.pktRetransTotal),
		PktSentACKTotal:     int(m.pktSentACKTotal),
		PktRecvACKTotal:     int(m.pktRecvACKTotal),
		PktSentNAKTotal:     int(m.pktSentNAKTotal),
		PktRecvNAKTotal:     int(m.pktRecvNAKTotal),
		PktSent:             int64(m.pktSent),
		PktRecv:             int64(m.pktRecv),
		PktSndLoss:          int(m.pktSndLoss),
		PktRcvLoss:          int(m.pktRcvLoss),
		PktRetrans:          int(m.pktRetrans),
		PktSentACK:          int(m.pktSentACK),
		PktRecvACK:          int(m.pktRecvACK),
		PktSentNAK:          int(m.pktSentNAK),
		PktRecvNAK:          int(m.pktRecvNAK),
		MbpsSendRate:        float64(m.mbpsSendRate),
		MbpsRecvRate:        float64(m.mbpsRecvRate),
		UsPktSndPeriod:      float64(m.usPktSndPeriod),
		MsRTT:               float64(m.msRTT),
		MbpsBandwidth:       float64(m.mbpsBandwidth),
		PktFlowWindow:       int(m.pktFlowWindow),
		PktCongestionWindow: int(m.pktCongestionWindow),
		PktFlightSize:       int(m.pktFlightSize),
		ByteAvailSndBuf:     int(m.byteAvailSndBuf),
		ByteAvailRcvBuf:     int(m.byteAvailRcvBuf),
	}, nil
}
