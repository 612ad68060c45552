package main

import "testing"

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64 // -1 for an error
	}{
		{"0", 0}, {"1", 1}, {"512B", 512}, {"64KiB", 64 << 10}, {"256MiB", 256 << 20}, {"1.5GiB", 3 << 29},
		{"1 MiB", 1 << 20}, {"8388607TiB", 8388607 << 40}, {"9223372036854775807", 1<<63 - 1},
		{"8388608TiB", -1}, {"9223372036854775808", -1}, {"", -1}, {"MiB", -1}, {"-1", -1}, {"+1", -1},
		{"1MB", -1}, {"1mib", -1}, {"1e3", -1}, {"0x10", -1}, {"1_000", -1}, {"NaN", -1}, {"Inf", -1}, {"1e400GiB", -1},
	} {
		got, err := parseSize(tt.in)
		if (err != nil) != (tt.want < 0) || err == nil && int64(got) != tt.want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("1.5GiB")
	f.Add("9223372036854775807")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := parseSize(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("parseSize(%q) = %d", s, b)
		}
		if again, err := parseSize(b.String()); err != nil || again != b {
			t.Fatalf("parseSize(%q) = %d, written %q, read back %d, %v", s, b, b.String(), again, err)
		}
	})
}
