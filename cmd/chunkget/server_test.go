package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/serve"
	"github.com/chunkget/chunkget/udt"
)

// server is one server of a script.
type server struct {
	url   string
	pin   string        // fragment of URLs, "" without TLS
	held  chan struct{} // closed when data is being held back
	close func()

	hold     int64 // bytes of each file beyond which ranges are held back, -1 for all of it
	heldOnce sync.Once
	gate     chan struct{} // closed by openGate
	gateOnce sync.Once

	noRanges atomic.Bool // Range does not count
}

// servers are the kinds of server there are. Each serves the files of a folder.
//
//	chunkserve   all that package serve has, over TCP
//	udt          the same over UDT
//	uploads      like chunkserve, and takes uploads, with the quota ARG if there is one
//	udtuploads   the same over UDT
//	https, udts  these with TLS, see startSecure
//	range        ranges and strong ETags and nothing else, over TCP
//	plain        neither
//	whole        like chunkserve, but sends whole files only
//	named        like range, with the Content-Disposition given as ARG
//	wants        like range, but answers 403 without the field ARG, NAME=VALUE
//	refuses      like chunkserve, but answers 418 with the field ARG
//	redirect     sends to the same path at ARG
//	udtredirect  the same over UDT
//	bounce       with ?to=URL wants the field Authorization, and redirects to the same path at
//	             URL; without it is like chunkserve, and answers 418 with that field
//	udtbounce    the same over UDT
//	proxy        a proxy that answers for every host like range
//	misdigest    like range, with a Repr-Digest that is wrong
//	mistold      like chunkserve, with a Repr-Digest that is wrong
//	linked       like range, with the right one, and names the same path at ARG
//	corrupt      like chunkserve, with the byte at offset ARG wrong
//	basic        like range, for those with the login ARG, NAME:PASSWORD
//	picky        like uploads, but takes no piece
//	silent       reads requests and answers none, which counts as holding data back
//	udtsilent    the same over UDT
//	moody        like range, but from the second request for data on as ARG says, see moods
//	udtmoody     the same over UDT
//	bomb         begins answers with what ARG says, fields, field or 103, and ends none
//	udtbomb      the same over UDT
//	status       answers with the status ARG
//	large        like range, with a field of ARG bytes
//	udtlarge     the same over UDT
//	busy         answers 503 and asks to come again after ARG seconds
//	udtbusy      the same over UDT
//	blocked      like chunkserve, at a udt:// URL, or one of the scheme ARG, whose UDP port is silent
//	blockedudts  like https, at a udts:// URL whose UDP port is silent
//	offers       like chunkserve, and offers UDT, which answers unless ARG is mute; https does so with the ARG offer
//	cut          like chunkserve over UDT and TCP, until ARG bytes have gone over UDP: then it is silent
//	mute         a UDP port where nobody answers
//	closed       a TCP port that is closed, at an http:// URL, or one of the scheme ARG
//
// For all but the last two ARG may be hold=N: of a range that is asked for, what
// lies behind the first N bytes of the file waits until the gate is opened. So the
// first N bytes reach a client sooner or later, however it shares them out.
var servers = map[string]func(s *server, dir, arg string) (http.Handler, func(), error){
	"chunkserve": chunkserveHandler,
	"udt":        chunkserveHandler,
	"blocked":    chunkserveHandler,
	"offers":     offersHandler,
	"uploads":    uploadsHandler,
	"udtuploads": uploadsHandler,
	"range": func(_ *server, dir, _ string) (http.Handler, func(), error) {
		return files{dir: dir, ranges: true}, nil, nil
	},
	"plain": func(_ *server, dir, _ string) (http.Handler, func(), error) { return files{dir: dir}, nil, nil },
	"whole": func(s *server, dir, _ string) (http.Handler, func(), error) {
		h, stop, err := chunkserveHandler(s, dir, "")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context()) // whether to hold back is for the request as it came
			r.Header.Del("Range")
			h.ServeHTTP(w, r)
		}), stop, err
	},
	"named": func(_ *server, dir, arg string) (http.Handler, func(), error) {
		disposition, err := strconv.Unquote(`"` + arg + `"`)
		return files{dir: dir, ranges: true, disposition: disposition}, nil, err
	},
	"wants": func(_ *server, dir, arg string) (http.Handler, func(), error) {
		return answeringUnless(files{dir: dir, ranges: true}, http.StatusForbidden, func(r *http.Request) bool {
			name, value, _ := strings.Cut(arg, "=")
			return r.Header.Get(name) == value
		}), nil, nil
	},
	"refuses": func(s *server, dir, arg string) (http.Handler, func(), error) {
		h, stop, err := chunkserveHandler(s, dir, "")
		return answeringUnless(h, http.StatusTeapot, func(r *http.Request) bool { return r.Header.Get(arg) == "" }), stop, err
	},
	"bounce":      bounceHandler,
	"udtbounce":   bounceHandler,
	"redirect":    redirectHandler,
	"udtredirect": redirectHandler,
	"proxy": func(_ *server, dir, _ string) (http.Handler, func(), error) {
		return answeringUnless(files{dir: dir, ranges: true}, http.StatusBadRequest, func(r *http.Request) bool {
			return r.URL.Host != ""
		}), nil, nil
	},
	"misdigest": func(_ *server, dir, _ string) (http.Handler, func(), error) {
		return withHeader{files{dir: dir, ranges: true}, "Repr-Digest", digestOfNothing}, nil, nil
	},
	"mistold": func(s *server, dir, _ string) (http.Handler, func(), error) {
		h, stop, err := chunkserveHandler(s, dir, "")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(mistelling{w}, r) }), stop, err
	},
	"linked": func(_ *server, dir, arg string) (http.Handler, func(), error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			data, err := os.ReadFile(filepath.Join(dir, path.Base(r.URL.Path)))
			if err != nil {
				http.NotFound(w, r)
				return
			}
			sum := sha256.Sum256(data)
			w.Header().Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
			w.Header().Set("Link", "<"+arg+r.URL.Path+">; rel=duplicate")
			files{dir: dir, ranges: true}.ServeHTTP(w, r)
		}), nil, nil
	},
	"corrupt": func(s *server, dir, arg string) (http.Handler, func(), error) {
		h, stop, err := chunkserveHandler(s, dir, "")
		if err != nil {
			return nil, nil, err
		}
		at, err := strconv.ParseInt(arg, 10, 64)
		return corrupting{h, at}, stop, err
	},
	"basic": func(_ *server, dir, arg string) (http.Handler, func(), error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name, password, _ := r.BasicAuth(); name+":"+password != arg {
				http.Error(w, "who are you?", http.StatusUnauthorized)
				return
			}
			files{dir: dir, ranges: true}.ServeHTTP(w, r)
		}), nil, nil
	},
	"picky": func(s *server, dir, _ string) (http.Handler, func(), error) {
		h, stop, err := uploadsHandler(s, dir, "")
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusUnprocessableEntity)
				io.WriteString(w, `{"wrong_pieces":[0]}`)
				return
			}
			h.ServeHTTP(w, r)
		}), stop, err
	},
	"silent":    silentHandler,
	"udtsilent": silentHandler,
	"moody":     moodyHandler,
	"udtmoody":  moodyHandler,
	"bomb":      bombHandler,
	"udtbomb":   bombHandler,
	"large":     largeHandler,
	"udtlarge":  largeHandler,
	"busy":      busyHandler,
	"udtbusy":   busyHandler,
	"status": func(_ *server, _, arg string) (http.Handler, func(), error) {
		code, err := strconv.Atoi(arg)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no file, only this text", code)
		}), nil, err
	},
}

// bombs are beginnings of answers, and what goes on after them without end.
var bombs = map[string][2]string{
	"fields": {"HTTP/1.1 200 OK\r\n", "X: x\r\n"},
	"field":  {"HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 1000)},
	"103":    {"", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"},
}

func bombHandler(_ *server, _, arg string) (http.Handler, func(), error) {
	bomb, ok := bombs[arg]
	if !ok {
		return nil, nil, fmt.Errorf("no bomb %q", arg)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(*holdingWriter).ResponseWriter.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, err = io.WriteString(c, bomb[0])
		for block := strings.Repeat(bomb[1], 100); err == nil; {
			_, err = io.WriteString(c, block)
		}
	}), nil, nil
}

func redirectHandler(_ *server, _, arg string) (http.Handler, func(), error) {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, arg+r.URL.Path, http.StatusFound)
	}), nil, nil
}

func bounceHandler(s *server, dir, _ string) (http.Handler, func(), error) {
	h, stop, err := chunkserveHandler(s, dir, "")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := r.URL.Query().Get("to")
		switch told := r.Header.Get("Authorization") != ""; {
		case to != "" && !told:
			http.Error(w, "who are you?", http.StatusUnauthorized)
		case to != "":
			http.Redirect(w, r, to+r.URL.Path, http.StatusFound)
		case told:
			http.Error(w, "no", http.StatusTeapot)
		default:
			h.ServeHTTP(w, r)
		}
	}), stop, err
}

func largeHandler(_ *server, dir, arg string) (http.Handler, func(), error) {
	size, err := units.ParseSize(arg)
	return withHeader{files{dir: dir, ranges: true}, "X-Pad", strings.Repeat("x", int(size))}, nil, err
}

func silentHandler(s *server, _, _ string) (http.Handler, func(), error) {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.heldOnce.Do(func() { close(s.held) })
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}), nil, nil
}

func busyHandler(_ *server, _, arg string) (http.Handler, func(), error) {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", arg)
		w.WriteHeader(http.StatusServiceUnavailable)
	}), nil, nil
}

// answeringUnless answers with a status unless ok.
func answeringUnless(h http.Handler, status int, ok func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ok(r) {
			http.Error(w, "no", status)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func startServer(kind, dir, arg string) (*server, error) {
	if kind == "udts" || kind == "https" || kind == "blockedudts" {
		return startSecure(kind, dir, arg)
	}
	if kind == "cut" {
		return startCut(dir, arg)
	}
	s := &server{held: make(chan struct{}), gate: make(chan struct{}), hold: -1}
	if n, ok := strings.CutPrefix(arg, "hold="); ok {
		size, err := units.ParseSize(n)
		if err != nil {
			return nil, err
		}
		s.hold, arg = int64(size), ""
	}
	switch kind {
	case "mute":
		address, stop, err := mutePort()
		if err != nil {
			return nil, err
		}
		s.url, s.close = "udt://"+address, stop
		return s, nil
	case "closed":
		// A port that was free a moment ago may be another test's now, this one is nobody's.
		s.url, s.close = cmp.Or(arg, "http")+"://127.0.0.1:1", func() {}
		return s, nil
	}
	newHandler, ok := servers[kind]
	if !ok {
		return nil, fmt.Errorf("no kind of server %q", kind)
	}
	h, stop, err := newHandler(s, dir, arg)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	var silent net.PacketConn
	switch {
	case strings.HasPrefix(kind, "udt"):
		l, err = udt.Listen("udt", "127.0.0.1:0")
		s.url = "udt://"
	case kind == "blocked":
		l, silent, err = silentPort()
	default:
		l, err = net.Listen("tcp", "127.0.0.1:0")
		s.url = "http://"
	}
	if err != nil {
		return nil, err
	}
	if kind == "blocked" {
		stopHandler := stop
		stop = func() {
			silent.Close()
			stopHandler()
		}
		s.url = cmp.Or(arg, "udt") + "://"
	}
	s.url += l.Addr().String()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.noRanges.Load() {
			r.Header.Del("Range")
		}
		h.ServeHTTP(&holdingWriter{ResponseWriter: w, server: s, request: r, offset: -1}, r)
	})}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(l) })
	s.close = func() {
		srv.Close()
		wg.Wait()
		if stop != nil {
			stop()
		}
	}
	return s, nil
}

// portTries is how many ports are tried for one that is free for both transports: of either
// number, the other's may be in use by somebody else.
const portTries = 20

// samePort opens a TCP port of loopback, and with open a UDP port of the same number.
func samePort[U any](open func(address string) (U, error)) (overTCP net.Listener, overUDP U, err error) {
	for range portTries {
		if overTCP, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			break
		}
		if overUDP, err = open(overTCP.Addr().String()); err == nil {
			break
		}
		overTCP.Close()
	}
	return overTCP, overUDP, err
}

// silentPort opens a TCP port of loopback, and a UDP port of the same number, at which
// nobody answers.
func silentPort() (l net.Listener, silent net.PacketConn, err error) {
	return samePort(func(address string) (net.PacketConn, error) { return net.ListenPacket("udp", address) })
}

// listenUDT opens a UDP port for UDT.
func listenUDT(address string) (net.Listener, error) { return udt.Listen("udt", address) }

// mutePort opens a UDP port of loopback at which nobody answers. The TCP port of the same
// number is that of a connection, so that nobody comes to listen there.
func mutePort() (address string, stop func(), err error) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	for range portTries {
		var silent net.PacketConn
		if silent, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			break
		}
		address = silent.LocalAddr().String()
		from := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
		var c net.Conn
		if c, err = from.Dial("tcp", other.Addr().String()); err == nil {
			return address, func() {
				c.Close()
				silent.Close()
				other.Close()
			}, nil
		}
		silent.Close()
	}
	other.Close()
	return "", nil, err
}

func (s *server) openGate() { s.gateOnce.Do(func() { close(s.gate) }) }

func chunkserveHandler(_ *server, dir, _ string) (http.Handler, func(), error) {
	return serveHandler(dir, serve.Options{})
}

// offersHandler serves over UDT as well, or seems to.
func offersHandler(_ *server, dir, arg string) (http.Handler, func(), error) {
	h, stop, err := chunkserveHandler(nil, dir, "")
	if err != nil {
		return nil, nil, err
	}
	if arg == "mute" {
		silent, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, nil, err
		}
		return withHeader{h, "Alt-Svc", `udt=":` + portOf(silent.LocalAddr().String()) + `"`}, func() {
			silent.Close()
			stop()
		}, nil
	}
	l, err := udt.Listen("udt", "127.0.0.1:0")
	if err != nil {
		stop()
		return nil, nil, err
	}
	srv := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { srv.Serve(l) })
	return withHeader{h, "Alt-Svc", `udt=":` + portOf(l.Addr().String()) + `"`}, func() {
		srv.Close()
		serving.Wait()
		stop()
	}, nil
}

func uploadsHandler(_ *server, dir, arg string) (http.Handler, func(), error) {
	o := &serve.UploadOptions{}
	if arg != "" {
		quota, err := units.ParseSize(arg)
		if err != nil {
			return nil, nil, err
		}
		o.Quota = int64(quota)
	}
	return serveHandler(dir, serve.Options{Upload: o})
}

func serveHandler(dir string, o serve.Options) (http.Handler, func(), error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	h, err := serve.New(root, o)
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return h, func() {
		h.Close()
		root.Close()
	}, nil
}

// holdingWriter holds back what lies behind a certain byte of the file in the
// answer to a range request.
type holdingWriter struct {
	http.ResponseWriter
	server  *server
	request *http.Request
	offset  int64 // of the next byte in the file, -1 before the first one
}

func (w *holdingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *holdingWriter) Write(b []byte) (n int, err error) {
	s := w.server
	if s.hold < 0 || w.request.Header.Get("Range") == "" {
		return w.ResponseWriter.Write(b)
	}
	if w.offset < 0 {
		w.offset = firstByte(w.Header())
	}
	if free := int(min(max(0, s.hold-w.offset), int64(len(b)))); free < len(b) {
		if n, err = w.ResponseWriter.Write(b[:free]); err != nil {
			return n, err
		}
		// What was written before must reach the client, or it could not be
		// expected to keep it.
		http.NewResponseController(w.ResponseWriter).Flush()
		s.heldOnce.Do(func() { close(s.held) })
		select {
		case <-s.gate:
		case <-w.request.Context().Done():
			return n, w.request.Context().Err()
		}
	}
	k, err := w.ResponseWriter.Write(b[n:])
	w.offset += int64(n + k)
	return n + k, err
}

// firstByte returns the offset of the first byte of an answer.
func firstByte(h http.Header) (offset int64) {
	fmt.Sscanf(h.Get("Content-Range"), "bytes %d-", &offset)
	return offset
}

// files serves a folder with nothing but the standard library.
type files struct {
	dir         string
	ranges      bool
	disposition string
}

func (f files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := os.ReadFile(filepath.Join(f.dir, filepath.FromSlash(path.Clean("/"+r.URL.Path))))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	if f.disposition != "" {
		w.Header().Set("Content-Disposition", f.disposition)
	}
	if !f.ranges {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		io.Copy(w, bytes.NewReader(data))
		return
	}
	if w.Header().Get("Etag") == "" {
		w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(data)))
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// digestOfNothing is the Repr-Digest of a file without any bytes.
var digestOfNothing = func() string {
	sum := sha256.Sum256(nil)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}()

// mistelling announces a wrong digest, whatever the handler has to say of it.
type mistelling struct{ http.ResponseWriter }

func (w mistelling) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w mistelling) WriteHeader(code int) {
	w.Header().Set("Repr-Digest", digestOfNothing)
	w.ResponseWriter.WriteHeader(code)
}

// withHeader adds a field to every answer.
type withHeader struct {
	http.Handler
	name, value string
}

func (h withHeader) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(h.name, h.value)
	h.Handler.ServeHTTP(w, r)
}

// corrupting damages the byte at one offset of every file.
type corrupting struct {
	http.Handler
	at int64
}

func (c corrupting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "" { // the tree is right
		c.Handler.ServeHTTP(w, r)
		return
	}
	c.Handler.ServeHTTP(&corruptingWriter{ResponseWriter: w, at: c.at, offset: -1}, r)
}

type corruptingWriter struct {
	http.ResponseWriter
	at     int64
	offset int64 // of the next byte in the file, -1 before the first one
}

func (w *corruptingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *corruptingWriter) Write(b []byte) (int, error) {
	if w.offset < 0 {
		w.offset = firstByte(w.Header())
	}
	if i := w.at - w.offset; i >= 0 && i < int64(len(b)) {
		b = bytes.Clone(b)
		b[i] ^= 1
	}
	n, err := w.ResponseWriter.Write(b)
	w.offset += int64(n)
	return n, err
}
