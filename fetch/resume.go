package fetch

import (
	"fmt"
	"slices"

	"github.com/chunkget/chunkget/journal"
	"github.com/chunkget/chunkget/merkle"
	"github.com/chunkget/chunkget/segment"
)

// kept is what of an earlier run may be used.
type kept struct {
	trusted []int       // pieces that the journal vouches for
	recheck []int       // pieces that are on disk and have to be checked before they count
	leaves  segment.Set // good bytes of other pieces
	notes   []Event
}

// onlyWhole is why one stream is followed by another one from the first byte.
const onlyWhole = "the server sends the file only as a whole, so nothing of what an earlier run has received can be gone on from; starting over"

// firstRange chooses what the first request asks for: from the first byte that
// is not on disk, as far as s knows, and no more than n bytes.
func firstRange(s *journal.State, onDisk []int, n int64) segment.Range {
	if s == nil {
		return segment.Range{Start: 0, End: n}
	}
	have := havePieces(s, onDisk)
	for g := range have.Gaps(segment.Range{Start: 0, End: s.Header.Size}) {
		return segment.Range{Start: g.Start, End: min(g.End, g.Start+min(n, g.Len()))}
	}
	// Nothing is missing. The request still tells whether the file is the same.
	return segment.Range{Start: 0, End: 1}
}

func havePieces(s *journal.State, onDisk []int) *segment.Set {
	have := new(segment.Set)
	add := func(i int) {
		off := int64(i) * s.Header.PieceSize
		have.Add(segment.Range{Start: off, End: min(off+s.Header.PieceSize, s.Header.Size)})
	}
	for i := range s.Pieces() {
		add(i)
	}
	for _, i := range onDisk {
		add(i)
	}
	return have
}

// identity is what tells whether partial data is of the file that is wanted.
type identity struct {
	url      string // of the lead
	proved   bool   // hashes of pieces prove what is on disk: a tree, or Options.Pieces
	pieces   bool   // it is the latter, of the user, which no server can change
	several  bool   // other addresses are of the same file
	expected string // digest of the whole file, "" when the user has given none
	restart  bool   // partial data of another file is discarded
}

func (o *Options) identityOf(p *probed) identity {
	id := identity{url: p.from.url, pieces: o.Pieces.usable(p.remote.size) && !o.described, several: len(o.Mirrors) > 0, restart: o.Restart}
	id.proved = o.Pieces.usable(p.remote.size) || p.remote.tree != nil
	if !o.Digest.IsZero() {
		id.expected = o.Digest.String()
	}
	return id
}

// sameFile reports whether what another server, or another version by its tag, has
// left may be used: it has to be proved, or it was meant to have the same digest as
// a whole. A tree cannot tell for the server that it comes from.
func (id *identity) sameFile(s *journal.State, want journal.Header) bool {
	return id.pieces || id.proved && id.several && s.Header.URL != want.URL || id.expectedOf(s, want)
}

func (id *identity) expectedOf(s *journal.State, want journal.Header) bool {
	return id.expected != "" && s.Expected == id.expected && s.Header.PieceSize == want.PieceSize
}

// reconcile decides what of the partial file may be used for the file r, and
// leaves a journal that belongs to r.
//
// Bytes count without a check only if the journal was written for the same URL,
// size and strong ETag. What else is on disk counts as far as hashes prove it, or
// if it was recorded for the same digest of the whole file, which then decides.
// Data of another version is an error unless restart is set.
func (t *target) reconcile(r *remote, l merkle.Layout, id identity) (*kept, error) {
	k := new(kept)
	want := journal.Header{Size: l.Size, PieceSize: l.PieceSize, ETag: r.tag(), URL: id.url}
	keepJournal := false
	s := t.state()
	size, err := t.part.Size()
	if err != nil {
		return nil, diskError("look at partial file", err)
	}
	fresh := false // whatever is on disk is worthless
	var claimed []int
	switch {
	case s == nil && t.damage != nil:
		k.note(CodeJournalDamaged, "the journal is damaged (%v)", t.damage)
	case s == nil && t.hadPart && size > 0:
		if r.ranges {
			k.note(CodePartUnrecorded, "there is a partial file without a journal")
		}
	case s == nil:
		fresh = true
	case s.Header.Size != want.Size || s.Header.ETag != want.ETag && !id.sameFile(s, want):
		if !id.restart {
			return nil, remoteChanged(s.Header.Size, s.Header.ETag, r)
		}
		k.note(CodeStartOver, "the remote file has changed; starting over")
		fresh = true
	case (s.Header.URL != want.URL || s.Header.ETag != want.ETag) && !id.proved && id.expectedOf(s, want):
		keepJournal = true
		for i := range s.Pieces() {
			if off, n := l.Piece(i); off+n <= size {
				k.recheck = append(k.recheck, i)
			}
		}
	case s.Header.URL != want.URL || s.Header.ETag != want.ETag:
		// Servers make tags out of time and size, so another resource may
		// have the same; only the tree can tell.
		if !id.proved && !id.restart {
			return nil, errorf(KindRemoteChanged, "resume", "partial data is of another URL").
				withCode(CodeURLChanged).withHint("restart to discard it, or choose another file name")
		}
		fresh = !id.proved
		k.note(CodeURLChanged, "partial data is of another URL")
		if s.Header.PieceSize == want.PieceSize {
			claimed = slices.Collect(s.Pieces())
		}
	case s.Header.PieceSize != want.PieceSize:
		k.note(CodePieceSizeDiffer, "partial data is of another piece size")
	default:
		claimed = k.recorded(s, l, size)
	}
	if fresh {
		claimed = nil
	} else if !r.ranges {
		if t.hadPart {
			k.note(CodeStartOver, onlyWhole)
		}
		claimed = nil
	} else if id.proved {
		// The hashes can prove more than the journal knows.
		found, err := t.dataPieces(l)
		if err != nil {
			return nil, diskError("look at partial file", err)
		}
		claimed = append(claimed, found...)
	} else if len(k.trusted)+len(k.recheck) == 0 && t.hadPart {
		k.note(CodePartUnrecorded, "nothing of the partial file can be checked; it is fetched again")
		claimed = nil
	} else {
		claimed = nil
	}
	k.addRecheck(claimed)

	if s != nil && !fresh && s.Header == want {
		keepJournal = true
	}
	switch {
	case !r.ranges: // one stream writes over all that it names, and nothing can go on with it
		err = t.journal.Clear()
	case !keepJournal:
		err = t.journal.Reset(want)
	}
	if err != nil {
		return nil, diskError("write journal", err)
	}
	t.resumable = r.ranges && (r.tag() != "" || id.proved)
	if err := t.resize(size, l.Size, fresh); err != nil {
		return nil, err
	}
	return k, nil
}

// recorded sorts the pieces of a journal of this very file by what they are worth,
// and returns those that only hashes can prove. size is that of the partial file.
func (k *kept) recorded(s *journal.State, l merkle.Layout, size int64) (claimed []int) {
	if s.TornBytes > 0 {
		k.note(CodeJournalTorn, "%d bytes at the end of the journal were not usable (%s)", s.TornBytes, s.TornWhy)
	}
	for i := range s.Pieces() {
		off, n := l.Piece(i)
		_, hasDigest := s.Digest(i)
		switch {
		case off+n > size: // the partial file has been cut
		case s.Header.ETag == "":
			claimed = append(claimed, i)
		case hasDigest:
			// Its record says what the bytes were; look whether they still are.
			k.recheck = append(k.recheck, i)
		default:
			k.trusted = append(k.trusted, i)
		}
	}
	return claimed
}

// resize gives the partial file, which has size bytes, its full size, with nothing in
// it if it is to be fresh.
func (t *target) resize(size, full int64, fresh bool) error {
	if fresh && size > 0 {
		if err := t.part.Truncate(0); err != nil {
			return diskError("discard partial file", err)
		}
	}
	if size != full || fresh {
		if err := t.part.Truncate(full); err != nil {
			return diskError("make partial file", err)
		}
	}
	if err := t.dir.Sync(); err != nil {
		return diskError("sync directory", err)
	}
	return nil
}

// addRecheck adds pieces that are in neither list yet.
func (k *kept) addRecheck(pieces []int) {
	seen := make(map[int]bool, len(k.trusted)+len(k.recheck))
	for _, i := range k.trusted {
		seen[i] = true
	}
	for _, i := range k.recheck {
		seen[i] = true
	}
	for _, i := range pieces {
		if !seen[i] {
			seen[i] = true
			k.recheck = append(k.recheck, i)
		}
	}
}

func (k *kept) note(c Code, format string, args ...any) {
	k.notes = append(k.notes, Event{Kind: EventNote, Code: c, Reason: fmt.Sprintf(format, args...)})
}

// remoteChanged says that partial data of one version does not belong to r.
func remoteChanged(size int64, etag string, r *remote) error {
	code := CodeETagChanged
	if size != r.size {
		code = CodeSizeChanged
	}
	return errorf(KindRemoteChanged, "resume", "the remote file has changed: partial data is of %s, the file is %s",
		version(size, etag), version(r.size, r.tag())).withCode(code).withHint("restart to discard the partial data")
}

func version(size int64, etag string) string {
	length, tag := "unknown size", "without a strong ETag"
	if size >= 0 {
		length = fmt.Sprintf("%d bytes", size)
	}
	if etag != "" {
		tag = fmt.Sprintf("with ETag %q", etag)
	}
	return length + " " + tag
}
