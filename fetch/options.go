package fetch

import (
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
)

// DefaultConnections is the number of connections when Options.Connections is 0.
const DefaultConnections = 8

// MaxConnections is the largest value of Options.Connections.
const MaxConnections = 256

// The least rate of a download when RetryPolicy does not say another, in bytes per
// second, and the time of waiting over which it is measured.
const (
	DefaultMinRate     = 1000
	DefaultMinRateTime = 2 * time.Minute
)

// Options says what to fetch, to where, and how. URL and Transport are required.
type Options struct {
	// URL of the file, of any scheme that Transport understands.
	URL *url.URL

	// Mirrors are further addresses of the same file. Bytes of several are put
	// together only if a hash tree, Pieces, or a digest of the whole file shows that
	// they belong together; else the file comes from one of them. Each is dropped
	// when it fails, changes its file, or sends a piece that is wrong.
	Mirrors []Mirror

	// GivenOnly keeps from using further addresses that the server names: with Link:
	// rel=duplicate (RFC 6249), or in a Metalink to which rel=describedby leads.
	GivenOnly bool

	// Pieces are hashes of the pieces of the file, as of a Metalink; nil without.
	// They count more than what the servers say of the file, and so does their
	// Size if it is known. Such as cannot be used (see [PieceHashes.Fault]) are an error
	// of KindUsage. Without them, and without a hash tree, those of a Metalink
	// count that the server names with Link: rel=describedby.
	Pieces *PieceHashes

	// Transport carries every request. At most Connections requests for data
	// are in flight at a time, and one more while the hash tree is streamed; before,
	// each address may be asked for one byte. The body of an answer may have a method
	// Stale() bool: while it returns true, and there is more than a little to come, the
	// rest of the range is asked for anew.
	Transport http.RoundTripper

	// Connections is the number of requests for data in flight at a time, to all
	// addresses together. 0 means DefaultConnections.
	Connections int

	// Ramp begins with 2 connections over UDT and 4 over TCP, and adds others, up to
	// Connections, while the total rate rises. Without it all are used as soon as there is
	// an answer.
	Ramp bool

	// Dir is the directory of the file; "" is the current one. It must exist.
	Dir string

	// Output is the path of the file, relative to Dir unless absolute. When it
	// is empty the name comes from Content-Disposition or else from the URL,
	// and is one plain name inside Dir whatever the server says.
	Output string

	// Name, if not empty, is the name in the place of those of server and URL, when
	// Output is empty. It may come from anywhere, and is made safe like those.
	Name string

	// Writer, if not nil, gets the file, in order, instead of a directory; Dir,
	// Output, Restart and Overwrite do not count then. Each piece is checked
	// against Pieces, or the server's hash tree if it offers one and sends parts of
	// the file, before any of it is written; the digest of the whole file is known
	// only at the end. Nothing is kept that another call could resume. At most 64 MiB
	// of the file are in memory, or one piece for each connection if that is more;
	// while Write does not return, no more is asked of the server.
	Writer io.Writer

	// Digest is the expected digest of the whole file, none when that is not
	// asked. It is checked besides the hash tree. Without it the digest counts that
	// the server announces (Repr-Digest): where there is no tree, for a file of at
	// most 16 MiB, and to Writer.
	Digest Digest

	// ServerDigest has the digest that the server announces count for a file of any size,
	// beside a hash tree, too. It is asked for, and where there is none, that is an error
	// of KindOther with CodeNoDigest. It excludes Digest.
	ServerDigest bool

	// Restart discards partial data that belongs to another version of the
	// file, instead of failing with KindRemoteChanged.
	Restart bool

	// Overwrite lets the download replace an existing file. Without it an
	// existing file is an error of KindDisk that wraps fs.ErrExist.
	Overwrite bool

	// DisableCompression keeps from asking for compressed parts, which otherwise
	// happens where the server offers them and the path is slow.
	DisableCompression bool

	// Retry says when to give up.
	Retry RetryPolicy

	// MaxRedirects is the number of redirects one request follows. 0 means
	// DefaultMaxRedirects, a negative number none. Put follows none.
	MaxRedirects int

	// Header holds further request headers. They are not sent to another
	// origin after a redirect.
	Header http.Header

	// Secrets are further ones, such as the login at a proxy, which Transport tells: like
	// those of URL and Header they are hidden where a server repeats them (see [Veil]).
	Secrets []string

	// Observe, if not nil, is called with what happens, from one goroutine at
	// a time. It must not block.
	Observe func(Event)

	// Logger gets details that no Event carries. nil discards them.
	Logger *slog.Logger

	// slowPath stands for the constant of that name unless it is 0.
	slowPath float64

	// described is true if Pieces are those of a Metalink that the server names.
	described bool

	// veil is what events, log and errors pass.
	veil *Veil

	// openDir opens Dir. Tests put files in memory behind it.
	openDir func(path string) (journal.Dir, func() error, error)
}

// DefaultMaxRedirects is the number of redirects when Options.MaxRedirects is 0, and
// DefaultMaxRetryAfter the time when RetryPolicy.MaxRetryAfter is.
const (
	DefaultMaxRedirects  = 10
	DefaultMaxRetryAfter = 5 * time.Minute
)

// RetryPolicy says how often and when a failed request is made again. Progress
// (a byte written) sets the count of tries back to zero; so that this cannot go on for
// ever, there is a least rate. Zero fields mean the defaults.
type RetryPolicy struct {
	// Tries is the number of consecutive tries without progress after which a
	// part of the file is given up, and with it the download. Default 5.
	Tries int

	// MinDelay is the wait after the first failure; it doubles up to MaxDelay.
	// A random part of up to half is taken off each wait. Defaults 500 ms, 10 s.
	MinDelay, MaxDelay time.Duration

	// Stall is the time without a byte after which a request is abandoned as
	// failed. Default 30 s. While a request waits for a connection, which is for
	// the transport to end, it counts as no less than that.
	Stall time.Duration

	// MaxRetryAfter is the longest wait that a server may ask for with Retry-After; who
	// asks for more is not asked again. Default DefaultMaxRetryAfter; if it is negative
	// no server may ask for any.
	MaxRetryAfter time.Duration

	// A download that brings less than MinRate bytes per second, from all addresses
	// together and on the average over MinRateTime of waiting for them, ends with
	// KindTimeout. Time in which Options.Writer or the disk takes no more, or in which
	// a failed request waits to be made again, does not count. Nor do hash trees, but
	// while nothing but hashes is waited for, they must come as if the server read 1 MB
	// of the file per second, or less if MinRate is below its default. Defaults
	// DefaultMinRate and DefaultMinRateTime; with a negative MinRateTime there is no
	// minimum. It is not for Put.
	MinRate     float64
	MinRateTime time.Duration
}

// Result describes a finished download. Get returns one with an error, too, as
// soon as it is known which file is meant.
type Result struct {
	Path         string // of the file
	Bytes        int64  // size of the file
	BytesFetched int64  // received and written by this run, refetched ones included
	BytesWire    int64  // likewise, as it came over the wire: less where parts were compressed
	BytesSent    int64  // of Put: handed to the transport by this run, what was sent again included
	BytesHedged  int64  // brought by second requests for what a slow one had to bring, at most 3 % of Bytes; see hedge.go
	BytesResumed int64  // on disk from earlier runs, and good
	PiecesBad    int    // pieces that were received and failed their hash
	Retries      int    // requests that failed and were made again
	Connections  int    // the largest number of data requests in flight at a time
	Elapsed      time.Duration

	Root     merkle.Hash // of the server's hash tree, when Verified
	Intact   bool        // of Repair: the file was right as it was
	Verified bool        // every piece was checked against Root
	ByPieces bool        // every piece was checked against Options.Pieces, or those that the server names
	Digest   Digest      // of the whole file, none when it was not computed

	Transport string // scheme of the URL

	Mirrors []MirrorResult // the addresses that the file came from, nil if there was only one
}
