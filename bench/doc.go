// Bench measures downloads, by chunkget and by others, over emulated wide area
// links, over loopback and between network namespaces, and turns what it measured
// into a report.
//
//	go run ./bench wan -profiles transatlantic -n 1,8 -quick
//	go run ./bench loopback -size 2GiB
//	go run ./bench veth -size 2GiB
//	go run ./bench report DIR
//
// # What is measured
//
// One transfer is a server and a client, each a process of its own, started for
// this transfer alone. Its time runs from the start of the client to its exit,
// so it includes the start of the process, handshakes, and writing the file
// (into memory, if the machine has /dev/shm). The result is compared with the
// original byte by byte through its SHA-256; a transfer with a wrong result is
// a failed one, however fast it was.
//
// The contenders named memory-… move zeros from memory to memory, one flow without
// a file and without HTTP: they compare the transports themselves, and ours with
// the C++ library as its peer. They have no place over an emulated link.
//
// The contenders take turns: every contender once, then every contender again.
// So a machine that slows down for a while slows all of them down. Before each transfer of 64 MiB and
// more the bench measures how long a cache line takes between two processors: the host
// of a virtual machine may take them apart, which halves what a fast transport does.
//
// A contender that cannot run here is a row with the reason, not a missing row.
// So is a transfer that took too long, and one whose link could not keep its
// schedule because this machine was too busy to emulate it.
//
// # Fairness
//
// With -fairness, pairs of flows share each link, some with eight connections: once both
// begin together, and once the second begins when a third of the time has passed
// and the first has filled the link. A flow's rate is what its file has grown by
// in 250 ms. The Jain index (Σx)² / (n · Σx²) of the mean rates is that of the
// time in which both ran, and again that of the later half of it.
//
// # Time
//
// A contender that was stopped by -bound in its first repetition over a link is
// not measured again there: its row says so, and the report shows a bound.
// Repetitions after the first end when a link has used its share of -budget.
//
// # Files
//
// Each run appends to one file DIR/rows-TIME.jsonl, one [Row] per line, as it
// goes. The report is made from all rows files of the folder: report.html, which
// needs no other file, and report.md with plots beside it. With -trace, chunkserve
// records each transfer over time into DIR/traces; traces.html and traces.md show
// them.
package main
