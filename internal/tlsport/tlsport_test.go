package tlsport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/credentials"
	"github.com/chunkget/chunkget/internal/pin"
	"github.com/chunkget/chunkget/udt"
)

// selfSigned makes a key pair in a folder of its own.
func selfSigned(t *testing.T) Files {
	t.Helper()
	f, err := SelfSigned(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func open(t *testing.T, f Files, log io.Writer) *Source {
	t.Helper()
	s, err := Open(f, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// transports are the ways to listen and to dial.
var transports = map[string]struct {
	listen func() (net.Listener, error)
	dial   func(ctx context.Context, address string) (net.Conn, error)
}{
	"tcp": {
		func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
	},
	"udt": {
		func() (net.Listener, error) { return udt.Listen("udt", "127.0.0.1:0") },
		func(ctx context.Context, address string) (net.Conn, error) {
			return new(udt.Dialer).DialContext(ctx, "udt", address)
		},
	},
}

// serve runs an HTTP server behind Wrap on each transport and calls f with what
// dials it.
func serve(t *testing.T, o Options, f func(t *testing.T, dial func() net.Conn)) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			inner, err := tr.listen()
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%s %d", r.URL.Path, r.ContentLength)
			})}
			var serving sync.WaitGroup
			serving.Go(func() { srv.Serve(Wrap(inner, o)) })
			defer serving.Wait()
			defer srv.Close()
			f(t, func() net.Conn {
				c, err := tr.dial(t.Context(), inner.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(time.Minute)) // only ends a test that would hang
				return c
			})
		})
	}
}

// ask makes two requests over c and returns all that came back.
func ask(c net.Conn) string {
	io.WriteString(c, "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	b, _ := io.ReadAll(c)
	return string(b)
}

func answered(s string) bool {
	return strings.Contains(s, "/a 0") && strings.Contains(s, "/b 0")
}

func TestBothOnOnePort(t *testing.T) {
	source := open(t, selfSigned(t), io.Discard)
	pinned := source.Pin().Config(&tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(8)})
	serve(t, Options{Source: source}, func(t *testing.T, dial func() net.Conn) {
		plain := dial()
		defer plain.Close()
		if got := ask(plain); !answered(got) {
			t.Errorf("plain: %q", got)
		}
		for i := range 2 {
			secure := tls.Client(dial(), pinned)
			defer secure.Close()
			if got := ask(secure); !answered(got) {
				t.Fatalf("TLS: %q", got)
			}
			s := secure.ConnectionState()
			if s.Version != tls.VersionTLS13 || i > 0 && !s.DidResume {
				t.Errorf("connection %d: version %x, resumed %v", i, s.Version, s.DidResume)
			}
		}
		// One byte at a time.
		slow := tls.Client(trickle{dial()}, pinned)
		defer slow.Close()
		if got := ask(slow); !answered(got) {
			t.Errorf("byte by byte: %q", got)
		}
		// A connection that says nothing is there when the server is closed.
		silent := dial()
		defer silent.Close()
		old := tls.Client(dial(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		defer old.Close()
		if err := old.Handshake(); err == nil {
			t.Error("TLS 1.2 is accepted")
		}
	})
}

// trickle writes one byte at a time.
type trickle struct{ net.Conn }

func (c trickle) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestPlainIsRefused(t *testing.T) {
	source := open(t, selfSigned(t), io.Discard)
	serve(t, Options{Source: source, Require: true}, func(t *testing.T, dial func() net.Conn) {
		c := dial()
		defer c.Close()
		got := ask(c)
		if !strings.HasPrefix(got, "HTTP/1.1 400 TLS required\r\n") || !strings.HasSuffix(got, refusalText) || strings.Contains(got, "/a 0") {
			t.Errorf("got %q", got)
		}
		secure := tls.Client(dial(), source.Pin().Config(&tls.Config{}))
		defer secure.Close()
		if got := ask(secure); !answered(got) {
			t.Errorf("TLS: %q", got)
		}
	})
}

func TestWrongPin(t *testing.T) {
	source := open(t, selfSigned(t), io.Discard)
	serve(t, Options{Source: source}, func(t *testing.T, dial func() net.Conn) {
		c := tls.Client(dial(), pin.Pin{1}.Config(&tls.Config{}))
		defer c.Close()
		if _, ok := c.Handshake().(*pin.MismatchError); !ok {
			t.Errorf("handshake: %v", c.Handshake())
		}
	})
}

// The client hears why it is refused, also when it has sent a request by then.
func TestClientCertificates(t *testing.T) {
	authority, other := selfSigned(t), selfSigned(t)
	files := selfSigned(t)
	files.ClientCA = clientOf(t, authority)
	source := open(t, files, io.Discard)
	serve(t, Options{Source: source}, func(t *testing.T, dial func() net.Conn) {
		for _, tt := range []struct {
			files *Files
			want  string
		}{{nil, "certificate required"}, {&other, "unknown certificate authority"}, {&authority, ""}} {
			base := &tls.Config{}
			if tt.files != nil {
				cert, err := credentials.LoadPair(clientOf(t, *tt.files), clientOf(t, *tt.files))
				if err != nil {
					t.Fatal(err)
				}
				base.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			c := tls.Client(dial(), source.Pin().Config(base))
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			got, err := io.ReadAll(c)
			if tt.want == "" && (err != nil || !strings.Contains(string(got), "/a 0")) {
				t.Errorf("a client that is known: %q, %v", got, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("want %q, got %q, %v", tt.want, got, err)
			}
			c.Close()
		}
	})
}

// clientOf returns the file of a self-signed certificate for clients with the key
// of f.
func clientOf(t *testing.T, f Files) string {
	t.Helper()
	name := f.Cert + ".client"
	if _, err := os.Stat(name); err == nil {
		return name
	}
	pair, err := credentials.LoadPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	template := *pair.Leaf
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	content, err := signed(&template, pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Closing ends a Read that waits for the first byte, and one that never began.
func TestCloseBeforeTheFirstByte(t *testing.T) {
	source := open(t, selfSigned(t), io.Discard)
	for _, reading := range []bool{true, false} {
		near, far := net.Pipe()
		defer far.Close()
		began := make(chan struct{})
		c := &Conn{Conn: &hooked{Conn: near, reading: func() { close(began) }}, opts: &Options{Source: source}, decided: make(chan struct{})}
		var wg sync.WaitGroup
		if reading {
			wg.Go(func() {
				if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil {
					t.Errorf("read %d bytes, %v", n, err)
				}
			})
			<-began
		}
		c.Close()
		wg.Wait()
		if n, err := c.Write([]byte("x")); n != 0 || err == nil {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
	}
}

type hooked struct {
	net.Conn
	reading func()
	once    sync.Once
}

func (c *hooked) Read(p []byte) (int, error) {
	c.once.Do(c.reading)
	return c.Conn.Read(p)
}

// Plain text is handed to the transport as a whole.
func TestPlainReadFrom(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	var used atomic.Bool
	c := &Conn{Conn: readerFrom{near, &used}, opts: &Options{}, decided: make(chan struct{})}
	go far.Write([]byte("GET"))
	if _, err := c.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFrom(strings.NewReader("x")); err != nil || !used.Load() {
		t.Errorf("%v, used %v", err, used.Load())
	}
}

type readerFrom struct {
	net.Conn
	used *atomic.Bool
}

func (c readerFrom) ReadFrom(r io.Reader) (int64, error) {
	c.used.Store(true)
	return io.Copy(io.Discard, r)
}

func TestReload(t *testing.T) {
	now := time.Now()
	files, next := selfSigned(t), selfSigned(t)
	var log bytes.Buffer
	s := open(t, files, &log)
	s.looked = now
	first := s.Config(now)
	replace := func(with string, mode os.FileMode) {
		t.Helper()
		b := []byte(with)
		if filepath.IsAbs(with) {
			var err error
			if b, err = os.ReadFile(with); err != nil {
				t.Fatal(err)
			}
		}
		tmp := files.Cert + ".new"
		if err := os.WriteFile(tmp, b, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, files.Cert); err != nil {
			t.Fatal(err)
		}
	}
	replace(next.Cert, 0o600)
	if s.Config(now.Add(checkInterval-1)) != first {
		t.Error("looked twice within the interval")
	}
	now = now.Add(checkInterval)
	second := s.Config(now)
	if second == first || s.Pin() != open(t, next, io.Discard).Pin() {
		t.Error("the new file is not in use")
	}
	now = now.Add(checkInterval)
	if s.Config(now) != second {
		t.Error("read again without a change")
	}
	bad := map[string]func(){
		"no PEM":  func() { replace("nonsense", 0o600) },
		"missing": func() { os.Remove(files.Cert) },
	}
	if runtime.GOOS != "windows" {
		bad["exposed"] = func() { replace(next.Cert, 0o644) }
	}
	for what, breakIt := range bad {
		log.Reset()
		breakIt()
		for range 3 {
			now = now.Add(checkInterval)
			if s.Config(now) != second {
				t.Errorf("%s: the old certificate is not in use", what)
			}
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%s: %d warnings: %s", what, n, &log)
		}
	}
	replace(next.Cert, 0o600)
	now = now.Add(checkInterval)
	if c := s.Config(now); c == second || len(c.Certificates) != 1 {
		t.Error("the repaired file is not in use")
	}
}

func TestSelfSigned(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	f, err := SelfSigned(dir, net.IPv4(192, 0, 2, 7), now)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(f.Key); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	s := open(t, f, io.Discard)
	again, err := SelfSigned(dir, nil, now)
	if err != nil || again != f || open(t, again, io.Discard).Pin() != s.Pin() {
		t.Errorf("not the same pair: %v, %v", again, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files in the folder", len(entries))
	}
	// It verifies as its own authority, too.
	leaf := s.config.Certificates[0].Leaf
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, name := range []string{"localhost", "192.0.2.7", "127.0.0.1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := SelfSigned(filepath.Join(dir, "missing"), nil, now); err == nil {
		t.Error("no error without a folder")
	}
}
