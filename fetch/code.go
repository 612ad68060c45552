package fetch

import (
	"errors"
	"net/http"
)

// A Code names the reason of an event or an error for programs, as its Reason
// does for people. docs/events.md lists them; they never change their meaning.
type Code string

// Reasons for which an answer is not used.
const (
	CodeConnection       Code = "connection"        // there is no connection, or it was lost
	CodeStalled          Code = "stalled"           // no byte came for RetryPolicy.Stall
	CodeTooSlow          Code = "too_slow"          // what came was less than RetryPolicy.MinRate
	CodeStatus           Code = "status"            // a status other than 200 and 206
	CodeBusy             Code = "busy"              // status 429 or 503
	CodeRangeIgnored     Code = "range_ignored"     // the whole file where a part was asked for
	CodeRangeUnasked     Code = "range_unasked"     // a part where the whole file was asked for
	CodeRangeUnsatisfied Code = "range_unsatisfied" // status 416 for a part that should be there
	CodeContentRange     Code = "content_range"     // Content-Range is missing, malformed, or of another part
	CodeContentLength    Code = "content_length"    // Content-Length contradicts Content-Range
	CodeContentEncoding  Code = "content_encoding"  // a coding where identity was asked for
	CodeTotalDiffers     Code = "total_differs"     // another complete length under the same validator
	CodeBodyShort        Code = "body_short"        // the body ended early
	CodeBodyLong         Code = "body_long"         // the body went on after its end
	CodeETagMissing      Code = "etag_missing"      // a part without the strong ETag of the others
	CodeTreeInvalid      Code = "tree_invalid"      // what was offered as hash tree is none, or of another file
	CodePartInvalid      Code = "part_invalid"      // a compressed part is not what was asked for; ranges are from now on
	CodePartGrows        Code = "part_grows"        // compressed parts are no shorter; likewise
)

// Reasons to believe that the remote file is another one.
const (
	CodeETagChanged         Code = "etag_changed"
	CodeLastModifiedChanged Code = "last_modified_changed"
	CodeSizeChanged         Code = "size_changed"
	CodeURLChanged          Code = "url_changed" // partial data of another URL
	CodeTreeChanged         Code = "tree_changed"
)

// Findings about data.
const (
	CodePieceMismatch   Code = "piece_mismatch"  // a piece contradicts the hash tree
	CodeDigestMismatch  Code = "digest_mismatch" // the whole file contradicts its digest
	CodeRootMismatch    Code = "root_mismatch"   // the root of a hash tree is not the one that was asked for
	CodePartUnrecorded  Code = "part_unrecorded" // partial data without a usable journal
	CodeJournalDamaged  Code = "journal_damaged" // wholly
	CodeJournalTorn     Code = "journal_torn"    // at its end
	CodePieceSizeDiffer Code = "piece_size"      // partial data in other pieces
	CodeStartOver       Code = "start_over"      // partial data is discarded
	CodeNoRanges        Code = "no_ranges"       // one stream: the server sends no parts
	CodeNoValidator     Code = "no_validator"    // one stream: nothing would tell parts of two versions apart
	CodeNoSize          Code = "no_size"         // one stream: the server does not tell the size
	CodeNoTree          Code = "no_tree"         // the server offers no hash tree, where one is needed
	CodeNoDigest        Code = "no_digest"       // the server announces no digest of the whole file, where one was asked for
	CodeNotResumable    Code = "not_resumable"   // no strong ETag and no tree
	CodeUnencrypted     Code = "unencrypted"     // an address without TLS beside an encrypted one, with no hashes to check it by
	CodeMirrorsUnused   Code = "mirrors_unused"  // nothing tells whether several addresses have the same file
	CodeMetalinkUsed    Code = "metalink_used"   // the file is held against the Metalink that the server names
	CodeMetalinkUnused  Code = "metalink_unused" // that cannot be had, is of another file, or cannot be used wholly
)

// withCode returns e with a code.
func (e *Error) withCode(c Code) *Error {
	e.Code = c
	return e
}

// CodeOf returns the code of err, or one that its kind implies, or "".
func CodeOf(err error) Code {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return ""
	case e.Code != "":
		return e.Code
	}
	switch e.Kind {
	case KindNetwork:
		return CodeConnection
	case KindTimeout:
		return CodeStalled
	case KindHTTPStatus, KindAuth:
		switch e.StatusCode {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			return CodeBusy
		case http.StatusRequestedRangeNotSatisfiable:
			return CodeRangeUnsatisfied
		}
		return CodeStatus
	case KindRangeUnsupported:
		return CodeNoRanges
	}
	return ""
}
