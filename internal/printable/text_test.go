package printable

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain text, größer, 日本", "plain text, größer, 日本"},
		{`C:\dir "x"`, `C:\dir "x"`},
		{"a\nb\tc\r", `a\nb\tc\r`},
		{"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"\u202egpj.exe", `\u202egpj.exe`}, // right-to-left override
		{"\u200bzero\u00a0", `\u200bzero\u00a0`},
		{"\xff\xfe", `\xff\xfe`},
		{"\ufffd", `\xef\xbf\xbd`},
		{"\x9b2J", `\x9b2J`}, // CSI in eight bits
		{"\u009b2J", `\u009b2J`},
		{"\x7f\x00", `\x7f\x00`},
	} {
		if got := Text(tt.in); got != tt.want {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x1b]0;title\x07b\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Text(%q) = %q is not UTF-8", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
				t.Fatalf("Text(%q) = %q still holds %U", s, got, r)
			}
		}
		if again := Text(got); again != got {
			t.Fatalf("Text(%q) = %q, cleaned again %q", s, got, again)
		}
	})
}
