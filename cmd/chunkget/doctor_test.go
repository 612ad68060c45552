package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/pin"
)

func TestFindings(t *testing.T) {
	lost := errors.New("no answer")
	ms := func(n ...int) (out []time.Duration) {
		for _, n := range n {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	for _, tt := range []struct {
		name string
		f    finding
		want verdict
	}{
		{"both", reachFinding(true, nil, nil), verdictOK},
		{"UDP only", reachFinding(true, nil, lost), verdictWarn},
		{"UDP blocked", reachFinding(true, lost, nil), verdictBad},
		{"neither", reachFinding(true, lost, lost), verdictBad},
		{"certificate", identityFinding(false, nil), verdictOK},
		{"pin", identityFinding(true, nil), verdictOK},
		{"other key", identityFinding(true, fmt.Errorf("tls handshake: %w", new(pin.MismatchError))), verdictBad},
		{"no TLS", identityFinding(true, fmt.Errorf("tls handshake: %w", tls.RecordHeaderError{Msg: "HTTP"})), verdictBad},
		{"TLS cut off", identityFinding(false, fmt.Errorf("tls handshake: %w", io.EOF)), verdictBad},
		{"TCP", reachFinding(false, nil, nil), verdictOK},
		{"no TCP", reachFinding(false, nil, lost), verdictBad},
		{"UDT offered", offerFinding("9000", nil), verdictOK},
		{"UDT offered, not answering", offerFinding("9000", lost), verdictWarn},
		{"UDT offered by somebody else", offerFinding("9000", new(pin.MismatchError)), verdictBad},
		{"steady", rttFinding("r", "connects", ms(30, 20, 25)), verdictOK},
		{"short and unsteady", rttFinding("r", "connects", ms(1, 5, 9)), verdictOK},
		{"queues", rttFinding("r", "connects", ms(20, 80, 90)), verdictWarn},
		{"no loss", lossFinding(1000, 0), verdictOK},
		{"nothing came", lossFinding(0, 0), verdictOK},
		{"loss", lossFinding(990, 10), verdictWarn},
		{"much loss", lossFinding(900, 100), verdictBad},
		{"jitter", jitterFinding(30*time.Millisecond, 40*time.Millisecond), verdictWarn},
		{"little jitter", jitterFinding(5*time.Millisecond, 4*time.Millisecond), verdictOK},
		{"Ethernet", packetFinding(1500), verdictOK},
		{"PPPoE", packetFinding(1492), verdictOK},
		{"jumbo", packetFinding(9000), verdictOK},
		{"tunnel", packetFinding(1280), verdictWarn},
		{"buffer, path unknown", udpBufferFinding("b", "n", 4<<20, 8<<20, 0, "why"), verdictWarn},
		{"all of the buffer", udpBufferFinding("b", "n", 8<<20, 8<<20, 0, "why"), verdictOK},
		{"buffer for the path", udpBufferFinding("b", "n", 200<<10, 8<<20, 100<<10, "why"), verdictOK},
		{"buffer too small for the path", udpBufferFinding("b", "n", 200<<10, 8<<20, 300<<10, "why"), verdictWarn},
		{"buffer for a path beyond what is asked for", udpBufferFinding("b", "n", 8<<20, 8<<20, 100<<20, "why"), verdictOK},
		{"TCP buffer, path unknown", tcpBufferFinding([3]int64{4 << 10, 128 << 10, 6 << 20}, 0), verdictOK},
		{"TCP buffer", tcpBufferFinding([3]int64{4 << 10, 128 << 10, 6 << 20}, 3<<20), verdictOK},
		{"TCP buffer too small", tcpBufferFinding([3]int64{4 << 10, 128 << 10, 6 << 20}, 4<<20), verdictWarn},
		{"clock", clockFinding(-2 * time.Second), verdictOK},
		{"behind", clockFinding(-time.Minute), verdictWarn},
		{"ahead", clockFinding(time.Hour), verdictBad},
		{"fast disk", diskFinding(".", 500e6), verdictOK},
		{"slow disk", diskFinding(".", 50e6), verdictWarn},
		{"very slow disk", diskFinding(".", 5e6), verdictBad},
	} {
		if tt.f.Verdict != tt.want || tt.f.Text == "" || (tt.want != verdictOK) != (tt.f.Advice != "") {
			t.Errorf("%s: %+v, want %s", tt.name, tt.f, tt.want)
		}
	}
}

// A packet of the usual size is one of 1500 bytes, whatever the version of IP.
func TestIPSize(t *testing.T) {
	for payload, from := range map[int]string{
		1456: "192.0.2.1",
		1436: "2001:db8::1",
	} {
		if got := ipSize(payload, netip.MustParseAddr(from)); got != 1500 {
			t.Errorf("%d bytes from %v are %d on the path", payload, from, got)
		}
	}
}

func TestFlow(t *testing.T) {
	for _, tt := range []struct {
		path            flow
		underWay, burst float64
	}{
		{flow{}, 0, 0},
		{flow{125e6, 100 * time.Millisecond}, 12.5e6, 12.5e6},
		{flow{125e6, 200 * time.Microsecond}, 25e3, 1.25e6},
	} {
		if u, b := tt.path.underWay(), tt.path.burst(); int(u) != int(tt.underWay) || int(b) != int(tt.burst) {
			t.Errorf("%+v: %.0f under way, %.0f in a burst", tt.path, u, b)
		}
	}
}
