// Package libudt wraps the C++ UDT library, version 4.11, as a test peer: just
// enough of it as net.Conn and net.Listener to run net/http on top.
//
// It is built with the tag libudt only, needs cgo and a C++ compiler, and links
// the system's libudt (Debian: libudt-dev). Without the tag the package is
// empty. Nothing but tests and benchmarks may import it.
//
// # Threads
//
// Each blocked call occupies a thread, so blocked calls come back to Go every
// [PollInterval] to look at deadlines and at Close. The time-outs that make
// them do so are set before a socket is connected, because setting an option
// of a socket on which another thread is blocked deadlocks the library. The
// last error of the library belongs to the thread: it is read within the call
// into C that caused it.
//
// # Limits of the library that show through
//
//   - A listener's port keeps answering for 3 s after Close and cannot be
//     listened on again for about 4.5 s.
//   - Dial gives up after 3 s and Rendezvous after 30 s; neither can be
//     cancelled. After an attempt that timed out the library may touch freed
//     memory, so provoke that in a process of its own.
//   - Accept returns the newest pending connection first.
//   - A peer that shut down and one that vanished look alike: both end in
//     io.EOF.
//   - The library is started once per process and never cleaned up.
package libudt
