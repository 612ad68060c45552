package serve

import (
	"net/http"
	"strings"
	"testing"
)

func TestAcceptedCodings(t *testing.T) {
	const none = "no field"
	for _, tt := range []struct {
		field string
		want  accepted // zstd, gzip, identity
	}{
		{none, accepted{0, 0, byDefault}},
		{"", accepted{0, 0, byDefault}},
		{" , ,", accepted{0, 0, byDefault}},
		{"gzip", accepted{0, 1000, byDefault}},
		{"GZip", accepted{0, 1000, byDefault}},
		{"x-gzip", accepted{0, 1000, byDefault}},
		{"gzip, deflate, br, zstd", accepted{1000, 1000, byDefault}},
		{"gzip;q=0.5, zstd;q=1.0", accepted{1000, 500, byDefault}},
		{"gzip\t;\tQ=0.123 ,zstd ; q=0.001", accepted{1, 123, byDefault}},
		{"gzip;q=0", accepted{0, 0, byDefault}},
		{"gzip;q=0.000, *", accepted{1000, 0, 1000}},
		{"*", accepted{1000, 1000, 1000}},
		{"*;q=0", accepted{0, 0, 0}},
		{"zstd, *;q=0", accepted{1000, 0, 0}},
		{"identity;q=0, gzip", accepted{0, 1000, 0}},
		{"identity;q=0.5, *;q=0", accepted{0, 0, 500}},
		{"identity, gzip;q=0.9", accepted{0, 900, 1000}},
		{"br", accepted{0, 0, byDefault}},
		// Malformed weights.
		{"gzip;q=1.001", accepted{0, 0, byDefault}},
		{"gzip;q=0.1234", accepted{0, 0, byDefault}},
		{"gzip;q=.5", accepted{0, 0, byDefault}},
		{"gzip;q=-1", accepted{0, 0, byDefault}},
		{"gzip;q=2", accepted{0, 0, byDefault}},
		{"gzip;level=9", accepted{0, 0, byDefault}},
		{"gzip;q=1;x=y", accepted{0, 0, byDefault}},
		{"gzip;", accepted{0, 0, byDefault}},
		{"identity;q=zero", accepted{0, 0, byDefault}},
		{"*;q=9", accepted{0, 0, byDefault}},
		{"gzipped, zstd2", accepted{0, 0, byDefault}},
	} {
		h := http.Header{}
		if tt.field != none {
			h.Set("Accept-Encoding", tt.field)
		}
		if got := acceptedCodings(h); got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.field, got, tt.want)
		}
	}
	if got := acceptedCodings(http.Header{"Accept-Encoding": {"gzip", "zstd;q=0.5"}}); got != (accepted{500, 1000, byDefault}) {
		t.Errorf("two fields: %+v", got)
	}
}

func FuzzAcceptedCodings(f *testing.F) {
	for _, s := range []string{"gzip;q=0.5, zstd, *;q=0", "identity;q=0", ";q=1,,*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := acceptedCodings(http.Header{"Accept-Encoding": {s}})
		for _, w := range []int{a.zstd, a.gzip, a.identity} {
			if w < 0 || w > 1000 {
				t.Fatalf("%q: %+v", s, a)
			}
		}
		lower := strings.ToLower(s)
		if a.zstd > 0 && !strings.Contains(lower, "zstd") && !strings.Contains(s, "*") ||
			a.gzip > 0 && !strings.Contains(lower, "gzip") && !strings.Contains(s, "*") {
			t.Fatalf("%q asks for %+v", s, a)
		}
		if a.identity == 0 && !strings.Contains(s, "0") {
			t.Fatalf("%q refuses identity", s)
		}
	})
}
