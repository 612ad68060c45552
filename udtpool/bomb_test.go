package udtpool

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHeaderBombs: a server whose answer never gets to its end is read no further
// than the bound of a header, in which informational answers count, and is asked the
// next time as if nothing had been.
func TestHeaderBombs(t *testing.T) {
	for name, bomb := range map[string]struct {
		first, endless string
	}{
		"fields":        {"HTTP/1.1 200 OK\r\n", "X: x\r\n"},
		"one field":     {"HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1000)},
		"one name":      {"HTTP/1.1 200 OK\r\n", strings.Repeat("x", 1000)},
		"status line":   {"HTTP/1.1 200 ", strings.Repeat("x", 1000)},
		"informational": {"", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"},
		"large ones":    {"", "HTTP/1.1 103 Early Hints\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, Config{Connections: 1}, func(t *testing.T, n *network, p *Pool) {
				var written atomic.Int64
				u := n.listenRaw(t, "h:9000", func(i int, c net.Conn) {
					if readRequest(c) != nil {
						return
					}
					if i > 0 {
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						return
					}
					k, err := io.WriteString(c, bomb.first)
					for written.Add(int64(k)); err == nil; written.Add(int64(k)) {
						k, err = io.WriteString(c, bomb.endless)
					}
				})
				if _, err := get(t.Context(), p, u); err == nil || !strings.Contains(err.Error(), "response headers exceeded") {
					t.Errorf("err = %v", err)
				}
				if most := int64(DefaultHeaderBytes + readBufferBytes); written.Load() > most {
					t.Errorf("%d bytes were read, %d at most are wanted", written.Load(), most)
				}
				if s := mustGet(t, p, u); s != "ok" {
					t.Errorf("afterwards: %q", s)
				}
			})
		})
	}
}

// TestHeaderBytes: a header may be as large as the configuration says.
func TestHeaderBytes(t *testing.T) {
	const most = 4 << 10
	for _, tt := range []struct {
		size int // of the header
		ok   bool
	}{{most / 2, true}, {most - 1, true}, {most + 100, false}, {DefaultHeaderBytes, false}} {
		bubble(t, Config{Connections: 1, HeaderBytes: most}, func(t *testing.T, n *network, p *Pool) {
			u := n.listenRaw(t, "h:9000", func(_ int, c net.Conn) {
				if readRequest(c) != nil {
					return
				}
				const begin, end = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ", "\r\n\r\n"
				io.WriteString(c, begin+strings.Repeat("x", tt.size-len(begin)-len(end))+end+"ok")
			})
			if s, err := get(t.Context(), p, u); (err == nil && s == "ok") != tt.ok || err != nil && !strings.Contains(err.Error(), "headers exceeded 4096 bytes") {
				t.Errorf("header of %d bytes: %q, %v", tt.size, s, err)
			}
		})
	}
}
