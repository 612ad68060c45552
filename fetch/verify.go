package fetch

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// maxBad is how often a piece may fail its check before the download does.
const maxBad = 3

// verifyJob asks for the check of one piece. What is checked is what the
// partial file holds, not what was received, so that a resumption, damage on
// disk and a fresh piece all take the same way.
type verifyJob struct {
	piece   int
	round   int // of the download
	want    merkle.Hash
	compare bool // against want; otherwise only compute
}

// verifyBuffer is what a verifier reads at a time to hash a piece of a tree, in
// bytes: few enough to stay in the processor's own cache.
const verifyBuffer = 128 << 10

// verifier checks pieces until there are no more jobs.
func (d *download) verifier() {
	var buf []byte
	for job := range d.verify {
		var got merkle.Hash
		var err error
		if d.mode == checkTree {
			if buf == nil {
				buf = make([]byte, verifyBuffer)
			}
			got, err = d.layout.HashPieceAt(job.piece, d.target.part, buf)
		} else {
			off, n := d.layout.Piece(job.piece)
			if int64(cap(buf)) < n {
				buf = make([]byte, n)
			}
			buf = buf[:n]
			var read int
			if read, err = d.target.part.ReadAt(buf, off); read == len(buf) {
				err = nil // io.EOF may come with the last bytes
				got = d.hashWhole(buf)
			}
		}
		d.post(func(now time.Time) { d.verified(now, job, got, err) })
	}
}

// hashWhole returns the hash of a piece where there is no tree.
func (d *download) hashWhole(piece []byte) merkle.Hash {
	if d.mode == checkPieces {
		return d.plain(piece)
	}
	return sha256.Sum256(piece)
}

// nextVerify returns the job to hand to a verifier, and the channel to do it,
// which is nil when there is none.
func (d *download) nextVerify() (chan<- verifyJob, verifyJob) {
	if len(d.toVerify) == 0 {
		return nil, verifyJob{}
	}
	return d.verify, d.toVerify[0]
}

// queueRechecks queues what is on disk from an earlier run.
func (d *download) queueRechecks() {
	for i := range d.pieces {
		if d.pieces[i].state == pieceOnFile {
			d.queue(i)
		}
	}
}

// onFile takes note that all bytes of piece i are written.
func (d *download) onFile(i int) {
	if d.mode == checkNone {
		d.pieces[i].state = pieceVerified
		d.unchecked--
		return
	}
	d.pieces[i].state = pieceOnFile
	d.queue(i)
}

// queue hands piece i to the verifiers if what they need is known.
func (d *download) queue(i int) {
	if d.stopping && d.mode.compares() {
		return // the next run does it
	}
	job := verifyJob{piece: i, round: d.round}
	switch d.mode {
	case checkTree, checkPieces:
		if i >= len(d.hashes) {
			return // setHash comes back to it
		}
		job.want, job.compare = d.hashes[i], true
	case checkDigest:
		job.want, job.compare = d.kept[i]
	}
	d.pieces[i].state = pieceQueued
	d.toVerify = append(d.toVerify, job)
}

// setHash takes the next or a repeated hash of the tree.
func (d *download) setHash(i int, h merkle.Hash) {
	if i < len(d.hashes) {
		if d.hashes[i] == h {
			return
		}
		// The tree that came before was not the right one.
		d.hashes[i] = h
		if d.pieces[i].state == pieceVerified {
			d.unverify(i)
		}
	} else {
		d.hashes = append(d.hashes, h)
	}
	if d.pieces[i].state == pieceOnFile {
		d.queue(i)
	}
}

// verified takes the result of a check.
func (d *download) verified(now time.Time, job verifyJob, got merkle.Hash, err error) {
	d.verifying--
	i := job.piece
	p := &d.pieces[i]
	if p.state != pieceQueued || job.round != d.round {
		return
	}
	if err != nil {
		p.state = pieceOnFile
		d.stop(diskError("read partial file", err))
		return
	}
	if d.mode.compares() && job.want != d.hashes[i] {
		d.queue(i) // the tree has been replaced meanwhile
		return
	}
	r := d.pieceRange(i)
	if !job.compare || got == job.want {
		p.state = pieceVerified
		d.unchecked--
		if job.compare {
			d.proves(i)
		}
		d.forgetOrigin(i)
		d.plan.Include(r)
		d.record(i, got)
		return
	}
	if d.mode == checkTree && !d.rootDone {
		// Until the root has confirmed the hashes, the hash may be what is
		// wrong. setRoot comes back to it.
		p.state = pieceOnFile
		return
	}
	p.state = pieceMissing
	d.plan.Invalidate(r)
	if p.resumed {
		p.resumed = false
		d.resumed -= r.Len()
		d.unrecord(i)
		delete(d.kept, i)
		d.log.Debug("piece on disk is not good", "piece", i)
		return
	}
	if !d.remote.ranges {
		d.result.PiecesBad++
		d.stop(errorf(KindIntegrity, fmt.Sprintf("check piece %d", i), "bytes %d-%d do not match their hash, and the server cannot send them alone", r.Start, r.End-1).withCode(CodePieceMismatch))
		return
	}
	p.bad++
	d.result.PiecesBad++
	reason := fmt.Sprintf("bytes %d-%d do not match their hash", r.Start, r.End-1)
	liar := d.liar(i)
	d.emit(Event{Kind: EventPieceBad, Code: CodePieceMismatch, Piece: i, Try: int(p.bad), Reason: reason, Mirror: d.mirror(liar)})
	d.condemn(i, liar == nil)
	if liar != nil {
		p.bad = 0 // the others have not been tried
		d.loseLiar(now, liar, errorf(KindIntegrity, fmt.Sprintf("check piece %d", i), "%s", reason).withCode(CodePieceMismatch))
		return
	}
	d.giveUpParts(now, CodePieceMismatch, "a piece does not match its hash")
	if p.bad >= maxBad {
		hint := "the server, or something on the way, alters the data"
		if d.mode == checkPieces {
			hint = "the server has another file than the piece hashes are of, or something alters the data on the way"
		}
		d.stopLast(&Error{Kind: KindIntegrity, Op: fmt.Sprintf("check piece %d", i), Resumable: true, Code: CodePieceMismatch,
			Err: fmt.Errorf("%s, %d times in a row", reason, maxBad), Hint: hint})
	}
}

// unverify makes a verified piece one that has to be checked again.
func (d *download) unverify(i int) {
	if d.pipe.gone(i) {
		d.stop(errorf(KindIntegrity, fmt.Sprintf("check piece %d", i), "the hash tree has changed, and the piece is written already").
			withCode(CodeTreeInvalid).withHint("what was written is not to be used"))
		return
	}
	d.pieces[i].state = pieceOnFile
	d.unchecked++
	d.unrecord(i)
}

// unrecord takes piece i out of the journal.
func (d *download) unrecord(i int) {
	if !d.pieces[i].recorded {
		return
	}
	d.pieces[i].recorded = false
	d.forget = append(d.forget, i)
	d.batch.Verified = slices.DeleteFunc(d.batch.Verified, func(k int) bool { return k == i })
}

// record puts a checked piece into the next batch for the journal. What came in one
// stream is not recorded: after a failure another one writes over it.
func (d *download) record(i int, sum merkle.Hash) {
	if d.pieces[i].recorded || d.pipe != nil || !d.remote.ranges {
		return
	}
	d.pieces[i].recorded = true
	if d.mode.compares() {
		d.batch.Verified = append(d.batch.Verified, i)
	} else {
		d.batch.Digests = append(d.batch.Digests, journal.PieceDigest{Piece: i, Sum: journal.Digest(sum)})
	}
	_, n := d.layout.Piece(i)
	d.batchBytes += n
}

// addOrigin remembers who delivered bytes of piece i.
func (d *download) addOrigin(i int, a *attempt) {
	if !d.mode.compares() {
		return
	}
	o := d.delivered[i]
	if !slices.Contains(o.slots, a.slot.id) {
		o.slots = append(o.slots, a.slot.id)
	}
	if !o.from(a.src) {
		o.sources = append(o.sources, a.src)
		a.src.unproved++
	}
	if a.conn != nil && !slices.Contains(o.conns, a.conn) {
		o.conns = append(o.conns, a.conn)
	}
	d.delivered[i] = o
}

// condemn closes the connections that delivered the bad piece i and keeps its
// slots, if exclude is set, from fetching it again, so that it comes another way.
func (d *download) condemn(i int, exclude bool) {
	o := d.delivered[i]
	d.forgetOrigin(i)
	for _, c := range o.conns {
		for _, s := range d.slots {
			if s.attempt != nil && s.attempt.conn == c {
				s.attempt.condemned = true
			}
		}
		if err := c.Close(); err != nil {
			d.log.Debug("close connection of a bad piece", "err", err)
		}
	}
	if exclude && len(d.slots) > 1 {
		for _, w := range o.slots {
			d.plan.Exclude(w, d.pieceRange(i))
		}
	}
}

// forgetStream makes everything missing again, for a server that can only send
// the file from its beginning. What a verifier has read by now is written over.
func (d *download) forgetStream() {
	d.round++
	for i := range d.pieces {
		p := &d.pieces[i]
		if p.state == pieceVerified {
			d.unchecked++
		}
		p.state = pieceMissing
	}
	d.toVerify = nil
	d.plan.Invalidate(segment.Range{Start: 0, End: d.layout.Size})
}
