package trace

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

var (
	header  = Header{Program: "chunkget 1.0", Role: Receiver, Start: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	samples = []Sample{
		{
			Time: 0.1, Conn: 1, Transport: "udt", Remote: "192.0.2.1:9000", Bytes: 1 << 40, Rate: 94e6,
			PacingRate: new(95e6), DeliveryRate: new(94e6), RTT: new(0.052), MinRTT: new(0.05), Queue: new(0.002),
			Loss: new(0.01), Window: new(int64(1 << 20)), InFlight: new(int64(0)), Controller: "bbr", State: "cruise",
		},
		{Time: 0.2, Conn: 2, Transport: "tcp", Remote: "[2001:db8::1]:80", Bytes: 5, Ended: true},
	}
)

func written(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, header)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(samples); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The text is a contract.
func TestFields(t *testing.T) {
	want := `{"trace":1,"program":"chunkget 1.0","role":"receiver","start":"2026-11-20T12:00:00Z","interval":0.1}
{"time":0.1,"conn":1,"transport":"udt","remote":"192.0.2.1:9000","bytes":1099511627776,"rate":94000000,"pacing_rate":95000000,"delivery_rate":94000000,"rtt":0.052,"min_rtt":0.05,"queue":0.002,"loss":0.01,"window":1048576,"in_flight":0,"controller":"bbr","state":"cruise","ended":false}
{"time":0.2,"conn":2,"transport":"tcp","remote":"[2001:db8::1]:80","bytes":5,"rate":0,"pacing_rate":null,"delivery_rate":null,"rtt":null,"min_rtt":null,"queue":null,"loss":null,"window":null,"in_flight":null,"controller":"","state":"","ended":true}
`
	if got := written(t); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReadBack(t *testing.T) {
	text := written(t)
	h, got, err := Read(strings.NewReader(text))
	if err != nil || h.Program != header.Program || !h.Start.Equal(header.Start) || !reflect.DeepEqual(got, samples) {
		t.Errorf("got %+v %+v, %v", h, got, err)
	}
	if _, got, err := Read(strings.NewReader(text[:len(text)-20])); err != nil || len(got) != 1 {
		t.Errorf("cut short: %d samples, %v", len(got), err)
	}
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "no first line",
		"{}\n":                           "not that of a trace",
		"rate\n":                         "not that of a trace",
		"{\"trace\":2}\n":                "version 2",
		"{\"trace\":1}\nx\n{\"conn\":1}": "line 2",
	} {
		if _, _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// brokenDisk takes the header only.
type brokenDisk struct{ n int }

var errDisk = errors.New("disk full")

func (d *brokenDisk) Write(p []byte) (int, error) {
	if d.n++; d.n > 1 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	d := new(brokenDisk)
	w, err := NewWriter(d, header)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.Write(samples); !errors.Is(err, errDisk) {
			t.Errorf("got %v", err)
		}
	}
	if d.n != 2 {
		t.Errorf("%d writes", d.n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("{\"trace\":1}\n{\"conn\":1,\"rtt\":0.1}\n")
	f.Add("{\"trace\":1}\n{\"conn\":1,\"rtt\":")
	f.Fuzz(func(t *testing.T, text string) {
		_, got, err := Read(strings.NewReader(text))
		if err == nil && len(got) >= strings.Count(text, "\n")+1 {
			t.Errorf("%d samples in %q", len(got), text)
		}
	})
}
