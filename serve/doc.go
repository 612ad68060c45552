// Package serve offers a folder over HTTP, with what a client needs to fetch a
// large file in parts and to be sure of the result. It meets the network only
// as net.Listener, so the same Handler serves UDT, TCP and TLS over either.
//
// # Resources
//
//	GET /path               the file, by http.ServeContent: Range, If-Range and the
//	                        other preconditions. Strong ETag, Accept-Ranges,
//	                        Repr-Digest (RFC 9530) once the SHA-256 is known, Link
//	                        headers to the next three.
//	GET /path?digest=tree   the file's hash tree (package merkle), streamed while it
//	                        is being computed. It carries the ETag of the version of
//	                        the file that it describes.
//	GET /path?digest=leaves&pieces=A-B
//	                        the leaf hashes (16 KiB each) of the pieces A to B of that
//	                        tree, counted from 0, both included: 32 bytes each, in
//	                        order, without padding (merkle.LeavesMediaType). They span
//	                        at most 64 MiB of the file, or are one piece. The Link
//	                        header has the URL without pieces=. A client checks them
//	                        against the hashes of the pieces and trusts nothing.
//	GET /path?digest=meta4  a Metalink (RFC 5854) with size, SHA-256 and the SHA-256
//	                        of each piece, once all of them are known.
//	GET /path?bytes=A-B     the bytes A to B, both included, as a resource of its own,
//	                        with a strong ETag of its own and what it was cut from.
//	GET /dir/               a listing: HTML, or JSON if Accept prefers it.
//
// With Options.Upload files are taken, too: by PUT of /path, by POST of a form to
// /dir/, and in parts that are checked against a hash tree. docs/upload.md has
// the requests.
//
// HEAD is answered like GET without the body; other methods are refused.
// Anything else that the folder holds (devices, FIFOs, symbolic links that lead
// out of it, and unless Options.DotFiles is set every name that begins with a
// dot) is not found.
//
// # Compression
//
// Whole files and parts are negotiated by Accept-Encoding (RFC 9110, 12.5.3):
// zstd, gzip, or identity if nothing else is asked for or is worth it. Each
// coding is a representation with a strong ETag of its own; all carry
// Vary: Accept-Encoding. An answer to a Range is always of the identity, and so
// is Repr-Digest.
//
//   - A file FILE.zst or FILE.gz beside FILE is sent as it is if it is not older
//     and does not say that its content has another length.
//   - Otherwise the body is compressed while it is sent, if it has a KiB, its
//     name is not that of a compressed format, and a sample of the first and the
//     middle 64 KiB loses an eighth or more.
//   - A budget bounds that: 16 responses and half of the cores for a client (an
//     IPv4 address or an IPv6 /64), 64 responses in all. Beyond it bodies are
//     identity.
//
// A client that wants a file compressed and in parallel asks for parts. A file
// whose sample shrinks offers them by a Link-Template (RFC 9652) with the relation
// https://github.com/chunkget/chunkget#part and the variables first and last,
// decimal numbers of bytes. The answer for a part has status 200 and, whatever its
// coding,
//
//	Part-Of: "ETAG"               the ETag of the file's identity that it was cut from
//	Part-Range: bytes A-B/SIZE    where, in the syntax of Content-Range
//
// so that parts of several versions cannot be mixed. A part that goes beyond the
// end of the file is refused with 416.
//
// # Versions
//
// A version is what stat tells of one state of a file: size, modification and
// change time in nanoseconds, inode, device. Its ETag is derived from nothing
// else, and everything computed from a file's bytes is filed under its version,
// so a digest of one version cannot be sent with the ETag of another. A file
// that changes while it is being sent ends the response with a dropped
// connection before its last bytes.
//
// # Hash jobs
//
// The first GET or HEAD of a version starts a background job that reads the
// file once and computes hash tree and SHA-256 side by side. The plain piece
// hashes of a Metalink cost another pass and are computed when first asked for.
// Requests for a digest join the running job, and one that leaves does not stop
// it. Results are kept in memory and, for files worth it, on disk.
//
// # Limits
//
// Limits says what a Server grants its clients. Connections are limited where
// they are accepted, by listeners that come from Server.Guard; requests on their
// way to the Handler. A Handler that is served without a Server has no limits but
// those of its Options.
//
// # Goroutines and who owns what
//
// Handler owns a hasher, the hasher owns a store. The hasher runs at most
// Options.HashJobs workers, which exist only while there are jobs; each worker
// owns the file it reads and the goroutines of its pass. Handler.Close stops
// and awaits them all, then closes the store. With uploads it also owns a
// goroutine that removes abandoned ones. Requests run on goroutines of the
// http.Server and share only what a mutex guards.
package serve
