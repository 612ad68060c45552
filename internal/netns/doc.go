// Package netns gives tests hosts of their own: network namespaces of Linux, joined by
// a pair of virtual Ethernet devices.
//
//	left: v0, 192.0.2.1 ───────── v1, 192.0.2.2: right
//
// It needs root and the program ip (iproute2), and skips a test that has not got them.
//
// The namespaces have no names. They are those of threads of the test's process, so the
// kernel takes them and their devices away with the process, however that ends: nothing
// has to be tidied up. Those of bench/wan have names, by which the programs that a run
// has left behind can be found.
package netns
