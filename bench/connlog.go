package main

import (
	"bytes"
	"strconv"
)

// connLog reads the log of chunkserve: it adds up what closed UDT connections
// say, and hands on what went wrong. Only its process writes to it.
type connLog struct {
	rest *tail  // gets warnings and errors
	line []byte // up to the next newline

	closed        int   // connections
	retransmitted int64 // packets, over all of them
}

// maxLogLine bounds what is kept of a line, in bytes.
const maxLogLine = 4 << 10

func (l *connLog) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		part, after, complete := bytes.Cut(p, []byte{'\n'})
		if len(l.line)+len(part) <= maxLogLine {
			l.line = append(l.line, part...)
		}
		if complete {
			l.take(l.line)
			l.line = l.line[:0]
		}
		p = after
	}
	return n, nil
}

// take reads a line of a slog.TextHandler.
func (l *connLog) take(line []byte) {
	switch {
	case bytes.Contains(line, []byte(` level=DEBUG msg="udt connection closed" `)):
		_, value, _ := bytes.Cut(line, []byte(" retransmitted="))
		value, _, _ = bytes.Cut(value, []byte{' '})
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			l.closed++
			l.retransmitted += n
		}
	case bytes.Contains(line, []byte(" level=DEBUG ")), bytes.Contains(line, []byte(" level=INFO ")):
	default:
		l.rest.Write(append(line, '\n'))
	}
}
