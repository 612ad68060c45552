package fetch

// Who has not proved a piece yet may have sent nothing but wrong ones, which shows only
// when their hashes have come. So it gets one piece at a time, and no more while so many
// of it are not proved: two, or where hashes come late a part of a large file.
const (
	unprovedPieces = 2
	unprovedPart   = 64
)

// onProbation reports whether s has to prove a piece: not if it is the only one left, nor
// if the hashes are its own.
func (d *download) onProbation(s *source) bool {
	return d.several() && d.mode.compares() && !s.proved && (d.mode != checkTree || s.remote != d.remote) && len(live(d.sources)) > 1
}

// overdrawn reports whether s, of which so many requests are under way, has to wait for
// a piece to be proved.
func (d *download) overdrawn(s *source, underWay int) bool {
	if !d.onProbation(s) {
		return false
	}
	return s.unproved+underWay >= max(unprovedPieces, len(d.pieces)/unprovedPart)
}

// mayClaim reports whether a may write another piece: not if it has stolen more than its
// source may bring.
func (d *download) mayClaim(a *attempt) bool {
	return !a.bounded || !d.overdrawn(a.src, 0)
}

// requestsTo counts the requests to s that are under way.
func (d *download) requestsTo(s *source) (n int) {
	for _, v := range d.slots {
		if v.attempt != nil && v.attempt.src == s {
			n++
		}
	}
	return n
}

// proves takes note that piece i is right, for who has sent all of it.
func (d *download) proves(i int) {
	if o := d.delivered[i]; len(o.sources) == 1 {
		o.sources[0].proved = true
	}
}

// forgetOrigin forgets who has sent bytes of piece i.
func (d *download) forgetOrigin(i int) {
	for _, s := range d.delivered[i].sources {
		s.unproved--
	}
	delete(d.delivered, i)
}
