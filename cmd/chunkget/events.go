package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"time"

	"github.com/chunkget/chunkget/fetch"
)

// eventsVersion is raised when the meaning of a field changes. New fields and
// new events do not raise it.
const eventsVersion = 1

// eventWriter prints the events of --json, one object per line. Every object
// has the field "event"; the types below are the contract. Rates are in bytes
// per second, times in seconds.
type eventWriter struct {
	w           io.Writer
	veil        *fetch.Veil // before all strings but names of files
	url         string
	connections int   // asked for
	err         error // of the first write that failed; nothing is written after it
}

type startEvent struct {
	Event       string `json:"event"`
	Version     int    `json:"version"`
	URL         string `json:"url"`
	Path        string `json:"path"`
	Total       int64  `json:"total"` // -1 when the server does not tell
	Resumed     int64  `json:"bytes_resumed"`
	Connections int    `json:"connections"` // asked for
}

type progressEvent struct {
	Event       string   `json:"event"`
	URL         string   `json:"url"`
	Bytes       int64    `json:"bytes"` // on file, resumed ones included
	Total       int64    `json:"total"`
	Resumed     int64    `json:"bytes_resumed"`
	Rate        float64  `json:"rate"`        // of this run
	ETA         *float64 `json:"eta"`         // null when not known
	Connections int      `json:"connections"` // in use
}

type pieceBadEvent struct {
	Event  string `json:"event"`
	URL    string `json:"url"`
	Piece  int    `json:"piece"`
	Try    int    `json:"try"`
	Reason string `json:"reason"`
	Code   string `json:"code"`
	Mirror string `json:"mirror,omitempty"` // that sent it, if there are several and one did
}

// mirrorDroppedEvent says that nothing more is asked of one of several addresses.
type mirrorDroppedEvent struct {
	Event  string `json:"event"`
	URL    string `json:"url"`
	Mirror string `json:"mirror"`
	Reason string `json:"reason"`
	Code   string `json:"code"`
}

// mirrorResult is what came from one of several addresses.
type mirrorResult struct {
	URL     string `json:"url"`
	Bytes   int64  `json:"bytes"`
	Dropped bool   `json:"dropped"`
	Reason  string `json:"reason,omitempty"` // why
	Code    string `json:"code,omitempty"`
}

// rampEvent says how many connections may be in use from now on.
type rampEvent struct {
	Event       string  `json:"event"`
	URL         string  `json:"url"`
	Decision    string  `json:"decision"` // added, withheld
	Connections int     `json:"connections"`
	Rate        float64 `json:"rate"`        // now
	RateBefore  float64 `json:"rate_before"` // the last addition, or the best since
	Reason      string  `json:"reason"`
}

// hedgeEvent says that the rest of a slow request is asked for once more, or what
// became of that.
type hedgeEvent struct {
	Event    string `json:"event"`
	URL      string `json:"url"`
	Decision string `json:"decision"` // started, won, lost
	Piece    int    `json:"piece"`    // the first
	Bytes    int64  `json:"bytes"`    // asked for, or received
	Mirror   string `json:"mirror,omitempty"`
	Reason   string `json:"reason"`
	Code     string `json:"code,omitempty"` // if it failed
}

// takenEvent says that a part of one request goes to another.
type takenEvent struct {
	Event  string `json:"event"` // steal, relief
	URL    string `json:"url"`
	Piece  int    `json:"piece"` // the first
	Bytes  int64  `json:"bytes"`
	Mirror string `json:"mirror,omitempty"` // whose request it was
	By     string `json:"by,omitempty"`     // who is asked for it now
	Reason string `json:"reason"`
}

// digestUnusedEvent says that a digest of the server is not checked.
type digestUnusedEvent struct {
	Event  string `json:"event"`
	URL    string `json:"url"`
	Digest string `json:"digest"` // ALGORITHM:HEX
	Reason string `json:"reason"`
}

type retryEvent struct {
	Event  string  `json:"event"`
	URL    string  `json:"url"`
	Try    int     `json:"try"`
	Delay  float64 `json:"delay"`
	Reason string  `json:"reason"`
	Code   string  `json:"code,omitempty"`
	Mirror string  `json:"mirror,omitempty"` // whom it was made to, if there are several
}

type noteEvent struct {
	Event  string `json:"event"`
	URL    string `json:"url,omitempty"` // if it is about one
	Reason string `json:"reason"`
	Code   string `json:"code,omitempty"`
}

type hashEvent struct {
	Event   string   `json:"event"`
	URL     string   `json:"url,omitempty"`
	Path    string   `json:"path"`
	Against string   `json:"against"` // as in verifyEvent
	Bytes   int64    `json:"bytes"`   // read in this pass over the file
	Total   int64    `json:"total"`
	Rate    float64  `json:"rate"`
	ETA     *float64 `json:"eta"` // null when not known
}

type doneEvent struct {
	Event        string  `json:"event"`
	URL          string  `json:"url"`
	Path         string  `json:"path"`
	Bytes        int64   `json:"bytes"`
	BytesFetched int64   `json:"bytes_fetched"`
	BytesWire    int64   `json:"bytes_wire"`           // likewise, before decoding
	BytesSent    int64   `json:"bytes_sent,omitempty"` // of put
	BytesHedged  int64   `json:"bytes_hedged,omitempty"`
	BytesResumed int64   `json:"bytes_resumed"`
	Intact       bool    `json:"intact,omitempty"` // of repair and put: there was nothing to do
	PiecesBad    int     `json:"pieces_bad"`
	Retries      int     `json:"retries"`
	Seconds      float64 `json:"seconds"`
	Verified     bool    `json:"verified"`
	Root         string  `json:"root"` // of the hash tree, "" without one
	SHA256       string  `json:"sha256,omitempty"`
	SHA512       string  `json:"sha512,omitempty"`
	Connections  int     `json:"connections"` // in use at a time, at most
	Transport    string  `json:"transport"`
	Why          string  `json:"transport_reason,omitempty"` // if that is not the URL's

	Mirrors []mirrorResult `json:"mirrors,omitempty"` // if there were several addresses
}

// summaryEvent is the last one of a run with several URLs.
type summaryEvent struct {
	Event        string  `json:"event"`
	Files        int     `json:"files"`
	Complete     int     `json:"complete"`
	Failed       int     `json:"failed"`
	Bytes        int64   `json:"bytes"` // of the complete files
	BytesFetched int64   `json:"bytes_fetched"`
	Seconds      float64 `json:"seconds"`
}

type errorEvent struct {
	Event     string `json:"event"`
	URL       string `json:"url"`
	Kind      string `json:"kind"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message"`
	Hint      string `json:"hint,omitempty"`
	ExitCode  int    `json:"exit_code"`
	Resumable bool   `json:"resumable"`
}

func (w *eventWriter) observe(e fetch.Event) {
	switch e.Kind {
	case fetch.EventStart:
		w.write(startEvent{
			Event: "start", Version: eventsVersion, URL: w.url, Path: e.Path,
			Total: e.Total, Resumed: e.Resumed, Connections: w.connections,
		})
	case fetch.EventProgress:
		p := progressEvent{
			Event: "progress", URL: w.url, Bytes: e.Done, Total: e.Total, Resumed: e.Resumed,
			Rate: finite(e.Rate), Connections: e.Active,
		}
		p.ETA = secondsOrNull(e.ETA)
		w.write(p)
	case fetch.EventHash:
		w.write(hashEvent{"hash", w.url, e.Path, e.Against, e.Done, e.Total, finite(e.Rate), secondsOrNull(e.ETA)})
	case fetch.EventPieceBad:
		w.write(pieceBadEvent{"piece_bad", w.url, e.Piece, e.Try, e.Reason, string(e.Code), e.Mirror})
	case fetch.EventRetry:
		w.write(retryEvent{"retry", w.url, e.Try, seconds(e.Delay), e.Reason, string(e.Code), e.Mirror})
	case fetch.EventMirrorDropped:
		w.write(mirrorDroppedEvent{"mirror_dropped", w.url, e.Mirror, e.Reason, string(e.Code)})
	case fetch.EventDigestUnused:
		w.write(digestUnusedEvent{"digest_unused", w.url, e.Digest.String(), e.Reason})
	case fetch.EventRamp:
		w.write(rampEvent{"ramp", w.url, string(e.Decision), e.Connections, finite(e.RateNow), finite(e.RateBefore), e.Reason})
	case fetch.EventHedge:
		w.write(hedgeEvent{"hedge", w.url, string(e.Decision), e.Piece, e.Bytes, e.Mirror, e.Reason, string(e.Code)})
	case fetch.EventSteal, fetch.EventRelief:
		w.write(takenEvent{e.Kind.String(), w.url, e.Piece, e.Bytes, e.Mirror, e.By, e.Reason})
	case fetch.EventNote:
		w.write(noteEvent{"note", w.url, e.Reason, string(e.Code)})
	case fetch.EventDone:
		r := e.Result
		d := doneEvent{
			Event: "done", URL: w.url, Path: r.Path, Bytes: r.Bytes,
			BytesFetched: r.BytesFetched, BytesWire: r.BytesWire, BytesSent: r.BytesSent, BytesHedged: r.BytesHedged, BytesResumed: r.BytesResumed,
			Intact: r.Intact, PiecesBad: r.PiecesBad, Retries: r.Retries, Seconds: seconds(r.Elapsed),
			Verified:    r.Verified || r.ByPieces || !r.Digest.IsZero(),
			Connections: r.Connections, Transport: r.Transport, Why: e.Reason,
		}
		for _, m := range r.Mirrors {
			out := mirrorResult{URL: m.URL, Bytes: m.Bytes}
			if m.Dropped != nil {
				out.Dropped, out.Reason, out.Code = true, m.Dropped.Error(), string(fetch.CodeOf(m.Dropped))
			}
			d.Mirrors = append(d.Mirrors, out)
		}
		d.SHA256, d.SHA512 = sums(r.Digest)
		if r.Verified {
			d.Root = r.Root.String()
		}
		w.write(d)
	}
}

func (w *eventWriter) end(err error) {
	if err != nil {
		w.write(newErrorEvent(w.url, err))
	}
}

func newErrorEvent(url string, err error) errorEvent {
	e := errorEvent{
		Event: "error", URL: url, Kind: kindOf(err).String(), Code: string(fetch.CodeOf(err)),
		Message: err.Error(), Hint: hintOf(err), ExitCode: exitCode(err),
	}
	if fe, ok := errors.AsType[*fetch.Error](err); ok {
		e.Resumable = fe.Resumable
	}
	return e
}

func (w *eventWriter) write(event any) {
	if w.err != nil {
		return
	}
	b, err := json.Marshal(event)
	if err == nil {
		b, err = veiled(b, w.veil)
	}
	if err == nil {
		_, err = w.w.Write(append(b, '\n'))
	}
	w.err = err
}

// veiled returns a JSON text with its strings behind a veil, but for paths, by which
// scripts find files: no server has named one that repeats a secret.
func veiled(text []byte, veil *fetch.Veil) (out []byte, err error) {
	key := ""
	for len(text) > 0 {
		start := bytes.IndexByte(text, '"')
		if start < 0 {
			break
		}
		end := start + 1
		for text[end] != '"' {
			if text[end] == '\\' {
				end++
			}
			end++
		}
		end++
		literal := text[start:end]
		out, text = append(out, text[:start]...), text[end:]
		if len(text) > 0 && text[0] == ':' {
			key = string(literal)
		} else if key != `"path"` {
			if literal, err = veiledString(literal, veil); err != nil {
				return nil, err
			}
		}
		out = append(out, literal...)
	}
	return append(out, text...), nil
}

// veiledString is veiled for one string.
func veiledString(literal []byte, veil *fetch.Veil) ([]byte, error) {
	var s string
	if err := json.Unmarshal(literal, &s); err != nil {
		return nil, err
	}
	if text := veil.Text(s); text != s {
		return json.Marshal(text)
	}
	return literal, nil
}

func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }

// secondsOrNull takes what is negative for unknown.
func secondsOrNull(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	return new(seconds(d))
}

// finite keeps values that JSON cannot express out of it.
func finite(f float64) float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return 0
	}
	return math.Round(f)
}
