package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	valid := func() *options {
		return &options{connections: 8, jobs: 1, sending: sending{share: 2}, timeout: time.Second, tries: 5}
	}
	sum := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name   string
		change func(*options)
		args   []string
		want   string // part of the message, "" for success
	}{
		{"one", nil, []string{"udt://h/a"}, ""},
		{"three schemes", nil, []string{"udt://h:1/a", "http://h/a", "HTTPS://h/a?b=c"}, ""},
		{"no URL", nil, nil, "no URL given"},
		{"no scheme", nil, []string{"h/a"}, "has no scheme"},
		{"unknown scheme", nil, []string{"ftp://h/a"}, `unknown scheme "ftp"`},
		{"udts", nil, []string{"udts://h/a"}, ""},
		{"pin in the clear", nil, []string{"udt://h/a#pin=sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, "a pin has no effect"},
		{"no host", nil, []string{"udt:///a"}, "has no host"},
		{"opaque", nil, []string{"udt:a"}, "has no host"},
		{"malformed", nil, []string{"http://[::1/a"}, "malformed URL"},
		{"control character", nil, []string{"http://h/\x1b[2J"}, "malformed URL"},
		{"second is bad", nil, []string{"http://h/a", "gopher://h/a"}, "unknown scheme"},
		{"stdout", func(o *options) { o.output = "-" }, []string{"http://h/a"}, ""},
		{"stdout twice", func(o *options) { o.output, o.json = "-", true }, []string{"http://h/a"}, "exclude each other"},
		{"one output for two", func(o *options) { o.output = "x" }, []string{"http://h/a", "http://h/b"}, "2 URLs"},
		{"checksum", func(o *options) { o.checksum = "SHA256:" + sum }, []string{"http://h/a"}, ""},
		{"checksum for two", func(o *options) { o.checksum = "sha256:" + sum }, []string{"http://h/a", "http://h/b"}, "2 URLs"},
		{"checksum of the server", func(o *options) { o.checksum = "server" }, []string{"http://h/a"}, ""},
		{"checksum of the server for two", func(o *options) { o.checksum = "server" }, []string{"http://h/a", "http://h/b"}, ""},
		{"checksum of the server in other letters", func(o *options) { o.checksum = "Server" }, []string{"http://h/a"}, "sha256:HEX"},
		{"checksum of another kind", func(o *options) { o.checksum = "md5:" + sum }, []string{"http://h/a"}, `unknown digest algorithm "md5"`},
		{"checksum of SHA-512", func(o *options) { o.checksum = "sha512:" + sum + sum }, []string{"http://h/a"}, ""},
		{"no checksum", func(o *options) { o.checksum = sum }, []string{"http://h/a"}, "sha256:HEX"},
		{"checksum too short", func(o *options) { o.checksum = "sha256:abcd" }, []string{"http://h/a"}, "has 32 bytes, not 2"},
		{"checksum no hex", func(o *options) { o.checksum = "sha256:" + strings.Repeat("zz", 32) }, []string{"http://h/a"}, "no hexadecimal digits"},
		{"no connection", func(o *options) { o.connections = 0 }, []string{"http://h/a"}, "-n 0"},
		{"too many connections", func(o *options) { o.connections = 257 }, []string{"http://h/a"}, "-n 257"},
		{"timeout", func(o *options) { o.timeout = 0 }, []string{"http://h/a"}, "--timeout"},
		{"least rate", func(o *options) { o.minRateTime = -1 }, []string{"http://h/a"}, "--min-rate-time"},
		{"tries", func(o *options) { o.tries = 0 }, []string{"http://h/a"}, "--tries"},
		{"connect timeout", func(o *options) { o.connect = -1 }, []string{"http://h/a"}, "--connect-timeout"},
		{"jobs", func(o *options) { o.jobs = 0 }, []string{"http://h/a"}, "--jobs 0"},
		{"too many jobs", func(o *options) { o.jobs = 33 }, []string{"http://h/a"}, "between 1 and 256 connections"},
		{"limit", func(o *options) { o.limitRate = 10e3 }, []string{"http://h/a"}, "less than 64k"},
		{"continue and restart", func(o *options) { o.goOn, o.restart = true, true }, []string{"http://h/a"}, "exclude each other"},
		{"header", func(o *options) { o.headers = []string{"x"} }, []string{"http://h/a"}, "--header"},
		{"proxy", func(o *options) { o.proxy = "ftp://p" }, []string{"http://h/a"}, "--proxy"},
		{"quiet and verbose", func(o *options) { o.quiet, o.verbose = true, true }, []string{"http://h/a"}, "exclude each other"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := valid()
			if tt.change != nil {
				tt.change(o)
			}
			err := o.validate(tt.args)
			if tt.want == "" {
				if err != nil || len(o.urls) != len(tt.args) {
					t.Errorf("err = %v, %d URLs, want success", err, len(o.urls))
				}
				return
			}
			if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want a usage error with %q", err, tt.want)
			}
		})
	}
}

// What a mistake was meant to be is told with it.
func TestUsageHints(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string // in stderr
	}{
		{"", "hint: try: chunkget demo"},
		{"-O http://h/a.iso", "hint: -O takes a folder"},
		{"-d dir", "hint: try: chunkget demo"},
		{"--jobs 40 http://h/a", "hint: for 40 files at a time, give -n 6 or less"},
		{"--jobs 300 http://h/a", "hint: at most 256 files at a time are possible, with -n 1"},
		{"--jobs 0 http://h/a", "hint: --jobs is the number of files"},
		{"--limit-rate 5 http://h/a", "at least 64k"},
		{"--limit-rate 5k http://h/a", "less than 64k bit/s"},
		{"--rate 5 http://h/a", "at least 10k"},
		{"put --limit-rate 5 file http://h/a", "at least 64k"},
		{"inspect no-such-journal", "hint: a journal is named FILE.part.journal"},
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), append(strings.Fields(tt.args), "--no-config"), &out, &errs); code == exitOK || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("chunkget %s: exit code %d, %q, want %q", tt.args, code, errs.String(), tt.want)
		}
	}
}

func TestPasswordsAreNotRepeated(t *testing.T) {
	const secret = "hunter2"
	for _, arg := range []string{
		"ftp://me:" + secret + "@h/a",
		"udtx://me:" + secret + "@h/a",
		"http://me:" + secret + "@/a",
		"http://me:" + secret + "@h:port/a",
		"http://me:" + secret + "@h/\x7f",
	} {
		_, err := parseURL(arg)
		if err == nil {
			t.Errorf("%q was accepted", arg)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
	if got := shellQuote(redact([]string{"-n", "8", "http://me:" + secret + "@h/a"})); strings.Contains(got, secret) || !strings.HasPrefix(got, "-n 8 http://me:") {
		t.Errorf("hint: %s", got)
	}
}
