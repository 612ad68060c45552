package fetch

import "time"

// An EventKind says what an Event reports.
type EventKind int

const (
	// EventStart comes once, when size and name are known and resumable data
	// has been looked at: URL, Path, Total, Resumed, Active.
	EventStart EventKind = iota + 1

	// EventProgress comes about five times a second between Start and the end.
	EventProgress

	// EventPieceBad reports a piece that failed its hash: Piece, Try, Reason, Code.
	// It will be fetched again unless the download fails.
	EventPieceBad

	// EventRetry reports a request that failed and will be made again after
	// Delay: Try, Delay, Reason, Code, Err.
	EventRetry

	// EventNote tells something worth knowing in Reason and Code, for example
	// that the server does not support ranges.
	EventNote

	// EventDone comes last, and only on success: Result.
	EventDone

	// EventMirrorDropped reports that nothing more is asked of one of several
	// addresses: Mirror, Reason, Code, Err.
	EventMirrorDropped

	// EventHash comes about five times a second while Check and Repair read a
	// local file, and once at the end of each reading: Path, Against, and of that
	// reading Total, Done, Rate and ETA.
	EventHash
)

// String returns the name of the event in the JSON output of the command.
func (k EventKind) String() string {
	switch k {
	case EventStart:
		return "start"
	case EventProgress:
		return "progress"
	case EventPieceBad:
		return "piece_bad"
	case EventRetry:
		return "retry"
	case EventNote:
		return "note"
	case EventDone:
		return "done"
	case EventMirrorDropped:
		return "mirror_dropped"
	case EventHash:
		return "hash"
	}
	return "unknown"
}

// An Event is one step of a download. Strings that come from the server are
// quoted where they appear in Reason; Path and URL are as they are.
type Event struct {
	Kind EventKind

	// URL and Path are set by EventStart.
	URL     string // without user information and secrets, see RedactURL
	Path    string // of the finished file
	Against string // what the file is held against, EventHash: as in Report

	// The state of the download, in every event from EventStart on.
	Total   int64         // size of the file in bytes, -1 if not known
	Done    int64         // bytes on file, Resumed included
	Resumed int64         // bytes from earlier runs
	Rate    float64       // bytes per second, smoothed, of this run only
	ETA     time.Duration // time left at Rate, -1 if not known
	Active  int           // data requests in flight

	Piece  int           // index of the piece, EventPieceBad
	Try    int           // which try failed, from 1
	Delay  time.Duration // until the next try, EventRetry
	Reason string        // what happened, for people
	Code   Code          // the same for programs: EventPieceBad, EventRetry, EventNote
	Err    error         // the cause, EventRetry
	Mirror string        // the address it is about, "" if there is only one: EventPieceBad, EventRetry, EventMirrorDropped

	Result *Result // EventDone
}
