package pin

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	digest := strings.Repeat("A", 42) + "E"
	good := "sha256:" + digest
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{good, true},
		{good + "=", true},
		{"", false},
		{digest, false},
		{"sha256:", false},
		{"SHA256:" + digest, false},
		{"sha1:" + digest, false},
		{good + "A", false},
		{good + "==", false},
		{good[:len(good)-1], false},
		{good[:len(good)-1] + "F", false}, // bits behind the end
		{good[:len(good)-1] + "+", false},
		{good[:20] + "\n" + good[20:], false},
	} {
		p, err := Parse(tt.in)
		if (err == nil) != tt.ok || tt.ok && p.String() != good {
			t.Errorf("%q: %v, %v", tt.in, p, err)
		}
	}
}

func TestParseFragment(t *testing.T) {
	pin := "sha256:" + strings.Repeat("A", 43)
	for _, tt := range []struct {
		in        string
		ok, wrong bool
	}{
		{"", false, false},
		{"section", false, false},
		{"pin=" + pin, true, false},
		{"a=b&pin=" + pin, true, false},
		{"pins=" + pin, false, false},
		{"pin=", false, true},
		{"pin=" + pin + "x", false, true},
		{"pin=" + pin + "&pin=" + pin, false, true},
	} {
		_, ok, err := ParseFragment(tt.in)
		if ok != tt.ok || (err != nil) != tt.wrong {
			t.Errorf("%q: %v, %v", tt.in, ok, err)
		}
	}
}

func FuzzParseFragment(f *testing.F) {
	f.Add("pin=sha256:" + strings.Repeat("A", 43))
	f.Add("pin=sha256:" + strings.Repeat("_", 42) + "w=&x")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok, err := ParseFragment(s)
		if !ok {
			return
		}
		if again, ok, err := ParseFragment(p.Fragment()); err != nil || !ok || again != p {
			t.Errorf("%q became %v and then %v, %v", s, p, again, err)
		}
		if err != nil || !strings.Contains(s, p.String()) {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	})
}
