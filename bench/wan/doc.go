// Package wan emulates a wide area link between two network namespaces, so that
// the kernel's TCP and any protocol over UDP cross the very same link.
//
//	client namespace                                       server namespace
//	198.18.0.1 ── wan0 (TUN) ── emulator, this process ── (TUN) wan0 ── 198.18.0.2
//
// [Open] makes the namespaces and starts the emulator, [Host.Command] runs a
// program in one of them, and [Lab.Close] removes everything. It needs Linux,
// root, /dev/net/tun, and the programs ip (iproute2) and nsenter (util-linux).
// netem is not needed. The host's own interfaces, routes and sysctls are never
// touched.
//
// # The link
//
// What happens to a packet is decided by internal/linkmodel, the model that the
// simulated network of the tests uses as well: drop-tail queue, serialisation at
// the rate, loss, delay, jitter, reordering, in this order. Both directions are
// alike and independent. Sizes are those of IP packets: Rate, Queue and the
// counters include the headers of IP and above and nothing below. Packets are
// at most MTU bytes long: the devices offer no segmentation offload, so the
// kernel cuts what it sends before the emulator sees it.
//
// # The emulator
//
// It is a process of its own, the program that imports this package started once
// more: a program that imports it must not mind that its init functions run in
// that process, too. The kernel gives it real-time priority, without which the
// programs that are measured would keep the link waiting.
//
// One goroutine per direction reads packets from one device, keeps them, and
// writes each to the other device when it is due. It waits in ppoll, whose
// timeout has nanoseconds, and not through the scheduler of Go.
//
// Like the interrupt moderation of a network card, the emulator wakes up at most
// once per [Link.Grain], which is 1/400 of the RTT and at most 100 µs.
//
// It measures how late each packet leaves it. A machine that is too busy to
// emulate the link shows there and in the packets that the kernel had to drop
// because nobody read them in time; see [Counters.KeptSchedule]. Processing of
// received packets by the kernel happens on the emulator's threads and counts as
// their CPU time, not as that of the program that is measured. See [Lateness].
//
// # What is set in the namespaces
//
// Maxima of the TCP buffers 64 MiB (tcp_rmem, tcp_wmem); no memory of earlier
// connections (tcp_no_metrics_save), which would make runs depend on each other;
// no IPv6; the loopback device up; a transmit queue of the device that holds what
// comes while the emulator's thread is not running.
//
// Three limits belong to the whole machine and are left alone: net.core.rmem_max
// and net.core.wmem_max, which cap what a program may ask for with SO_RCVBUF and
// SO_SNDBUF (root can exceed them with SO_RCVBUFFORCE; the kernel's own tuning
// of TCP buffers does not look at them), and net.ipv4.tcp_mem, the memory of all
// TCP sockets together.
//
// # Ownership
//
// In the emulator, a direction's goroutine owns its queue and its devices' ends;
// its counters are guarded by a mutex that it takes twice per wake-up and never
// across I/O. In the program, Lab.Close is the only one that takes things down,
// and waits until the emulator is gone.
package wan
