package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// rowVersion is raised when the meaning of a field of [Row] changes.
const rowVersion = 1

// A Row is one transfer, or the reason why there was none. It says everything
// that is needed to judge it on its own, so rows of many runs can be put
// together.
type Row struct {
	Version  int      `json:"version"`
	Run      string   `json:"run"` // start of the run, RFC 3339; one run has one value
	Machine  Machine  `json:"machine"`
	Flags    []string `json:"flags"`    // command line of the run, without the program
	Scenario string   `json:"scenario"` // one of the scenario constants
	Profile  string   `json:"profile"`  // name of the link
	Link     Link     `json:"link"`     // zero over loopback

	Contender   string `json:"contender"`
	Connections int    `json:"connections"`
	Repetition  int    `json:"repetition"` // from 1

	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"` // why the status is not ok

	// NotRepeated says that the run did not measure this contender with this
	// number of connections again over the link, because this transfer, the
	// first, was stopped.
	NotRepeated bool `json:"not_repeated,omitempty"`

	Size      int64    `json:"size"`                 // of the file, bytes
	Bytes     int64    `json:"bytes"`                // that the client wrote
	Seconds   float64  `json:"seconds"`              // from the start of the client to its exit; see greeting
	FirstByte *float64 `json:"first_byte,omitempty"` // seconds from the start of the client until data was in the file; absent where not seen
	Halfway   *float64 `json:"halfway,omitempty"`    // likewise until half of the size was in the file
	Limit     float64  `json:"limit,omitempty"`      // seconds that the link allows at best; see limitSeconds

	// Line is how long a cache line took from one processor to another before the
	// transfer, seconds. Absent where not known; see lineTime.
	Line float64 `json:"line,omitempty"`

	Client Usage `json:"client"`
	Server Usage `json:"server"`

	// Retransmitted is the number of packets that the sending side says it sent
	// again: the kernel for TCP, chunkserve and the C++ library for their own.
	// Absent where nobody counts.
	Retransmitted *int64 `json:"retransmitted,omitempty"`

	ToClient *Direction `json:"to_client,omitempty"` // the link from server to client
	ToServer *Direction `json:"to_server,omitempty"`
	LateP99  float64    `json:"late_p99,omitempty"` // seconds behind the schedule of the link that 99 % of the packets did not exceed

	Shares []Share `json:"shares,omitempty"` // of a fairness scenario
}

// Scenarios.
const (
	scenarioWAN      = "wan"
	scenarioLoopback = "loopback"
	scenarioVeth     = "veth"
	scenarioFairness = "fairness"
)

// Status is what became of a transfer.
type Status string

const (
	statusOK      Status = "ok"
	statusTimeout Status = "timeout" // stopped when its time was up; Seconds is the bound, and Bytes what was in the file by then
	statusFailed  Status = "failed"  // the client failed, or the file is wrong
	statusRefused Status = "refused" // the emulated link did not keep its schedule, so the figures mean nothing
	statusSkipped Status = "skipped" // the contender cannot run here
)

// Machine is where a row was measured.
type Machine struct {
	Commit   string `json:"commit"`   // of chunkget, "" when not known
	Modified bool   `json:"modified"` // the sources differ from the commit
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Tags     string `json:"tags,omitempty"` // that the bench was built with
}

// Link is an emulated link, as asked for. Both directions are alike.
type Link struct {
	Rate    float64 `json:"rate"`              // bit/s of IP packets
	RTT     float64 `json:"rtt"`               // seconds, without queueing
	Jitter  float64 `json:"jitter,omitempty"`  // seconds
	Loss    float64 `json:"loss"`              // share of packets
	Burst   float64 `json:"burst,omitempty"`   // mean length of a run of lost packets, 0 where losses are independent
	Reorder float64 `json:"reorder,omitempty"` // share of packets
	Queue   float64 `json:"queue"`             // in products of rate and RTT
}

// Usage is what a process and its children used.
type Usage struct {
	CPU    float64 `json:"cpu"`              // seconds, user and system
	Memory int64   `json:"memory,omitempty"` // peak resident set, bytes; 0 where not known
}

// Direction is what one direction of the link counted during a transfer, in
// packets where not said otherwise.
type Direction struct {
	Packets    int64 `json:"packets"` // offered by the sending host
	Bytes      int64 `json:"bytes"`   // offered, with IP headers
	Delivered  int64 `json:"delivered"`
	Lost       int64 `json:"lost"`                // by the loss model
	Overflowed int64 `json:"overflowed"`          // found the queue full
	Reordered  int64 `json:"reordered,omitempty"` // by the model
	Refused    int64 `json:"refused,omitempty"`   // not taken by the receiving host
	Missed     int64 `json:"missed,omitempty"`    // dropped by the sending host because the emulator was late; not in Packets
}

// Share is one flow of several that shared a link.
type Share struct {
	Contender string    `json:"contender"`
	Start     float64   `json:"start"`    // seconds after the first flow
	Interval  float64   `json:"interval"` // seconds of one element of Rates
	Rates     []float64 `json:"rates"`    // bit/s of file content
}

// ok reports whether the row has figures that count.
func (r *Row) ok() bool { return r.Status == statusOK }

// retransmittedShare returns the part of the packets that the server's host
// offered to the link, acknowledgements included, that were sent again.
func (r *Row) retransmittedShare() (share float64, ok bool) {
	if r.Retransmitted == nil || r.ToClient == nil || r.ToClient.Packets == 0 {
		return 0, false
	}
	return float64(*r.Retransmitted) / float64(r.ToClient.Packets), true
}

// rate returns the throughput of the file's content in bit/s.
func (r *Row) rate() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return float64(r.Size) * 8 / r.Seconds
}

// share returns the part of the physical limit that was reached, 0 if there is
// no limit.
func (r *Row) share() float64 {
	if r.Seconds <= 0 {
		return 0
	}
	return r.Limit / r.Seconds
}

// secondHalf returns the part of the link's rate that the second half of the file
// reached: what came last, the end of the client included, and no start.
func (r *Row) secondHalf() (share float64, ok bool) {
	if r.Halfway == nil || r.Link.Rate <= 0 || r.Seconds <= *r.Halfway {
		return 0, false
	}
	return 8 * float64(r.Size-r.Size/2) / payloadRate(r.Link) / (r.Seconds - *r.Halfway), true
}

// rowWriter appends rows to a file, each at once, so that a run that ends early
// leaves what it measured.
type rowWriter struct {
	f *os.File
}

// createRows opens a new rows file in dir, which it makes if need be.
func createRows(dir, run string) (*rowWriter, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make folder of the rows: %w", err)
	}
	name := filepath.Join(dir, "rows-"+fileTime(run)+".jsonl")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("create rows file: %w", err)
	}
	return &rowWriter{f}, nil
}

// fileTime returns a time of RFC 3339 without what file systems dislike.
func fileTime(run string) string {
	var out []byte
	for _, c := range []byte(run) {
		if c >= '0' && c <= '9' || c == 'T' || c == 'Z' {
			out = append(out, c)
		}
	}
	return string(out)
}

func (w *rowWriter) write(r *Row) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode row: %w", err)
	}
	if _, err := w.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write row: %w", err)
	}
	return nil
}

func (w *rowWriter) Close() error { return w.f.Close() }

// readRows decodes rows, one JSON object per line.
func readRows(r io.Reader) ([]Row, error) {
	var rows []Row
	s := bufio.NewScanner(r)
	s.Buffer(nil, 4<<20)
	for line := 1; s.Scan(); line++ {
		if len(s.Bytes()) == 0 {
			continue
		}
		var row Row
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if row.Version != rowVersion {
			return nil, fmt.Errorf("line %d: rows of version %d; this program knows version %d", line, row.Version, rowVersion)
		}
		rows = append(rows, row)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return rows, nil
}

// readDir reads all rows files of a folder, oldest first.
func readDir(dir string) ([]Row, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list rows files: %w", err)
	}
	slices.Sort(names)
	var rows []Row
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		more, err := readRows(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		rows = append(rows, more...)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no rows: %w", dir, fs.ErrNotExist)
	}
	return rows, nil
}
