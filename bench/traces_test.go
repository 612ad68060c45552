package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/internal/trace"
)

// traceFile writes a trace of two UDT connections and one over TCP of which
// little is known.
func traceFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "a trace.jsonl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := trace.NewWriter(f, trace.Header{Program: "chunkserve <1>", Role: trace.Sender})
	if err != nil {
		t.Fatal(err)
	}
	states := []string{"start", "drain", "cruise", "probe-up", "cruise"}
	for i := range 20 {
		at := float64(i+1) / 10
		udt := trace.Sample{
			Time: at, Transport: "udt", Remote: "192.0.2.1:4000", Bytes: int64(i) << 20, Rate: 40e6, PacingRate: new(90e6),
			RTT: new(0.06), MinRTT: new(0.05), Queue: new(0.01), Controller: "bbr", State: states[i/4],
		}
		one, two := udt, udt
		one.Conn, two.Conn, two.Rate = 1, 2, 50e6
		tcp := trace.Sample{Time: at, Conn: 3, Transport: "tcp", Remote: "192.0.2.2:1", Bytes: int64(i) << 20, Rate: 1e6}
		idle := trace.Sample{Time: at, Conn: 4, Transport: "tcp", Remote: "192.0.2.3:1", Bytes: 100}
		if err := w.Write([]trace.Sample{one, two, tcp, idle}); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func TestTraceReport(t *testing.T) {
	name, out := traceFile(t), filepath.Join(t.TempDir(), "out")
	var log bytes.Buffer
	if code := run(t.Context(), []string{"report", "-trace", name + "," + name, "-out", out}, &log, &log); code != 0 {
		t.Fatalf("exit code %d: %s", code, &log)
	}
	markdown, err := os.ReadFile(filepath.Join(out, "traces.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(markdown), "](plots/"); n != 4 { // two flows in each of two traces
		t.Errorf("%d plots in %s", n, markdown)
	}
	for _, want := range []string{"chunkserve <1>", "UDT with 192.0.2.1:4000", "(bbr)", "TCP with 192.0.2.2:"} {
		if !strings.Contains(string(markdown), want) {
			t.Errorf("no %q in %s", want, markdown)
		}
	}
	page, err := os.ReadFile(filepath.Join(out, "traces.html"))
	if err != nil || strings.Count(string(page), "<svg") != 4 || strings.Contains(string(page), "<1>") {
		t.Errorf("%d bytes, %v", len(page), err)
	}
	for line := range strings.Lines(string(markdown)) {
		if _, rest, ok := strings.Cut(line, "]("); ok {
			file, _, _ := strings.Cut(rest, ")")
			svg, err := os.ReadFile(filepath.Join(out, file))
			if err != nil {
				t.Fatal(err)
			}
			d := xml.NewDecoder(bytes.NewReader(svg))
			for err == nil {
				_, err = d.Token()
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", file, err)
			}
			if strings.Contains(file, "-1.svg") && !(strings.Contains(string(svg), "cruise") && strings.Contains(string(svg), "shortest")) {
				t.Errorf("%s shows no states or round trips", file)
			}
		}
	}
}

func TestTraceFlows(t *testing.T) {
	f, err := os.Open(traceFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, samples, err := trace.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	flows := traceFlows(samples)
	if len(flows) != 2 || len(flows[0].moments) != 20 || flows[1].peer != "192.0.2.2" {
		t.Fatalf("%+v", flows)
	}
	want := moment{time: 0.1, rate: 90e6, pacing: 90e6, rtt: 0.06, least: 0.05, queue: 0.01, controller: "bbr", state: "start"}
	got := flows[0].moments[0]
	got.rtt, got.queue = math.Round(got.rtt*1e6)/1e6, math.Round(got.queue*1e6)/1e6
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if m := flows[1].moments[0]; m.pacing >= 0 || m.rtt >= 0 || m.state != "" || m.rate != 1e6 {
		t.Errorf("of TCP: %+v", m)
	}
	// Connections with a controller each pace each for itself.
	own := []trace.Sample{{Controller: "udt", PacingRate: new(1e6)}, {Controller: "udt", PacingRate: new(2e6)}}
	if m := momentOf(0, own); m.pacing != 3e6 {
		t.Errorf("native: %+v", m)
	}
}

func TestTraceReportErrors(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("{\"trace\":1}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-trace", broken, dir}, 2, "takes no folder"},
		{[]string{"-trace", filepath.Join(dir, "none")}, 1, "no such file"},
		{[]string{"-trace", broken}, 1, "moved data"},
		{nil, 2, "-trace"},
	} {
		var log bytes.Buffer
		if code := run(t.Context(), append([]string{"report", "-out", filepath.Join(dir, "out")}, tt.args...), &log, &log); code != tt.code || !strings.Contains(log.String(), tt.want) {
			t.Errorf("%q: exit code %d, %s", tt.args, code, &log)
		}
	}
}
