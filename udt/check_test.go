package udt

import (
	"bytes"
	"testing"
)

// checkedPackets is one packet of each kind that we send.
func checkedPackets() map[string][]byte {
	data := append(make([]byte, headerSize), "payload"...)
	putDataHeader(data, 5, 6, 7)
	return map[string][]byte{
		"data":      data,
		"ACK":       appendControl(nil, ctrlACK, 1, 7, 2, 3, 4, 5, 6, 7),
		"NAK":       appendControl(nil, ctrlNAK, 0, 7, 8),
		"keepalive": appendControl(nil, ctrlKeepalive, 0, 7),
		"handshake": handshake{version: udtVersion, id: 9}.append(nil, 0),
	}
}

// Every flipped bit of a header is noticed, and of a control packet's payload.
// What happens to data is for UDP's checksum and the layers above.
func TestCheckNoticesEveryBit(t *testing.T) {
	for name, p := range checkedPackets() {
		if !checked(p) {
			t.Fatalf("%s: our own check value does not fit", name)
		}
		covered := len(p)
		if name == "data" {
			covered = headerSize
		}
		for bit := range 8 * covered {
			q := bytes.Clone(p)
			q[bit/8] ^= 0x80 >> (bit % 8)
			if checked(q) {
				t.Errorf("%s: bit %d flipped and not noticed", name, bit)
			}
		}
	}
}

// A data packet that a flipped bit has turned into a control packet has its
// whole payload covered, so it does not pass for one.
func TestCheckOfDataIsNotOfControl(t *testing.T) {
	p := checkedPackets()["data"]
	p[8+3] ^= 1
	if checked(p) {
		t.Error("a wrong check value fits")
	}
	p[8+3] ^= 1
	p[headerSize] ^= 1
	if !checked(p) {
		t.Error("the check value of a data packet covers its payload")
	}
}

// Packets of the C++ library, which sends 0 in control packets, never pass for
// checked: the value is never 0.
func TestCheckNeverZero(t *testing.T) {
	for name, p := range checkedPackets() {
		if checked(zeroTime(p)) {
			t.Errorf("%s: 0 passes for a check value", name)
		}
	}
	// A header whose CRC is 0.
	if p := unhex("00000000 00000000 00000000 2129c817"); checkOf(p) != 1 || checked(p) {
		t.Errorf("check value of a header whose CRC is 0: %d", checkOf(p))
	}
}
