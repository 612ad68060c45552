package main

import (
	"errors"
	"strings"
	"testing"
)

func TestRequestHeader(t *testing.T) {
	h, err := requestHeader([]string{"X-One: 1", "x-one:2", "Cookie: a=b; c=d", "Empty:"}, "me/1.0")
	if err != nil || strings.Join(h["X-One"], ",") != "1,2" || h.Get("Cookie") != "a=b; c=d" || h.Get("User-Agent") != "me/1.0" || len(h["Empty"]) != 1 {
		t.Errorf("%v, %v", h, err)
	}
	for _, bad := range []string{"", "X", ": v", "X Y: v", "X: a\r\nY: b", "Range: bytes=0-1", "accept-encoding: gzip", "hunter2"} {
		if _, err := requestHeader([]string{bad}, ""); err == nil {
			t.Errorf("%q was accepted", bad)
		} else if _, ok := errors.AsType[*usageError](err); !ok || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := requestHeader(nil, "a\nb"); err == nil {
		t.Error("a user agent of two lines was accepted")
	}
}

func TestParseProxy(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, "http://h:3128": true, "https://h": true, "socks5://me:hunter2@h:1080": true,
		"h:3128": false, "ftp://me:hunter2@h": false, "http://": false, "http://me:hunter2@[": false,
	} {
		if _, err := parseProxy(s); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("parseProxy(%q): %v", s, err)
		}
	}
}

func TestRedact(t *testing.T) {
	got := strings.Join(redact([]string{
		"--header", "Authorization: Bearer hunter2", "--header=Cookie: hunter2", "--proxy=http://me:hunter2@p:1", "-o", "a=b",
		"--proxy", "socks5://me:hunter2@p", "http://me:hunter2@h/a?b=c",
	}), " ")
	want := "--header Authorization: xxxxx --header=Cookie: xxxxx --proxy=http://me:xxxxx@p:1 -o a=b --proxy socks5://me:xxxxx@p http://me:xxxxx@h/a?b=c"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
