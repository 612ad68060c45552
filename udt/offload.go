package udt

import "os"

// Offload says how much an endpoint leaves to the kernel's ways of moving many
// datagrams at once.
type Offload int

const (
	// OffloadDefault is what the environment variable CHUNKGET_UDP_OFFLOAD
	// says, "full", "batch" or "off", and else everything that the kernel can do:
	// segmentation (UDP_SEGMENT), coalescing (UDP_GRO) and batched calls.
	OffloadDefault Offload = iota
	// OffloadFull is everything, whatever the environment says.
	OffloadFull
	// OffloadBatch moves many datagrams per system call, but each of them goes
	// through the kernel on its own.
	OffloadBatch
	// OffloadOff moves one datagram per system call.
	OffloadOff
)

// offloadVariable takes offloads out of the picture when a path, a driver or a
// middlebox behaves strangely, without a change of the program.
const offloadVariable = "CHUNKGET_UDP_OFFLOAD"

func (c *Config) offload() Offload {
	if c.Offload != OffloadDefault {
		return c.Offload
	}
	switch os.Getenv(offloadVariable) {
	case "batch":
		return OffloadBatch
	case "off":
		return OffloadOff
	}
	return OffloadFull
}

const (
	// maxRunPackets is what every kernel that knows UDP_SEGMENT takes in one
	// message; newer ones take 128.
	maxRunPackets = 64
	// maxRunBytes of UDP payload and the headers of IPv6 stay below 64 KiB.
	// Above that the kernel cuts a run before it reaches the device.
	maxRunBytes = 65473
)

// runLength returns how many of the first packets can be sent as one message
// that the kernel, or the device, cuts into packets again: they have the same
// size, but the last may be shorter.
func runLength(packets [][]byte) int {
	size, total := len(packets[0]), 0
	for i, p := range packets {
		if total += len(p); i == maxRunPackets || len(p) > size || i > 0 && total > maxRunBytes {
			return i
		}
		if len(p) < size {
			return i + 1
		}
	}
	return len(packets)
}
