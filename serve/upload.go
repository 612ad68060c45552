package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Uploads, all of which end in the folder of partial files (upload_folder.go)
// until they are complete, synced and right:
//
//   - whole bodies, of PUT and of forms: upload_whole.go
//   - in parts, checked against a hash tree and resumable: upload_parts.go has
//     the requests, upload_partial.go one such upload, upload_open.go those
//     that requests are working on
//
// docs/upload.md specifies what clients see.

// The defaults of UploadOptions.
const (
	DefaultUploadQuota   = 100 << 30
	DefaultUploadMaxSize = 50 << 30
	DefaultUploadExpire  = 72 * time.Hour
)

// UploadOptions are the settings of uploads; a zero field asks for its default.
type UploadOptions struct {
	// Quota is how many bytes the folder may hold, what was there before and
	// partial uploads at their full size included. Each file counts in blocks of
	// 4 KiB.
	Quota int64

	// MaxSize bounds one file, in bytes.
	MaxSize int64

	// Expire is after how long without a request a partial upload is removed. One
	// that has brought nothing but the tree goes after an hour if that is less.
	Expire time.Duration

	// NoForm leaves the form for browsers out of listings.
	NoForm bool
}

func (o UploadOptions) withDefaults() UploadOptions {
	if o.Quota == 0 {
		o.Quota = DefaultUploadQuota
	}
	if o.MaxSize == 0 {
		o.MaxSize = DefaultUploadMaxSize
	}
	if o.Expire == 0 {
		o.Expire = DefaultUploadExpire
	}
	return o
}

// emptyExpire is Expire for uploads that have brought nothing but the tree, which
// takes little to send and reserves much.
const emptyExpire = time.Hour

// expiry returns after how long without a request an upload is removed, which has
// brought data, right or not, or none.
func (o UploadOptions) expiry(data bool) time.Duration {
	if data {
		return o.Expire
	}
	return min(o.Expire, emptyExpire)
}

// uploads takes files from clients.
type uploads struct {
	o        UploadOptions
	root     *os.Root // the folder that is served
	dotFiles bool
	dir      uploadDir
	quota    *quota
	origins  *http.CrossOriginProtection
	log      *slog.Logger

	stop     chan struct{}  // ends the sweeper
	sweeping sync.WaitGroup // the sweeper, which close awaits

	received atomic.Int64 // bytes of bodies
	stored   atomic.Int64 // files

	mu       sync.Mutex
	open     map[string]*partial // by id, those that requests are working on; guarded by mu
	finished map[string]string   // id → path of some that were completed; guarded by mu
	left     map[string]bool     // what sweep has reserved room for; guarded by mu
}

// newUploads prepares the folder of partial files inside root, removes what has
// expired there, and goes on doing that until close.
func newUploads(root *os.Root, o UploadOptions, dotFiles bool, log *slog.Logger) (*uploads, error) {
	if o.Quota < 0 || o.MaxSize < 0 || o.Expire < 0 {
		return nil, fmt.Errorf("serve: negative option: Quota %d, MaxSize %d, Expire %v", o.Quota, o.MaxSize, o.Expire)
	}
	folder, err := openFolder(root)
	if err != nil {
		return nil, fmt.Errorf("serve: prepare for uploads: %w", err)
	}
	s := makeUploads(root, folder, o, dotFiles, log)
	s.sweep(folder, time.Now())
	s.sweeping.Go(func() {
		tick := time.NewTicker(min(max(s.o.Expire/16, time.Minute), time.Hour))
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				s.sweep(folder, now)
			case <-s.stop:
				return
			}
		}
	})
	return s, nil
}

// makeUploads returns uploads without a sweeper.
func makeUploads(root *os.Root, dir uploadDir, o UploadOptions, dotFiles bool, log *slog.Logger) *uploads {
	o = o.withDefaults()
	return &uploads{
		o: o, root: root, dotFiles: dotFiles, dir: dir, log: log,
		quota:   newQuota(o.Quota, func() int64 { return folderSize(root) }),
		origins: http.NewCrossOriginProtection(), stop: make(chan struct{}),
		open: make(map[string]*partial), finished: make(map[string]string), left: make(map[string]bool),
	}
}

// close stops the sweeper. No request is being served any more.
func (s *uploads) close() error {
	close(s.stop)
	s.sweeping.Wait()
	return s.dir.Close()
}

// IsUpload reports whether r is about an upload, and not about a file that is
// there.
func IsUpload(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r.URL.RawQuery != "" && r.URL.Query().Has(uploadParam)
	}
	return true
}

// SplitUploads returns a handler that hands requests about uploads to one handler
// and all others to another.
func SplitUploads(uploads, others http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if IsUpload(r) {
			uploads.ServeHTTP(w, r)
		} else {
			others.ServeHTTP(w, r)
		}
	})
}

// uploadMethods is what Allow says where uploads are taken.
const uploadMethods = "GET, HEAD, PUT, POST, PATCH, DELETE"

// serve answers a request about an upload.
func (s *uploads) serve(w *response, r *http.Request) {
	// Pages of other servers must not make a browser upload: it may have access
	// that their authors have not.
	if err := s.origins.Check(r); err != nil {
		http.Error(w, "a page of another server may not upload", http.StatusForbidden)
		return
	}
	name, folder, err := localPath(r, s.dotFiles)
	if err == nil {
		err = checkUploadName(r.URL.Path)
	}
	if err == nil && throughUploads(s.root, name) {
		err = errNotFound
	}
	id := r.URL.Query().Get(uploadParam)
	switch {
	case err != nil:
	case r.Header.Get("Content-Encoding") != "" && r.Header.Get("Content-Encoding") != "identity":
		err = &uploadError{http.StatusUnsupportedMediaType, "bodies with a Content-Encoding are not taken"}
	case r.Method == http.MethodPost && folder:
		err = s.form(w, r, name)
	case folder:
		err = &uploadError{http.StatusBadRequest, "the path of a file does not end in a slash"}
	case r.Method == http.MethodPut && id == "":
		err = s.put(w, r, name)
	case r.Method == http.MethodPost && id == "":
		err = s.create(w, r, name)
	case r.Method == http.MethodPatch && id != "":
		err = s.patch(w, r, name, id)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && id != "":
		err = s.tell(w, r, name, id)
	case r.Method == http.MethodDelete && id != "":
		err = s.abandon(w, name, id)
	default:
		w.Header().Set("Allow", uploadMethods)
		err = &uploadError{http.StatusMethodNotAllowed, "PUT a file, POST a form or a hash tree, PATCH and DELETE an upload"}
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

// An uploadError is what the client is told.
type uploadError struct {
	status int
	text   string
}

func (e *uploadError) Error() string { return e.text }

var (
	errExists     = &uploadError{http.StatusConflict, "a file of this name exists, and nothing is overwritten"}
	errNoFolder   = &uploadError{http.StatusNotFound, "there is no such folder, and none is made"}
	errUnwritable = &uploadError{http.StatusMethodNotAllowed, "the server cannot put files into this folder"}
	errNoUpload   = &uploadError{http.StatusNotFound, "there is no such upload; it may have been removed as abandoned"}
	errTooLarge   = &uploadError{http.StatusRequestEntityTooLarge, "the file is larger than this server takes (--upload-max-size)"}
	errQuota      = &uploadError{http.StatusInsufficientStorage, "no room: the quota of this server (--upload-quota) is used up"}
	errFull       = &uploadError{http.StatusInsufficientStorage, "no room: the disk of this server is full"}
	errManyPartly = &uploadError{http.StatusServiceUnavailable, "too many uploads are unfinished"}
	errHeld       = &uploadError{http.StatusServiceUnavailable, "another request or process of the server holds this upload"}
	errSuperseded = &uploadError{http.StatusServiceUnavailable, "another request sends the same piece"}
	errSlowBody   = &uploadError{http.StatusRequestTimeout, "the body comes too slowly (--min-rate)"}
	errShortBody  = &uploadError{http.StatusBadRequest, "the body ends early"}
	errBadName    = &uploadError{http.StatusBadRequest, "this cannot be the name of a file here"}
)

// fail answers r with what err means to the client.
func (s *uploads) fail(w *response, r *http.Request, err error) {
	told := toldOf(err)
	switch {
	case told.status == http.StatusInternalServerError:
		s.log.Error("upload failed", "path", r.URL.EscapedPath(), "err", err)
	case told == errExists && r.Header.Get("If-None-Match") == "*":
		told = &uploadError{http.StatusPreconditionFailed, told.text}
	case told.status == http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	case told == errUnwritable:
		w.Header().Set("Allow", "GET, HEAD")
	case told == errSlowBody:
		w.Header().Set("Connection", "close")
	}
	http.Error(w, told.text, told.status)
}

// toldOf returns what a client is told of err.
func toldOf(err error) *uploadError {
	if told, ok := errors.AsType[*uploadError](err); ok {
		return told
	}
	switch {
	case errors.Is(err, errNotFound):
		return errBadName
	case errors.Is(err, errTooSlow), errors.Is(err, os.ErrDeadlineExceeded):
		return errSlowBody
	case errors.Is(err, os.ErrExist):
		return errExists
	case errors.Is(err, os.ErrNotExist):
		return errNoFolder
	case isFull(err):
		return errFull
	case isBadName(err):
		return errBadName
	}
	return &uploadError{http.StatusInternalServerError, "the server could not write it"}
}
