// Package segment plans which bytes of a file are fetched by whom.
//
// A [Plan] divides [0, size) into bytes that are done, bytes that belong to an
// open [Segment], and bytes that nobody has yet. Every byte is in exactly one
// of the three at any time. A worker is handed a segment, claims it one
// stretch at a time, reports what it has written, and gives the rest back when
// it fails. A worker without work steals the back half of the segment that
// will take longest.
//
// Inner borders between segments fall on multiples of the plan's alignment,
// the piece size of the file, as far as the operations allow: a segment that
// is released in the middle of a piece leaves a border there, and the next
// owner starts at it.
//
// The package is pure: no input or output, no clock, no goroutine, no random
// choice. The same calls give the same answers. A Plan is not safe for
// concurrent use.
package segment
