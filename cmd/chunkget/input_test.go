package main

import (
	"errors"
	"strings"
	"testing"
)

func TestReadInput(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     string // the URLs, or part of the message of a usage error
		bad      bool
	}{
		{"one", "udt://h/a\n", "udt://h/a", false},
		{"no newline at the end", "udt://h/a", "udt://h/a", false},
		{"comments and blanks", "# first\n\n  udt://h/a  \r\n\t# second\nhttp://h/b#c\n", "udt://h/a http://h/b#c", false},
		{"byte order mark", "\ufeffhttp://h/a", "http://h/a", false},
		{"empty", "# nothing\n", "list holds no URL", true},
		{"bad line", "udt://h/a\n\nftp://h/b\n", `list, line 3: unknown scheme "ftp"`, true},
		{"no URL but an option", "udt://h/a\n out=b\n", "list, line 2: ", true},
		{"too long", "udt://h/a\nudt://h/" + strings.Repeat("a", maxInputLine), "list, line 2: longer than", true},
		{"password", "ftp://me:hunter2@h/b\n", "list, line 1: ", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			urls, err := readInput(strings.NewReader(tt.in), "list")
			if tt.bad {
				if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("err = %v, want a usage error with %q", err, tt.want)
				}
				return
			}
			var got []string
			for _, u := range urls {
				got = append(got, u.String())
			}
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzReadInput(f *testing.F) {
	f.Add("udt://h/a\n# x\nhttp://h/b")
	f.Fuzz(func(t *testing.T, s string) {
		urls, err := readInput(strings.NewReader(s), "list")
		if err == nil && len(urls) == 0 {
			t.Fatal("neither a URL nor an error")
		}
		for _, u := range urls {
			if u.Host == "" {
				t.Fatalf("%v has no host", u)
			}
		}
	})
}
