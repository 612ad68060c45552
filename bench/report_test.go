package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden report anew")

func goldenRows(t *testing.T) []Row {
	t.Helper()
	rows, err := readDir("testdata/report")
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestReportOfGoldenRows(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/report")); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(dir, "docs", "benchmarks.md")
	if err := os.Mkdir(filepath.Dir(elsewhere), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := writeReport(&reportOptions{dir: dir, markdown: elsewhere}, io.Discard); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.md"
	if *update {
		if err := os.WriteFile(golden, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the report differs from %s (go test -run Golden ./bench -update, and look at the difference):\n%s", golden, got)
	}
	// Every picture that the Markdown shows is where it says.
	for line := range strings.Lines(string(got)) {
		if _, rest, ok := strings.Cut(line, "]("); ok {
			name, _, _ := strings.Cut(rest, ")")
			svg, err := os.ReadFile(filepath.Join(filepath.Dir(elsewhere), filepath.FromSlash(name)))
			if err != nil {
				t.Error(err)
			}
			checkXML(t, name, svg)
		}
	}

	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReport(goldenRows(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(page), "<svg"); n != len(r.allPlots()) || n == 0 {
		t.Errorf("the page has %d pictures, want %d", n, len(r.allPlots()))
	}
	for _, foreign := range []string{"src=", "href=", "@import", "url(", "<?xml", "<script"} {
		if strings.Contains(string(page), foreign) {
			t.Errorf("the page has %q, so it is not self-contained", foreign)
		}
	}
}

func checkXML(t *testing.T, name string, b []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(b)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s is no XML: %v", name, err)
		}
	}
}

func TestSummarize(t *testing.T) {
	sections := summarize(goldenRows(t))
	if len(sections) != 2 {
		t.Fatalf("%d sections, want 2", len(sections))
	}
	s := sections[0]
	cell := func(contender string, n int) *Cell {
		for _, c := range s.Cells {
			if c.Contender == contender && c.Connections == n {
				return c
			}
		}
		t.Fatalf("no cell %s ×%d", contender, n)
		return nil
	}
	const size = 16 << 20

	// 2.0, 2.2 and 1.8 s in one run, three times 2.3 s in another one.
	c := cell("chunkget-udt", 1)
	if c.OK != 6 || !near(c.Rate.Median, 8*size/2.25/2*(2.25/2.3+2.25/2.2)) || !near(c.Rate.Max, 8*size/1.8) || !near(c.Rate.Min, 8*size/2.3) {
		t.Errorf("chunkget-udt ×1: %+v", c)
	}
	if !strings.Contains(c.Unsteady, "2 runs differ by 15 %") {
		t.Errorf("runs of 2.0 and 2.3 s: unsteady is %q", c.Unsteady)
	}
	if !near(c.ClientCPU.Median, 0.1*1e9/size) || c.FirstByte.Median != 0.3 || !near(c.SecondHalf.Median, 8*(size/2)/(300e6*0.999*packetPayload/packetSize)*(1/(0.4*2.3)+1/(0.4*2.2))/2) || c.ClientRAM.Median != 20<<20 {
		t.Errorf("chunkget-udt ×1: %+v", c)
	}
	if c := cell("chunkget-udt", 8); c.Unsteady != "" || c.Bounded() {
		t.Errorf("three times 2.5 s: unsteady is %q, bounded %v", c.Unsteady, c.Bounded())
	}
	if c := cell("curl-bbr", 1); c.Retransmitted.Median != 14 {
		t.Errorf("13, 14 and 15 packets: median %v", c.Retransmitted.Median)
	}
	if c := cell("http3", 1); !c.Bounded() || c.OK != 1 || c.Timeouts != 2 || !near(c.Rate.Median, 8*size/10.0) || c.Unsteady == "" {
		t.Errorf("two of three out of time: %+v", c)
	}
	if c := cell("http3", 8); c.OK != 1 || c.Refused != 1 || c.Rate.N != 1 || len(c.Reasons) != 1 {
		t.Errorf("a refused transfer counts: %+v", c)
	}
	if c := cell("aria2-bbr", 8); c.Bad != 1 || c.Rate.N != 0 {
		t.Errorf("a failed transfer counts: %+v", c)
	}
	if c := sections[1].Cells[1]; c.Contender != "http3" || !c.Bounded() || !c.NotRepeated || c.Unsteady != "" {
		t.Errorf("stopped once and not repeated: %+v", c)
	}
	if len(s.Skipped) != 1 || !strings.Contains(s.Skipped[0], "libudt: the bench is built without") {
		t.Errorf("skipped: %q", s.Skipped)
	}
	// 75 and 100 Mbit/s, 50 and 150 in the second half of the time.
	f := s.Sharings()
	if len(f) != 3 || !near(f[0].Jain, 0.98) || !near(f[0].JainLater, 0.8) || !near(f[0].Shares[0], 75.0/175) || f[1].Status != statusSkipped {
		t.Fatalf("sharings: %+v", f)
	}
	// The second flow has 100 Mbit/s all the time, the first one 100 and 20 from
	// when the second has begun.
	if f := f[2]; !near(f.Rates[0], 60e6) || !near(f.Rates[1], 100e6) || !near(f.JainLater, 120*120/(2*10400.0)) {
		t.Errorf("late joiner: %+v", f)
	}
	for i, c := range s.Cells[1:] {
		if c.order < s.Cells[i].order {
			t.Errorf("%s stands behind %s", c.Name(), s.Cells[i].Name())
		}
	}
}

// A pair that the link refused counts with its next try.
func TestSharingTriedAgain(t *testing.T) {
	row := func(run string, status Status) Row {
		return Row{Run: run, Scenario: scenarioFairness, Profile: "lan", Link: Link{Rate: 1e6}, Contender: "a and b", Status: status}
	}
	s := summarize([]Row{row("1", statusRefused), row("1", statusRefused), row("1", statusOK), row("2", statusRefused)})
	if len(s) != 1 || len(s[0].Flows) != 2 || s[0].Flows[0].Status != statusOK || s[0].Flows[1].Run != "2" {
		t.Errorf("%+v", s[0].Flows)
	}
}

func TestIsQuick(t *testing.T) {
	for _, tt := range []struct {
		flags string
		want  bool
	}{{"wan -quick", true}, {"wan --quick -n 1", true}, {"wan -quick=true", true}, {"wan -n 1", false}, {"wan -quick=false", false}} {
		if got := isQuick(strings.Fields(tt.flags)); got != tt.want {
			t.Errorf("%s: %v", tt.flags, got)
		}
	}
}

func TestBounds(t *testing.T) {
	v := Spread{Median: 20, Min: 10, Max: 30, N: 3}
	for _, tt := range []struct {
		ok, stopped int
		v           Spread
		want        string
	}{
		{3, 0, v, "20 (10–30)"},
		{2, 1, v, "20 (< 10–30)"}, // the stopped one is the slowest, whatever its end
		{1, 2, v, "< 20 (< 10–30)"},
		{1, 1, Spread{20, 10, 30, 2}, "< 20 (< 10–30)"},
		{0, 2, Spread{10, 10, 10, 2}, "< 10"},
		{0, 1, Spread{10, 10, 10, 1}, "< 10"},
		{1, 0, Spread{10, 10, 10, 1}, "10"},
		{0, 0, Spread{}, "–"},
	} {
		if got := bounds(&Cell{OK: tt.ok, Timeouts: tt.stopped, Rate: tt.v}, tt.v, 1, 0); got != tt.want {
			t.Errorf("%d ended, %d stopped: %q, want %q", tt.ok, tt.stopped, got, tt.want)
		}
	}
}

func TestFormatPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 0.00083: "0.083 %", 0.0292: "2.9 %", 0.1798: "18 %", 1.2413: "124 %"} {
		if got := formatPercent(share); got != want {
			t.Errorf("%v: %q, want %q", share, got, want)
		}
	}
}
