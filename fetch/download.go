package fetch

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
	"github.com/klauspost/compress/zstd"
)

// download is one download after its first answer. All fields below "owned by
// the loop" are touched only by the goroutine that runs loop, or by functions
// handed to it with call and post; the others do not change.
//
// Goroutines, all started and waited for by loop: one for each attempt (a
// request for a segment), the verifiers, the committer (owns the journal) or the
// one that writes to Options.Writer, and one that streams the hash tree.
type download struct {
	opts   *Options
	retry  RetryPolicy
	log    *slog.Logger
	remote *remote // what leads: size, tree and digest of the file
	layout merkle.Layout
	target *target
	pipe   *pipe // nil unless the file goes to Options.Writer
	mode   checkMode
	plain  func(data []byte) merkle.Hash // hash of a piece, with checkPieces
	begun  time.Time

	calls   chan func(now time.Time) // to the loop
	wg      sync.WaitGroup           // goroutines that may call
	ctx     context.Context          // of the goroutines; ends when the loop stops
	cancel  context.CancelFunc
	verify  chan verifyJob
	commits chan commit

	treeRead atomic.Int64 // bytes of the hash tree since the loop last looked

	// Owned by the loop.

	sources   []*source // in the order given, dropped ones included
	plan      *segment.Plan
	slots     []*slot
	pieces    []piece
	unchecked int            // pieces that have not passed their check
	toVerify  []verifyJob    // waiting for a verifier
	verifying int            // handed to verifiers
	round     int            // how often the one stream has begun anew
	delivered map[int]origin // who brought the bytes of unverified pieces

	hashes    []merkle.Hash // of the tree, as far as it has come, or of Options.Pieces
	root      merkle.Hash
	rootDone  bool // root is known and the hashes lead to it
	treeBusy  bool
	treeStop  context.CancelCauseFunc
	treeSeen  time.Time // last sign of life of the tree request
	treeFlows bool      // hashes have come of the request that is open

	kept          map[int]merkle.Hash // digests that the journal had at the start
	forget        []int               // pieces that the journal must no longer name
	forgetRoot    bool                // likewise its root
	oldRoot       *journal.Digest     // root that an earlier run recorded
	batch         journal.Batch       // to be recorded
	batchBytes    int64
	committing    bool
	journalBroken bool
	lastCommit    time.Time
	stopping      bool
	stopErr       error
	lastBytes     time.Time // when any slot last wrote
	speed         rate
	parts         parts
	ramp          ramp
	lastFetched   int64
	least         leastRate
	leastTree     leastRate // of the hash tree, while nothing else is waited for
	result        *Result
	resumed       int64 // bytes of earlier runs that count, rechecks pending included
	lastReport    time.Time
}

// checkMode says how a piece is checked once its bytes are on file.
type checkMode int

const (
	// checkTree compares each piece with the server's hash tree.
	checkTree checkMode = iota
	// checkPieces compares each piece with Options.Pieces.
	checkPieces
	// checkDigest has nothing to compare with; the digest of each piece is
	// recorded so that a resumption notices damage on disk.
	checkDigest
	// checkNone neither checks nor records: without a strong ETag a later run
	// could not use the record.
	checkNone
)

// compares reports whether each piece is compared with what it should be.
func (m checkMode) compares() bool { return m == checkTree || m == checkPieces }

// piece is what the loop knows about one piece.
type piece struct {
	state    pieceState
	resumed  bool  // its bytes are from an earlier run
	recorded bool  // the journal names it, or will with the next batch
	bad      uint8 // times it was received and failed its check
}

type pieceState uint8

const (
	pieceMissing  pieceState = iota // not all of its bytes are on file
	pieceOnFile                     // waiting for its hash, or for the root to confirm that
	pieceQueued                     // waiting for, or with, a verifier
	pieceVerified                   // good
)

// origin is who delivered bytes of a piece.
type origin struct {
	slots   []segment.Worker
	sources []*source
	conns   []net.Conn
}

// from reports whether s delivered any of it.
func (o origin) from(s *source) bool { return slices.Contains(o.sources, s) }

// slot is one of the Connections requests for data that may be in flight. It is
// the worker of the plan.
type slot struct {
	id       segment.Worker
	src      *source       // whom its next request is made to
	attempt  *attempt      // nil when idle
	failures int           // in a row, without a byte
	since    time.Time     // of the first of them
	notUntil time.Time     // may not start again before this time
	best     float64       // highest rate of an attempt that ended, bytes per second
	buf      []byte        // of the attempt that runs
	inflate  *zstd.Decoder // likewise, nil until it is needed
}

// attempt is one request for one segment.
type attempt struct {
	slot   *slot
	src    *source // whom it is made to
	remote *remote // of src, nil if this is its first request; the attempt's goroutine sets it then
	seg    segment.SegmentID
	asked  segment.Range
	cancel context.CancelCauseFunc
	resp   *response // when the request has been made already
	probe  bool      // it is the first, whose range says nothing about its share
	part   bool      // it asks for a part, not for a range

	written atomic.Int64 // bytes on file
	active  atomic.Int64 // time of the last byte, Unix nanoseconds
	wire    atomic.Int64 // bytes of the body of a part, before decoding
	writing atomic.Bool  // it is the disk's turn, not the server's

	// Owned by the attempt's goroutine until it ends.
	off   int64 // end of the bytes on file
	coded bool  // the part is compressed

	// Owned by the loop.
	begun     time.Time
	conn      net.Conn
	recorded  int64 // end of the bytes that the plan knows of
	sampled   int64 // value of written at the last sample
	rate      rate
	yield     bool // is to end after the piece that it writes
	condemned bool // stopped because of a bad piece; its error does not count
	bounded   bool // it began on probation

	hedges *attempt                     // whose rest it asks for, too; nil for others
	hedged bool                         // somebody asks, or has asked, for its rest
	outrun func(now time.Time, s *slot) // takes over when it has ended, nil without; its error does not count
}

// call runs f on the loop and waits for it.
func (d *download) call(f func(now time.Time)) {
	done := make(chan struct{})
	d.calls <- func(now time.Time) {
		f(now)
		close(done)
	}
	<-done
}

// post runs f on the loop, some time.
func (d *download) post(f func(now time.Time)) { d.calls <- f }

func newDownload(o *Options, sources []*source, r *remote, l merkle.Layout, t *target, k *kept, res *Result, begun time.Time) *download {
	d := &download{
		opts: o, retry: o.Retry.resolved(), log: o.Logger, sources: sources, remote: r, layout: l, target: t, begun: begun,
		calls: make(chan func(time.Time)), verify: make(chan verifyJob), commits: make(chan commit, 1),
		pieces: make([]piece, l.Pieces()), unchecked: l.Pieces(), delivered: map[int]origin{}, kept: map[int]merkle.Hash{}, result: res,
	}
	switch {
	case o.Pieces.usable(l.Size):
		d.mode, d.hashes, d.rootDone = checkPieces, o.Pieces.hashes(), true
		d.plain = o.Pieces.plainHash()
	case r.tree != nil:
		d.mode = checkTree
	case r.tag() != "" && r.ranges:
		d.mode = checkDigest
	default:
		d.mode = checkNone
	}
	var done segment.Set
	for _, i := range k.trusted {
		off, n := l.Piece(i)
		done.Add(segment.Range{Start: off, End: off + n})
		d.pieces[i] = piece{state: pieceVerified, resumed: true, recorded: true}
		d.unchecked--
		d.resumed += n
	}
	for _, i := range k.recheck {
		off, n := l.Piece(i)
		done.Add(segment.Range{Start: off, End: off + n})
		d.pieces[i] = piece{state: pieceOnFile, resumed: true}
		d.resumed += n
		if s := t.state(); s != nil && s.Has(i) {
			d.pieces[i].recorded = true
			if sum, ok := s.Digest(i); ok {
				d.kept[i] = sum
			}
		}
	}
	for r := range k.leaves.All() {
		done.Add(r)
		d.resumed += r.Len()
	}
	d.plan = segment.New(l.Size, l.PieceSize, done)
	n := o.Connections
	if !r.ranges {
		n = 1
	}
	inUse := live(sources)
	for i := range n {
		d.slots = append(d.slots, &slot{id: segment.Worker(i), src: inUse[i%len(inUse)]})
	}
	if s := t.state(); s != nil && s.Expected == "" && d.mode == checkDigest && !o.Digest.IsZero() {
		d.batch.Expected = o.Digest.String()
	}
	if s := t.state(); s != nil && s.HasRoot && d.mode == checkTree {
		root := s.Root
		d.oldRoot = &root
		if d.unchecked == 0 {
			// Every piece was checked against this root by earlier runs.
			d.root, d.rootDone = root, true
		}
	}
	return d
}

// pieceRange returns the bytes of piece i.
func (d *download) pieceRange(i int) segment.Range {
	off, n := d.layout.Piece(i)
	return segment.Range{Start: off, End: off + n}
}

// pieceAt returns the piece that byte off is in.
func (d *download) pieceAt(off int64) int { return int(off / d.layout.PieceSize) }

// note tells the user something.
func (d *download) note(c Code, reason string) {
	d.emit(Event{Kind: EventNote, Code: c, Reason: reason})
}

// decided tells of a decision about connections and requests.
func (d *download) decided(e Event) {
	d.log.Debug(e.Kind.String(), "decision", e.Decision, "piece", e.Piece, "bytes", e.Bytes, "connections", e.Connections, "mirror", e.Mirror, "by", e.By, "reason", e.Reason)
	d.emit(e)
}

// expectedStatus is what a request of this download must be answered with.
func (d *download) expectedStatus() int {
	if d.remote.ranges {
		return http.StatusPartialContent
	}
	return http.StatusOK
}
