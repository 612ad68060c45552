package connstats

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/chunkget/chunkget/internal/trace"
)

// A Recorder writes a trace of the connections added to it. The goroutine of its
// Watch owns the writer and samples.
type Recorder struct {
	*Watch
	file    *os.File
	w       *trace.Writer
	samples []trace.Sample // scratch
	err     error          // of the first write that failed; to be read after Watch.Close
}

// Record creates the file, or empties it, and begins to write. The caller calls
// Close.
func Record(name, program string, d Direction) (*Recorder, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create the trace: %w", err)
	}
	role := trace.Receiver
	if d == Sending {
		role = trace.Sender
	}
	w, err := trace.NewWriter(f, trace.Header{Program: program, Role: role, Start: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("write the trace: %w", errors.Join(err, f.Close()))
	}
	r := &Recorder{file: f, w: w}
	r.Watch = Start(trace.Interval, r.write)
	return r, nil
}

// Close takes the last samples and completes the file.
func (r *Recorder) Close() error {
	r.Watch.Close()
	if err := errors.Join(r.err, r.file.Close()); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

func (r *Recorder) write(at time.Duration, rows []Row, _ bool) {
	r.samples = r.samples[:0]
	for i := range rows {
		r.samples = append(r.samples, sampleOf(at, &rows[i]))
	}
	if err := r.w.Write(r.samples); r.err == nil {
		r.err = err
	}
}

func sampleOf(at time.Duration, r *Row) trace.Sample {
	p := &r.Path
	s := trace.Sample{
		Time: seconds(at), Conn: r.ID, Transport: r.Transport, Remote: r.Remote,
		Bytes: r.Bytes, Rate: math.Round(r.Rate),
		PacingRate: known(math.Round(p.PacingRate)), DeliveryRate: known(math.Round(p.DeliveryRate)),
		RTT: known(roundTrip(p.RTT)), MinRTT: known(roundTrip(p.MinRTT)),
		Window: known(p.Window), Controller: p.Controller, State: p.State, Ended: r.Ended,
	}
	if s.RTT != nil && s.MinRTT != nil {
		s.Queue = new(seconds(p.Queue()))
	}
	if r.Known {
		s.Loss = new(math.Round(p.Loss*1e6) / 1e6)
	}
	if s.Window != nil {
		s.InFlight = new(p.InFlight)
	}
	return s
}

// seconds has microseconds, which is what the sources have.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e6) / 1e6 }

// roundTrip keeps one on the same machine from becoming an unknown one.
func roundTrip(d time.Duration) float64 {
	if d > 0 {
		d = max(d, time.Microsecond)
	}
	return seconds(d)
}

func known[T int64 | float64](v T) *T {
	if v == 0 {
		return nil
	}
	return &v
}
