package fetch

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// leastRate notices servers that send, but so little that the download would never
// end. It looks at one period of waiting after the other, so that what came fast at
// first does not excuse what drips later. The loop owns that of a download, and
// stream its own.
type leastRate struct {
	rate float64       // bytes per second
	over time.Duration // of waiting; negative for no minimum
	tree bool          // it is of hashes

	last   time.Time // when the loop last counted
	waited time.Duration
	bytes  int64
}

func newLeastRate(p RetryPolicy, now time.Time) leastRate {
	return leastRate{rate: p.MinRate, over: p.MinRateTime, last: now}
}

// leastHashed is how much of a file a server has to read and hash, in bytes per second,
// for its hashes to come fast enough: disks and processors are faster.
const leastHashed = 1e6

// newLeastHashes is for hashes, each of so many bytes of the file. The server may be
// computing them, so --min-rate only counts if it asks for less than usual.
func newLeastHashes(p RetryPolicy, of int64, now time.Time) leastRate {
	rate := leastHashed / float64(of) * merkle.HashSize
	return leastRate{rate: rate * min(1, p.MinRate/DefaultMinRate), over: p.MinRateTime, tree: true, last: now}
}

// add counts what came while servers were waited for. Its error, after a period that
// brought less than the least rate, is final.
func (l *leastRate) add(waited time.Duration, bytes int64) error {
	l.waited += waited
	l.bytes += bytes
	if l.over < 0 || l.waited < l.over {
		return nil
	}
	got := float64(l.bytes) / l.waited.Seconds()
	if got < l.rate {
		op, what, limit := "download", "", "--min-rate"
		if l.tree {
			op, what, limit = "receive hashes", "of hashes ", "a server that reads the slowest of disks"
		}
		return errorf(KindTimeout, op, "%w", &finalError{fmt.Errorf("%.0f bit/s %scame in %v of waiting for the server, less than the %.0f bit/s of %s",
			got*8, what, l.waited.Round(l.over/10), l.rate*8, limit)}).
			withCode(CodeTooSlow).withHint("try another server, or allow less with --min-rate, or any rate with --min-rate-time 0")
	}
	l.waited, l.bytes = 0, 0
	return nil
}

// judgeRate ends a download that servers keep from ending. received is what came
// since the last call.
func (d *download) judgeRate(now time.Time, received int64) {
	var waited time.Duration
	if d.waiting() {
		waited = now.Sub(d.least.last)
	}
	if err := d.least.add(waited, received); err != nil {
		d.stop(err)
	}
	// While data is waited for, what the tree brings meanwhile is extra.
	if hashes := d.treeRead.Swap(0); d.treeFlows && waited == 0 {
		if err := d.leastTree.add(now.Sub(d.least.last), hashes); err != nil {
			d.treeStop(err)
			d.leastTree = newLeastHashes(d.retry, d.layout.PieceSize, now) // for who is asked next
		}
	}
	d.least.last = now
}

// waiting reports whether it is for a server to go on: not for the disk, for
// Options.Writer, which leaves nothing to ask for, or for the end of a pause.
func (d *download) waiting() bool {
	for _, s := range d.slots {
		if a := s.attempt; a != nil && !a.writing.Load() {
			return true
		}
	}
	return false
}

// A hashReader reads hashes from one answer, and fails when a server only drips them
// once they flow: until then it may have other files to hash.
type hashReader struct {
	r     io.Reader
	least leastRate
	flows bool
}

func (r *hashReader) Read(p []byte) (int, error) {
	began := time.Now()
	n, err := r.r.Read(p)
	if r.flows {
		if slow := r.least.add(time.Since(began), int64(n)); slow != nil && err == nil {
			return n, slow
		}
	}
	return n, err
}

// A countedReader adds what it reads to n.
type countedReader struct {
	r io.Reader
	n *atomic.Int64
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n.Add(int64(n))
	return n, err
}
