package units

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
		got, err := ParseSize(tt.in)
		if (err != nil) != (tt.want < 0) || err == nil && int64(got) != tt.want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	f.Add("1.5GiB")
	f.Add("9223372036854775807")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseSize(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("ParseSize(%q) = %d", s, b)
		}
		if again, err := ParseSize(b.String()); err != nil || again != b {
			t.Fatalf("ParseSize(%q) = %d, written %q, read back %d, %v", s, b, b.String(), again, err)
		}
	})
}

func TestParseRate(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want float64 // 0 for an error
	}{
		{"1000", 1e3}, {"500k", 500e3}, {"200M", 200e6}, {"1.5G", 1.5e9}, {"1T", 1e12}, {"0.5G", 500e6},
		{"100", 0}, {"", 0}, {"M", 0}, {"-1M", 0}, {"+1M", 0}, {"2T", 0}, {"1e6", 0}, {"200Mbit", 0}, {"NaN", 0}, {"1_0M", 0},
	} {
		got, err := ParseRate(tt.in)
		if (err != nil) != (tt.want == 0) || float64(got) != tt.want {
			t.Errorf("ParseRate(%q) = %g, %v, want %g", tt.in, float64(got), err, tt.want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	f.Add("1.5G")
	f.Add("333333.3")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRate(s)
		if err != nil {
			return
		}
		if !(r >= MinRate && r <= MaxRate) {
			t.Fatalf("ParseRate(%q) = %g", s, float64(r))
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("ParseRate(%q) = %g, written %q, read back %g, %v", s, float64(r), r.String(), float64(again), err)
		}
	})
}
