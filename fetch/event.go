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
	// local file, or a download reads its file once more for a digest of all of it,
	// and once at the end of each reading: Path, Against, and of that reading Total,
	// Done, Rate and ETA.
	EventHash

	// EventDigestUnused reports that the digest of the whole file that the server
	// announced is not checked: Digest, Reason.
	EventDigestUnused

	// EventRamp reports a decision of the ramp: Decision (DecisionAdded or
	// DecisionWithheld), Connections, RateNow, RateBefore, Reason.
	EventRamp

	// EventHedge reports that the rest of a slow request is asked for once more, and
	// what became of that: Decision (DecisionStarted, then DecisionWon or
	// DecisionLost), Piece, Bytes, Mirror, Reason, and Code if it failed.
	EventHedge

	// EventSteal reports that an idle connection takes the back of a request: Piece,
	// Bytes, Mirror, By, Reason.
	EventSteal

	// EventRelief reports that a request to one of several addresses is given up for
	// another to have its rest: Piece, Bytes, Mirror, By, Reason.
	EventRelief
)

// A Decision is what EventRamp and EventHedge report.
type Decision string

// What a Decision may be.
const (
	DecisionAdded    Decision = "added"    // more connections may be in use
	DecisionWithheld Decision = "withheld" // no more connections for now
	DecisionStarted  Decision = "started"
	DecisionWon      Decision = "won"  // its bytes are used
	DecisionLost     Decision = "lost" // they are not
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
	case EventDigestUnused:
		return "digest_unused"
	case EventRamp:
		return "ramp"
	case EventHedge:
		return "hedge"
	case EventSteal:
		return "steal"
	case EventRelief:
		return "relief"
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

	Piece  int           // index of the piece, EventPieceBad; or of the first of what is asked for
	Try    int           // which try failed, from 1
	Delay  time.Duration // until the next try, EventRetry
	Reason string        // what happened, for people
	Code   Code          // the same for programs: EventPieceBad, EventRetry, EventNote, EventHedge
	Err    error         // the cause, EventRetry, EventHedge
	Mirror string        // the address it is about, "" if there is only one: EventPieceBad, EventRetry, EventMirrorDropped, EventHedge; whose request it was, EventSteal and EventRelief
	By     string        // the address that is asked instead, "" if there is only one: EventSteal, EventRelief

	Digest Digest // EventDigestUnused

	Decision    Decision // EventRamp, EventHedge
	Bytes       int64    // that are asked for, EventHedge, EventSteal and EventRelief; of DecisionWon and DecisionLost: that came
	Connections int      // how many may be in use, EventRamp
	RateNow     float64  // bytes per second as the ramp sees it, EventRamp
	RateBefore  float64  // likewise before the last addition, or the best since; 0 when none was measured

	Result *Result // EventDone
}
