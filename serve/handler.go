package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Options are the settings of a Handler. The zero value is ready to use.
type Options struct {
	// DotFiles serves and lists names that begin with a dot, too.
	DotFiles bool

	// DisableCompression sends every body as it is, whatever a client accepts.
	DisableCompression bool

	// CacheFile is where digests are kept over restarts; empty keeps them in
	// memory only. Its folder must exist. One process can use the file at a time.
	CacheFile string

	// CacheSize bounds the digests kept in CacheFile, in bytes; 0 means 64 MiB.
	// One MiB covers files of 32 GiB.
	CacheSize int64

	// HashJobs is how many files are hashed at a time; 0 means 2.
	HashJobs int

	// MaxRanges is how many ranges a request may ask for; more are answered 416.
	// 0 means 16.
	MaxRanges int

	// Upload says how files are taken from clients; nil takes none.
	Upload *UploadOptions

	// Logger gets one record at level Info for each request, and what goes wrong
	// with hash jobs and their cache; nil logs nothing.
	Logger *slog.Logger
}

// A Handler serves the files of one folder. It is an http.Handler; its methods
// may be called from several goroutines at a time.
type Handler struct {
	root      *os.Root
	dotFiles  bool
	maxRanges int
	maxListed int
	compress  bool
	budget    *budget // of compression
	large     *budget // of answers that are composed in memory
	samples   *samples
	log       *slog.Logger
	hasher    *hasher
	leafJobs  chan struct{} // holds one element for each request that hashes leaves
	store     *store
	uploads   *uploads // nil without

	requests atomic.Int64
	sent     atomic.Int64 // bytes of bodies
}

// New returns a Handler for the folder root, which stays the caller's and must
// stay open until the Handler is closed.
func New(root *os.Root, o Options) (*Handler, error) {
	if o.CacheSize < 0 || o.HashJobs < 0 || o.MaxRanges < 0 {
		return nil, fmt.Errorf("serve: negative option: CacheSize %d, HashJobs %d, MaxRanges %d", o.CacheSize, o.HashJobs, o.MaxRanges)
	}
	folder, err := filepath.Abs(root.Name())
	if err != nil {
		return nil, fmt.Errorf("serve: find the folder %q: %w", root.Name(), err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheSize == 0 {
		o.CacheSize = defaultDiskLimit
	}
	if o.HashJobs == 0 {
		o.HashJobs = DefaultHashJobs
	}
	if o.MaxRanges == 0 {
		o.MaxRanges = DefaultMaxRanges
	}
	h := &Handler{root: root, dotFiles: o.DotFiles, maxRanges: o.MaxRanges, maxListed: maxListed, compress: !o.DisableCompression, log: o.Logger}
	h.budget, h.large = newBudget(codedInAll, codedPerClient), newBudget(largeInAll, largePerClient)
	h.samples = newSamples()
	if o.Upload != nil {
		if h.uploads, err = newUploads(root, *o.Upload, o.DotFiles, o.Logger); err != nil {
			return nil, err
		}
	}
	h.store = newStore(o.CacheFile, folder, o.CacheSize, o.Logger)
	h.leafJobs = make(chan struct{}, o.HashJobs)
	h.hasher = newHasher(h.openSource, h.store, o.HashJobs, o.Logger)
	return h, nil
}

// Close stops the hash jobs, waits for them, and closes the cache. Requests for
// digests that are not known fail from then on.
func (h *Handler) Close() error {
	h.hasher.close()
	err := h.store.close()
	if h.uploads != nil {
		err = errors.Join(err, h.uploads.close())
	}
	return err
}

// Stats are what a Handler has done and is doing.
type Stats struct {
	Requests      int64 `json:"requests"`       // requests begun
	BytesSent     int64 `json:"bytes_sent"`     // bytes of response bodies
	BytesReceived int64 `json:"bytes_received"` // bytes of uploads
	Uploads       int64 `json:"uploads"`        // files that were uploaded
	BytesHashed   int64 `json:"bytes_hashed"`   // bytes of files read by hash jobs that succeeded
	JobsRunning   int   `json:"jobs_running"`   // hash jobs running now
	JobsWaiting   int   `json:"jobs_waiting"`   // hash jobs waiting now
	CachedOnDisk  bool  `json:"cached_on_disk"` // whether digests are kept over restarts
}

// Stats returns a snapshot.
func (h *Handler) Stats() Stats {
	s := Stats{
		Requests: h.requests.Load(), BytesSent: h.sent.Load(), BytesHashed: h.hasher.hashed.Load(),
		CachedOnDisk: h.store.current() != nil,
	}
	s.JobsRunning, s.JobsWaiting = h.hasher.counts()
	if h.uploads != nil {
		s.BytesReceived, s.Uploads = h.uploads.received.Load(), h.uploads.stored.Load()
	}
	return s
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	h.requests.Add(1)
	w := newResponse(rw, &h.sent)
	start := time.Now()
	finished := false
	defer func() {
		// Also on a panic, which is how a response is aborted.
		h.log.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method),
			slog.String("path", r.URL.EscapedPath()),
			slog.Int("status", w.status),
			slog.Int64("bytes", w.bytes),
			slog.Duration("duration", time.Since(start)),
			slog.String("remote", r.RemoteAddr),
			slog.Bool("complete", finished))
	}()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.serve(w, r)
	finished = w.err == nil
	if !finished {
		// What the client has got so far must not look like all of it.
		panic(http.ErrAbortHandler)
	}
}

// serve finds out which resource r is about.
func (h *Handler) serve(w *response, r *http.Request) {
	if h.uploads != nil && IsUpload(r) {
		h.uploads.serve(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are supported", http.StatusMethodNotAllowed)
		return
	}
	name, wantDir, err := localPath(r, h.dotFiles)
	if err == nil && throughUploads(h.root, name) {
		err = errNotFound
	}
	if err != nil {
		h.fail(w, r, err)
		return
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f, err := openIn(h.root, name)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	defer f.Close()
	switch {
	case f.dir && !q.plain(), !f.dir && wantDir:
		h.fail(w, r, errNotFound)
	case f.dir && !wantDir:
		target := url.URL{Path: r.URL.Path + "/", RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", target.String())
		w.WriteHeader(http.StatusMovedPermanently)
	case f.dir:
		h.serveListing(w, r, f)
	case q.digest == digestTree:
		h.serveTree(w, r, f)
	case q.digest == digestLeaves:
		h.serveLeaves(w, r, f, q.pieces)
	case q.digest == digestMeta4:
		h.serveMetalink(w, r, f)
	case q.bytes != "":
		h.servePart(w, r, f, q.bytes)
	default:
		h.serveFile(w, r, f)
	}
}

// The values of the parameter digest.
const (
	digestTree   = "tree"
	digestLeaves = "leaves"
	digestMeta4  = "meta4"
)

// A query is what the query of a URL asks for.
type query struct {
	digest string // "" or one of the constants above
	pieces string // of digestLeaves, not parsed
	bytes  string // a part, not parsed; "" for the whole
}

// plain reports whether the query asks for the file itself.
func (q query) plain() bool { return q == query{} }

// parseQuery reads the parameters that we know; others say nothing to us. Its
// errors are fit for the client.
func parseQuery(raw string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, errors.New("malformed query")
	}
	var q query
	digest, parts := values["digest"], values["bytes"]
	switch {
	case len(digest)+len(parts) > 1:
		return query{}, errors.New("more than one of digest= and bytes=")
	case len(digest) == 1:
		switch q.digest = digest[0]; q.digest {
		case digestTree, digestMeta4:
		case digestLeaves:
			q.pieces = values.Get("pieces")
		default:
			return query{}, errors.New("digest= takes tree, leaves or meta4")
		}
	case len(parts) == 1:
		if q.bytes = parts[0]; q.bytes == "" {
			return query{}, errMalformedPart
		}
	}
	return q, nil
}

// fail answers r with the status that err stands for.
func (h *Handler) fail(w *response, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNotFound):
		http.Error(w, "not found", http.StatusNotFound)
	case errors.Is(err, fs.ErrPermission):
		http.Error(w, "no permission to read it", http.StatusForbidden)
	case errors.Is(err, errBusy), errors.Is(err, errUsedUp), errors.Is(err, errTooManyLarge), errors.Is(err, errClosed), errors.Is(err, errChanged):
		w.Header().Set("Retry-After", "5")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		h.log.Error("request failed", "path", r.URL.EscapedPath(), "err", err)
		http.Error(w, "the server could not read it", http.StatusInternalServerError)
	}
}

// openSource opens a file for a hash job.
func (h *Handler) openSource(name string) (source, error) {
	f, err := openIn(h.root, name)
	if err != nil {
		return nil, err
	}
	if f.dir {
		f.Close()
		return nil, errNotFound
	}
	return f, nil
}
