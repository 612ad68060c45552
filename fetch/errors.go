package fetch

// A Kind classifies an error by what its reader can do about it.
type Kind int

const (
	// KindOther is none of the others.
	KindOther Kind = iota
	// KindUsage is an option that makes no sense.
	KindUsage
	// KindNetwork is a connection that could not be made or kept.
	KindNetwork
	// KindTimeout is a peer that was silent, or too slow, for too long.
	KindTimeout
	// KindHTTPStatus is an answer other than the wanted one.
	KindHTTPStatus
	// KindAuth is an answer 401, 403 or 407, or an end of a TLS connection that
	// does not accept who the other one is.
	KindAuth
	// KindDisk is a file that could not be opened, written or renamed, or that
	// is already there.
	KindDisk
	// KindIntegrity is data that contradicts its hash.
	KindIntegrity
	// KindRemoteChanged is a file that is not the one the download began with.
	KindRemoteChanged
	// KindRangeUnsupported is a server that sends no part of a file where only
	// a part is wanted.
	KindRangeUnsupported
	// KindInterrupted is a context that was cancelled.
	KindInterrupted
)

// String returns the name of k in lower case.
func (k Kind) String() string {
	switch k {
	case KindUsage:
		return "usage"
	case KindNetwork:
		return "network"
	case KindTimeout:
		return "timeout"
	case KindHTTPStatus:
		return "http_status"
	case KindAuth:
		return "auth"
	case KindDisk:
		return "disk"
	case KindIntegrity:
		return "integrity"
	case KindRemoteChanged:
		return "remote_changed"
	case KindRangeUnsupported:
		return "range_unsupported"
	case KindInterrupted:
		return "interrupted"
	}
	return "other"
}

// Error is the type of every error that Get, Repair and Check return.
type Error struct {
	Kind Kind
	Op   string // what was being done
	Err  error  // the cause
	Hint string // what the user may do about it, may be empty
	Code Code   // the reason, for programs; see CodeOf

	// Resumable is true when what has been received so far was kept and the
	// same call goes on from there.
	Resumable bool

	// StatusCode is the answer of the server for KindHTTPStatus and KindAuth.
	StatusCode int
}

func (e *Error) Error() string {
	if e.Op == "" {
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the error is a timeout, as net.Error does.
func (e *Error) Timeout() bool { return e.Kind == KindTimeout }
