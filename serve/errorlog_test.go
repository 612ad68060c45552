package serve

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLogIsBounded: what a client can make a server write to its log in a minute does
// not grow with what it tries.
func TestLogIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		try   func(s *Server, i int)
		lines int    // in the first minute
		later string // what is said with the next try
	}{
		{"connections refused", func(s *Server, _ int) { s.gate.enter(time.Now(), netip.MustParseAddr("192.0.2.1")) }, 1, "refused_so_far="},
		{"errors of connections", func(s *Server, i int) {
			s.http.ErrorLog.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", i)
		}, errorsTold, fmt.Sprintf("errors=%d", 1000-errorsTold)},
		{"requests", func(s *Server, _ int) {
			s.http.Handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/a", nil))
		}, 2 * rateBurst, "status=200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				log := slog.New(slog.NewTextHandler(&out, nil))
				f := serveFolder(t, Options{Logger: log}, map[string]string{"a": "abc"})
				s := NewServer(http.HandlerFunc(f.ServeHTTP), ServerOptions{Limits: Limits{ConnsPerAddr: 1, RequestRate: 2}, Logger: log})
				for i := range 1000 {
					tt.try(s, i)
				}
				if n := strings.Count(out.String(), "\n"); n != tt.lines {
					t.Errorf("%d lines, want %d:\n%.1000s", n, tt.lines, &out)
				}
				time.Sleep(refusalNotice)
				out.Reset()
				tt.try(s, 0)
				if !strings.Contains(out.String(), tt.later) {
					t.Errorf("a minute later without %s: %s", tt.later, &out)
				}
			})
		})
	}
}
