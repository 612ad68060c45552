package udt

import (
	"net/netip"
	"testing"
	"time"
)

// A cookie is good for the epoch it was made in and the next.
func TestCookieLife(t *testing.T) {
	jar := newCookieJar()
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	var h handshake
	for _, made := range []time.Duration{0, cookieEpoch - 1, cookieEpoch, 100*cookieEpoch + 5} {
		h.cookie = jar.make(made, from, h)
		epoch := made.Truncate(cookieEpoch)
		for _, tt := range []struct {
			at   time.Duration
			want bool
		}{
			{max(epoch-1, 0), epoch == 0}, // not before its time
			{epoch, true},
			{made, true},
			{epoch + cookieEpoch, true},
			{epoch + 2*cookieEpoch - 1, true},
			{epoch + 2*cookieEpoch, false},
			{epoch + 60*cookieEpoch, false},
		} {
			if got := jar.valid(tt.at, from, h); got != tt.want {
				t.Errorf("made at %v, seen at %v: %v", made, tt.at, got)
			}
		}
	}
}

// A cookie is bound to the address and to everything in the request that the
// connection is made from, but not to what changes from the first request to
// the second.
func TestCookieIsBound(t *testing.T) {
	jar := newCookieJar()
	from := netip.MustParseAddrPort("192.0.2.1:4000")
	h := handshake{version: 4, sockType: 1, isn: 1000, mss: 1500, window: 8192, reqType: reqInduction, id: 77}
	h.cookie = jar.make(time.Hour, from, h)
	for _, tt := range []struct {
		name   string
		change func(*handshake, *netip.AddrPort)
		want   bool
	}{
		{"nothing", func(*handshake, *netip.AddrPort) {}, true},
		{"request type", func(h *handshake, _ *netip.AddrPort) { h.reqType = reqConclusion }, true},
		{"IP field", func(h *handshake, _ *netip.AddrPort) { h.addr = netip.MustParseAddr("::1") }, true},
		{"version", func(h *handshake, _ *netip.AddrPort) { h.version++ }, false},
		{"socket type", func(h *handshake, _ *netip.AddrPort) { h.sockType++ }, false},
		{"sequence number", func(h *handshake, _ *netip.AddrPort) { h.isn++ }, false},
		{"MSS", func(h *handshake, _ *netip.AddrPort) { h.mss++ }, false},
		{"window", func(h *handshake, _ *netip.AddrPort) { h.window++ }, false},
		{"socket id", func(h *handshake, _ *netip.AddrPort) { h.id++ }, false},
		{"cookie", func(h *handshake, _ *netip.AddrPort) { h.cookie++ }, false},
		{"port", func(_ *handshake, a *netip.AddrPort) { *a = netip.AddrPortFrom(a.Addr(), 4001) }, false},
		{"address", func(_ *handshake, a *netip.AddrPort) { *a = netip.AddrPortFrom(a.Addr().Next(), a.Port()) }, false},
	} {
		h, from := h, from
		tt.change(&h, &from)
		if got := jar.valid(time.Hour, from, h); got != tt.want {
			t.Errorf("%s changed: valid %v", tt.name, got)
		}
	}
	if newCookieJar().valid(time.Hour, from, h) {
		t.Error("another listener's cookie is valid")
	}
}
