// Package trace reads and writes traces of connections: JSON lines that tell, ten
// times a second, how each connection is doing. docs/trace.md describes them; the
// names of fields and their units are a contract.
package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// Version is raised when the meaning of a field changes. New fields do not
	// raise it.
	Version = 1
	// Interval is the time between two samples of a connection.
	Interval = 100 * time.Millisecond
)

// Header is the first line.
type Header struct {
	Version  int       `json:"trace"`
	Program  string    `json:"program"`
	Role     string    `json:"role"`  // Receiver or Sender
	Start    time.Time `json:"start"` // wall clock at time 0
	Interval float64   `json:"interval"`
}

// Roles of the program that writes the trace.
const (
	Receiver = "receiver"
	Sender   = "sender"
)

// Sample is each further line. Times are in seconds, rates in bit/s; nil is
// unknown.
type Sample struct {
	Time         float64  `json:"time"` // since the start
	Conn         int      `json:"conn"` // from 1, in the order of opening
	Transport    string   `json:"transport"`
	Remote       string   `json:"remote"`
	Bytes        int64    `json:"bytes"` // of the stream, so far
	Rate         float64  `json:"rate"`  // since the sample before
	PacingRate   *float64 `json:"pacing_rate"`
	DeliveryRate *float64 `json:"delivery_rate"`
	RTT          *float64 `json:"rtt"`
	MinRTT       *float64 `json:"min_rtt"`
	Queue        *float64 `json:"queue"`
	Loss         *float64 `json:"loss"`   // share
	Window       *int64   `json:"window"` // bytes
	InFlight     *int64   `json:"in_flight"`
	Controller   string   `json:"controller"`
	State        string   `json:"state"`
	Ended        bool     `json:"ended"` // the last sample of a connection that is over
}

// Writer writes a trace. It is not safe for concurrent use.
type Writer struct {
	w   *bufio.Writer
	enc *json.Encoder
	err error // of the first write that failed; nothing is written after it
}

// NewWriter writes the header, whose version and interval it fills in.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	t := &Writer{w: bufio.NewWriterSize(w, 64<<10)}
	t.enc = json.NewEncoder(t.w)
	t.enc.SetEscapeHTML(false)
	h.Version, h.Interval = Version, Interval.Seconds()
	t.add(h)
	return t, t.flush()
}

// Write adds samples that were taken at the same time. They are in the file when
// it returns, so that a program that is killed leaves whole lines.
func (t *Writer) Write(samples []Sample) error {
	for i := range samples {
		t.add(&samples[i])
	}
	return t.flush()
}

func (t *Writer) add(line any) {
	if t.err == nil {
		t.err = t.enc.Encode(line)
	}
}

func (t *Writer) flush() error {
	if t.err == nil {
		t.err = t.w.Flush()
	}
	return t.err
}

// maxLine bounds a line of a trace that is read, in bytes.
const maxLine = 1 << 20

// Read reads a whole trace. A last line that was cut short is left out.
func Read(r io.Reader) (Header, []Sample, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var h Header
	if !lines.Scan() {
		return h, nil, errors.Join(errors.New("there is no first line"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Version == 0 {
		return h, nil, errors.New("the first line is not that of a trace")
	}
	if h.Version != Version {
		return h, nil, fmt.Errorf("the trace has version %d, known is %d", h.Version, Version)
	}
	var samples []Sample
	for n := 2; lines.Scan(); n++ {
		var s Sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			if !lines.Scan() && lines.Err() == nil {
				break
			}
			return h, samples, fmt.Errorf("line %d: %w", n, err)
		}
		samples = append(samples, s)
	}
	return h, samples, lines.Err()
}
