// Package fetch downloads one file over HTTP in several range requests at a
// time, checks each piece of it against the server's hash tree, and keeps a
// journal of what is safely on disk, so that an interrupted download goes on
// where it was. It meets the network only as an http.RoundTripper.
//
// # Algorithm
//
//  1. Choose the name: from the user, else Content-Disposition, else the URL;
//     one plain name, made safe. Lock the journal, if an earlier run left one.
//
//  2. First request: the first bytes that are missing (4 MiB, or all with one
//     connection). Its answer tells size, ETag, whether there are ranges, and
//     where the hash tree is; its body is used as data.
//
//  3. Reconcile with the partial file. Pieces in a journal of the same URL,
//     size and strong ETag count at once, or, recorded with a digest, after a
//     look at the disk. With a tree, every other piece that is on disk counts
//     if the tree proves it. Data of another version is an error.
//
//  4. Until all bytes are on file and checked, every idle connection takes
//     an even share of what nobody has (package segment), in one request;
//     or, if there is none, the back half of the segment that will take longest.
//     When there is none of that either, it races the request that will end
//     last (hedge.go), for at most 3 % of the file.
//     A request writes what comes, one claimed piece at a time. It ends with
//     its segment, or where the rest was stolen.
//
//  5. Meanwhile the hash tree is streamed. As soon as all bytes of a piece are
//     on file and its hash is known, a verifier reads it back and compares.
//     A bad piece is fetched again, once the root has confirmed the hashes and
//     over another connection; the third time is an error. Without a tree the
//     SHA-256 of each piece is recorded.
//
//  6. About once a second, or every 8 MiB: sync the partial file, append what was
//     verified to the journal, sync that.
//
//  7. At the end: check the SHA-256 of the whole file if one was given, or if the
//     server announced one and there was no tree or the file is small; sync;
//     rename; sync the directory; remove the journal.
//
// A request that fails, or is silent for 30 seconds, gives its unwritten bytes
// back, and its connection pauses: exponentially longer, with jitter, and as
// long as Retry-After says. A byte received ends the series. The download
// fails when one connection has failed five times in a row and no other got
// anything meanwhile. Answers that will not change (404, 403, another ETag)
// are final at once. So that single bytes do not count for ever, the download also
// fails when it has brought less than a least rate over minutes of waiting for servers,
// or hashes that only drip (least.go).
//
// Every answer is checked: status, unit, start, end and total of
// Content-Range, Content-Length, coding, ETag. Requests after the first carry
// If-Range, with a strong tag or a date as good as one; docs/events.md has the
// ladder of validators and the code of each decision.
//
// With several addresses, or where the server names others (RFC 6249), each is a
// source with validators of its own; source.go and lead.go say who leads, whose bytes
// may be put together, and when one is dropped. Hashes of pieces that the user has,
// as of a Metalink, take the place of the tree.
//
// With Options.Ramp connections are added while the total rate rises (ramp.go).
//
// Where the server offers parts of the file as resources (package serve), a strong
// ETag and a hash tree, and less than 40 MB/s comes over the wire, requests are
// for parts of 16 MiB at most, which may come in zstd or gzip. The rate of the
// first MiB decides, and then what is measured while data flows. A part must say
// the ETag, the range and the size that are expected. Decoding yields exactly the
// length of the part, with a window of 8 MiB at most, from hardly more bytes on
// the wire than that; what was decoded is checked against the tree like all else.
// On the first oddity, when a piece is bad, or when parts do not shrink by a tenth,
// all further requests are for ranges: what those say counts.
//
// With Options.Writer there are no files. Pieces wait in memory until all before
// them have left, and requests keep within a window that moves on as they do: who
// does not take them stops the download. A piece leaves after its check; the root
// of the tree may come later, and the download then fails if the two do not agree.
//
// A server that ignores ranges, or that sends nothing by which parts of two
// versions could be told apart, gets one plain stream. It begins anew after a
// failure and cannot be resumed, so the journal says nothing of it.
//
// Repair and Check compare a local file with the tree of a remote one; repair.go
// says how a repair keeps the file safe.
//
// # What an interrupted run leaves behind
//
//	FILE.part          the data so far, full size with holes, mode 0600
//	FILE.part.journal  what of it is certain (package journal)
//
// FILE itself appears only when it is complete and checked. A process that is
// killed loses the incomplete piece of each connection, a machine that crashes
// also what was not synced, about the last second. A file whose SHA-256 as
// a whole is wrong is kept as FILE.bad.
//
// # Ownership
//
// One goroutine, the loop, owns the plan, the state of every piece and all
// counters; see the type download. It starts and waits for the others:
// one for each request, the verifiers, the committer, which owns the journal,
// and the one that streams the tree. They reach the loop with functions that it
// runs between two events. A request needs that once for each piece, not for
// each block.
//
// Memory: 1 MiB for each connection, and up to 8 MiB more while it decodes, for each
// of at most four verifiers 128 KiB with a tree and else one piece (1 MiB for files up to
// 1 TiB), and for each piece of the file its hash and a few bytes of state.
package fetch
