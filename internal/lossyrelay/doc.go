// Package lossyrelay is a UDP relay on loopback that treats the packets
// passing through it as badly as a test asks for. It stands between two
// programs that use real sockets, such as the C++ UDT library.
//
// What happens to the packets is decided by a simnet network running in real
// time between the relay's sockets: both have the same faults, seeds and
// counters.
//
//	client <-> front socket <-> simnet <-> upstream socket <-> server
//
// Every client address gets an upstream socket of its own; all of them share
// the two directions of one link.
//
// # Ownership
//
// Relay.mu guards the table of sessions. A session's sockets are read by
// goroutines that end when Relay.Close closes the sockets, and Close waits for
// them.
package lossyrelay
