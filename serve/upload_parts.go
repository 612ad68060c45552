package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// uploadParam is the parameter of URLs that names an upload of a path.
const uploadParam = "upload"

// uploadComplete says in answers that tell how an upload is, as a boolean of RFC 9651,
// whether the file is in its place.
const (
	uploadComplete = "Upload-Complete"
	isComplete     = "?1"
	isIncomplete   = "?0"
)

// uploadMediaType is that of the state of an upload.
const uploadMediaType = "application/vnd.chunkget.upload+json"

// maxTold is how many ranges the state of an upload names at most. What it does
// not name may be there all the same, and may be sent again.
const maxTold = 4096

// An uploadState is what a client is told of an upload.
type uploadState struct {
	Size      int64       `json:"size"`       // of the file, in bytes
	PieceSize int64       `json:"piece_size"` // in bytes
	Complete  bool        `json:"complete"`   // the file is in its place
	Received  []toldRange `json:"received"`   // what is right, in order
	Expires   time.Time   `json:"expires"`    // without another request
}

// A toldRange is a range of bytes, both ends included.
type toldRange struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// create begins an upload of target, or finds the one that has begun.
func (s *uploads) create(w *response, r *http.Request, target string) error {
	if t, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); t != merkle.MediaType {
		return &uploadError{http.StatusUnsupportedMediaType, "an upload in parts begins with the file's hash tree, " + merkle.MediaType +
			"; use PUT for the file itself, and POST forms to a folder"}
	}
	if err := s.checkFree(target); err != nil {
		return err
	}
	p, begun, err := s.begin(r.Body, target, time.Now())
	if err != nil {
		return err
	}
	defer s.release(p)
	placed, err := s.finish(p)
	if err != nil {
		return err
	}
	if placed {
		s.created(w, r.URL.Path, target)
		return nil
	}
	status := http.StatusOK
	if begun {
		status = http.StatusCreated
	}
	at := url.URL{Path: r.URL.Path, RawQuery: uploadParam + "=" + p.id}
	w.Header().Set("Location", at.String())
	return s.writeState(w, r, status, p, time.Now())
}

// noContent answers that all is well, and whether the file is in its place.
func noContent(w *response, complete string) {
	w.Header().Set(uploadComplete, complete)
	w.WriteHeader(http.StatusNoContent)
}

// tell answers with the state of an upload.
func (s *uploads) tell(w *response, r *http.Request, target, id string) error {
	if s.isFinished(id, target) {
		noContent(w, isComplete)
		return nil
	}
	p, err := s.acquire(id, target)
	if err != nil {
		return err
	}
	defer s.release(p)
	return s.writeState(w, r, http.StatusOK, p, time.Now())
}

func (s *uploads) writeState(w *response, r *http.Request, status int, p *partial, now time.Time) error {
	arrived, err := p.part.Size()
	if err != nil {
		return inFolder(err)
	}
	state := uploadState{Size: p.layout.Size, PieceSize: p.layout.PieceSize, Complete: p.isPlaced(), Received: []toldRange{}}
	state.Expires = now.Add(s.o.expiry(arrived > 0)).UTC()
	for _, run := range p.pieceRuns(maxTold) {
		first, _ := p.layout.Piece(run[0])
		last, n := p.layout.Piece(run[1])
		state.Received = append(state.Received, toldRange{first, last + n - 1})
	}
	body, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	header := w.Header()
	header.Set(uploadComplete, isIncomplete)
	if state.Complete {
		header.Set(uploadComplete, isComplete)
	}
	header.Set("Content-Type", uploadMediaType)
	header.Set("Content-Length", strconv.Itoa(len(body)+1))
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(append(body, '\n'))
	}
	return nil
}

// abandon removes an upload as soon as no request works on it.
func (s *uploads) abandon(w *response, target, id string) error {
	p, err := s.acquire(id, target)
	if err != nil {
		return err
	}
	s.mu.Lock()
	p.abandoned = true
	s.mu.Unlock()
	s.release(p)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// patch takes whole pieces of an upload. Pieces that are wrong do not end it: the
// rest of the body is taken all the same, and the answer names them. Whatever else
// fails ends it; net/http drops what is left of the body, or the connection.
func (s *uploads) patch(w *response, r *http.Request, target, id string) error {
	if s.isFinished(id, target) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return bodyError(err)
		}
		noContent(w, isComplete)
		return nil
	}
	p, err := s.acquire(id, target)
	if err != nil {
		return err
	}
	defer s.release(p)
	first, last, err := parseUploadRange(r.Header.Values("Content-Range"), p.layout)
	if err != nil {
		return err
	}
	if want := lengthOf(p.layout, first, last); r.ContentLength >= 0 && r.ContentLength != want {
		return &uploadError{http.StatusBadRequest, fmt.Sprintf("Content-Length is %d, and %d bytes are in the range", r.ContentLength, want)}
	}
	wrong, err := s.receivePieces(p, r.Body, first, last)
	// What is right stays, whatever else went wrong.
	if cerr := p.commit(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return refuse(w, wrong)
	}
	placed, err := s.finish(p)
	switch {
	case err != nil:
		return err
	case placed:
		s.created(w, r.URL.Path, target)
	default:
		noContent(w, isIncomplete)
	}
	return nil
}

// receivePieces takes the pieces first to last from body and returns those that
// are wrong.
func (s *uploads) receivePieces(p *partial, body io.Reader, first, last int) (wrong []int, err error) {
	r := new(receiver)
	buf := make([]byte, bodyBuffer)
	collected, since := int64(0), time.Now()
	for i := first; i <= last; i++ {
		_, n := p.layout.Piece(i)
		if !p.claim(i, r) {
			// It is right already, and stays as it is.
			if _, err := io.CopyN(io.Discard, body, n); err != nil {
				return wrong, bodyError(err)
			}
			continue
		}
		right, err := p.receive(body, i, r, buf)
		if err != nil {
			return wrong, err
		}
		s.received.Add(n)
		if !right {
			wrong = append(wrong, i)
			continue
		}
		if collected += n; collected >= commitBytes || time.Since(since) >= commitEvery {
			if err := p.commit(); err != nil {
				return wrong, err
			}
			collected, since = 0, time.Now()
		}
	}
	switch _, err := io.ReadFull(body, buf[:1]); {
	case err == nil:
		return wrong, &uploadError{http.StatusBadRequest, "the body is longer than its range"}
	case err != io.EOF:
		return wrong, bodyError(err)
	}
	return wrong, nil
}

// refuse answers that pieces contradict the tree.
func refuse(w *response, wrong []int) error {
	body, err := json.Marshal(struct {
		Error string `json:"error"`
		Wrong []int  `json:"wrong_pieces"` // counted from 0
	}{"pieces contradict the hash tree; send them again", wrong})
	if err != nil {
		return err
	}
	w.Header().Set(uploadComplete, isIncomplete)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	w.Write(append(body, '\n'))
	return nil
}

var errUploadRange = errors.New("Content-Range: bytes FIRST-LAST/SIZE, which begins and ends with a piece, is needed")

// parseUploadRange reads the Content-Range of a PATCH (RFC 9110, 14.4): whole
// pieces of a file with the layout l.
func parseUploadRange(fields []string, l merkle.Layout) (first, last int, err error) {
	malformed := &uploadError{http.StatusBadRequest, errUploadRange.Error()}
	if len(fields) != 1 || len(fields[0]) > 128 {
		return 0, 0, malformed
	}
	unit, rest, ok := strings.Cut(fields[0], " ")
	part, size, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || !strings.EqualFold(unit, "bytes") || size != strconv.FormatInt(l.Size, 10) {
		return 0, 0, malformed
	}
	a, b, err := parsePart(part)
	if err != nil || b >= l.Size || a%l.PieceSize != 0 || b+1 != l.Size && (b+1)%l.PieceSize != 0 {
		return 0, 0, malformed
	}
	return int(a / l.PieceSize), int(b / l.PieceSize), nil
}

// lengthOf returns the bytes in the pieces first to last.
func lengthOf(l merkle.Layout, first, last int) int64 {
	from, _ := l.Piece(first)
	to, n := l.Piece(last)
	return to + n - from
}
