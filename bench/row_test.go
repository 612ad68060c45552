package main

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fill sets every field to something that is not zero, so that one that JSON
// loses shows.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.String:
		v.SetString("text: ×, \"\n")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(0.1)
	default:
		v.SetInt(1)
	}
}

func TestRowsSurviveTheirFile(t *testing.T) {
	var full Row
	fill(reflect.ValueOf(&full).Elem())
	full.Version = rowVersion
	want := []Row{full, {Version: rowVersion, Flags: []string{}, Status: statusSkipped}}
	dir := filepath.Join(t.TempDir(), "new")
	w, err := createRows(dir, "2026-01-02T03:04:05Z")
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if err := w.write(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "rows-20260102T030405Z.jsonl")); err != nil {
		t.Error(err)
	}
	got, err := readDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestReadRowsRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"version":1}` + "\n{", "line 2"},
		{`{"version":2}`, "version 2"},
		{`{}`, "version 0"},
		{`{"version":1,"seconds":"1"}`, "line 1"},
	} {
		if rows, err := readRows(strings.NewReader(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, error %v; want one with %q", tt.in, rows, err, tt.want)
		}
	}
	if _, err := readDir(t.TempDir()); err == nil {
		t.Error("an empty folder has rows")
	}
}

func FuzzReadRows(f *testing.F) {
	rows, err := os.ReadFile("testdata/report/rows.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(rows)) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rows, err := readRows(strings.NewReader(s))
		if err == nil && len(rows) > 0 {
			summarize(rows) // must not panic
		}
	})
}

func TestTCPRetransmitted(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{"Ip: Forwarding\nIp: 1\nTcp: RtoMin OutSegs RetransSegs InErrs\nTcp: 200 5 17 0\n", 17},
		{"Tcp: RtoMin\nTcp: 200\n", -1},
		{"Tcp: RetransSegs\n", -1},
		{"Tcp: A RetransSegs\nTcp: 1\n", -1},
		{"", -1},
	} {
		if got := tcpRetransmitted(tt.in); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestSecondHalf(t *testing.T) {
	link := Link{Rate: 100e6, RTT: 0.1, Loss: 0.1}
	size := int64(payloadRate(link)/8) * 4 // four seconds
	for _, tt := range []struct {
		name    string
		halfway *float64
		link    Link
		want    float64 // 0: not known
	}{
		{"at the rate of the link after a slow start", new(6.0), link, 1},
		{"half as fast", new(4.0), link, 0.5},
		{"not seen", nil, link, 0},
		{"without a rate", new(6.0), Link{}, 0},
		{"after the end", new(8.0), link, 0},
	} {
		r := Row{Link: tt.link, Size: size, Seconds: 8, Halfway: tt.halfway}
		if got, ok := r.secondHalf(); ok != (tt.want != 0) || math.Abs(got-tt.want) > 0.001 {
			t.Errorf("%s: %g, want %g", tt.name, got, tt.want)
		}
	}
}
