package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// A tree is the tree of data in pieces of 64 KiB.
type testTree struct {
	data   string
	layout merkle.Layout
	wire   []byte
}

const testPiece = 64 << 10

func uploadTree(t testing.TB, data string) *testTree {
	t.Helper()
	l, err := merkle.NewLayout(int64(len(data)), testPiece)
	if err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	e, err := merkle.NewEncoder(&wire, l)
	var hashes []merkle.Hash
	for i := range l.Pieces() {
		off, n := l.Piece(i)
		hashes = append(hashes, l.HashPiece(i, []byte(data[off:off+n])))
		err = errors.Join(err, e.WritePiece(hashes[i]))
	}
	if err := errors.Join(err, e.Finish(l.Root(hashes))); err != nil {
		t.Fatal(err)
	}
	return &testTree{data, l, wire.Bytes()}
}

// begin begins an upload and returns its URL.
func (f *testFolder) begin(t testing.TB, target string, tree *testTree) (w *httptest.ResponseRecorder, location string) {
	t.Helper()
	w = f.send(t, http.MethodPost, target, bytes.NewReader(tree.wire), "Content-Type", merkle.MediaType)
	return w, w.Header().Get("Location")
}

// patch sends the pieces first to last with the byte at offset flip wrong, if that
// is not negative.
func (f *testFolder) patch(t testing.TB, location string, tree *testTree, first, last, flip int) *httptest.ResponseRecorder {
	t.Helper()
	from, to := first*testPiece, min((last+1)*testPiece, len(tree.data))
	body := []byte(tree.data[from:to])
	if flip >= 0 {
		body[flip-from] ^= 1
	}
	return f.send(t, http.MethodPatch, location, bytes.NewReader(body), "Content-Range", rangeOf(tree, from, to))
}

func rangeOf(tree *testTree, from, to int) string {
	return "bytes " + strings.Join([]string{strconv.Itoa(from) + "-" + strconv.Itoa(to-1), strconv.Itoa(len(tree.data))}, "/")
}

// received returns the ranges that the state of an upload names.
func received(t testing.TB, w *httptest.ResponseRecorder) []toldRange {
	t.Helper()
	var s uploadState
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || w.Header().Get("Content-Type") != uploadMediaType || w.Header().Get(uploadComplete) != isIncomplete {
		t.Fatalf("status %d, header %v, %v: %s", w.Code, w.Header(), err, w.Body)
	}
	return s.Received
}

func TestUploadInParts(t *testing.T) {
	tree := uploadTree(t, testBytes(5*testPiece+100))
	f := uploadTo(t, UploadOptions{}, map[string]string{"dir/x": ""})
	w, location := f.begin(t, "/dir/big", tree)
	if w.Code != 201 || !strings.HasPrefix(location, "/dir/big?upload=") || len(received(t, w)) != 0 {
		t.Fatalf("status %d, at %q: %s", w.Code, location, w.Body)
	}
	if w, again := f.begin(t, "/dir/big", tree); w.Code != 200 || again != location {
		t.Errorf("the same tree again: status %d, at %q", w.Code, again)
	}
	if _, other := f.begin(t, "/other", tree); strings.HasSuffix(other, location[len("/dir/big"):]) {
		t.Errorf("two paths have the same upload: %s", other)
	} else if w := f.send(t, http.MethodDelete, other, nil); w.Code != 204 {
		t.Errorf("DELETE: status %d", w.Code)
	}
	if w := f.patch(t, location, tree, 4, 5, -1); w.Code != 204 || w.Header().Get(uploadComplete) != isIncomplete {
		t.Errorf("the last two pieces: status %d: %s", w.Code, w.Body)
	}
	// One of three is wrong. The others stay.
	w = f.patch(t, location, tree, 0, 2, testPiece+7)
	if w.Code != 422 || !strings.Contains(w.Body.String(), `"wrong_pieces":[1]`) {
		t.Errorf("a wrong piece: status %d: %s", w.Code, w.Body)
	}
	want := []toldRange{{0, testPiece - 1}, {2 * testPiece, 3*testPiece - 1}, {4 * testPiece, 5*testPiece + 99}}
	if got := received(t, f.get(t, location)); !slices.Equal(got, want) {
		t.Errorf("received are %v, want %v", got, want)
	}
	if _, ok := f.content("dir/big"); ok {
		t.Error("the file is there before all of it is")
	}
	for _, tt := range []struct {
		fields []string
		body   int
		status int
	}{
		{nil, 10, 400},
		{[]string{"bytes 0-10/" + strconv.Itoa(len(tree.data))}, 11, 400},
		{[]string{rangeOf(tree, 0, testPiece)}, testPiece - 1, 400},
		{[]string{rangeOf(tree, 0, testPiece)}, testPiece + 1, 400},
		{[]string{rangeOf(tree, 0, testPiece), rangeOf(tree, 0, testPiece)}, testPiece, 400},
	} {
		header := []string{}
		for _, v := range tt.fields {
			header = append(header, "Content-Range", v)
		}
		body := io.MultiReader(strings.NewReader(tree.data[:tt.body])) // of unknown length
		if w := f.send(t, http.MethodPatch, location, body, header...); w.Code != tt.status {
			t.Errorf("%q with %d bytes: status %d, want %d: %s", tt.fields, tt.body, w.Code, tt.status, w.Body)
		}
	}
	// What is right is not overwritten by what is sent again.
	if w := f.patch(t, location, tree, 0, 1, 5); w.Code != 204 {
		t.Errorf("a piece again, and one that was missing: status %d: %s", w.Code, w.Body)
	}
	w = f.patch(t, location, tree, 3, 3, -1)
	if w.Code != 201 || w.Header().Get(uploadComplete) != isComplete || w.Header().Get("Location") != "/dir/big" {
		t.Errorf("the last piece: status %d, header %v: %s", w.Code, w.Header(), w.Body)
	}
	if got, _ := f.content("dir/big"); got != tree.data {
		t.Errorf("the file has %d bytes that are not those sent", len(got))
	}
	for _, method := range []string{http.MethodGet, http.MethodPatch} {
		if w := f.send(t, method, location, strings.NewReader("x")); w.Code != 204 || w.Header().Get(uploadComplete) != isComplete {
			t.Errorf("%s after the end: status %d, header %v", method, w.Code, w.Header())
		}
	}
	if w, _ := f.begin(t, "/dir/big", tree); w.Code != 409 {
		t.Errorf("the tree of the file that is there: status %d", w.Code)
	}
	if left := f.partials(t); len(left) > 0 || f.uploads.quota.sum != 0 || len(f.uploads.open) > 0 {
		t.Errorf("left are %q, %d bytes reserved, %d open", left, f.uploads.quota.sum, len(f.uploads.open))
	}
	if info, err := os.Stat(filepath.Join(f.dir, "dir/big")); err != nil || info.Mode().Perm() != f.uploads.dir.(*folder).mode {
		t.Errorf("%v, %v", info, err)
	}
}

// Only the latest uploads are remembered as complete.
func TestFinishedIsBounded(t *testing.T) {
	s := &uploads{finished: make(map[string]string)}
	for i := range 3 * maxFinished {
		id := strconv.Itoa(i)
		s.remember(id, "a")
		if len(s.finished) > maxFinished || s.finished[id] != "a" {
			t.Fatalf("%d of %d uploads are remembered", len(s.finished), i+1)
		}
	}
}

func TestUploadTrees(t *testing.T) {
	f := uploadTo(t, UploadOptions{MaxSize: 1 << 20, Quota: 2 << 20}, map[string]string{"there": ""})
	tree := uploadTree(t, testBytes(100))
	wrongRoot := bytes.Clone(tree.wire)
	wrongRoot[len(wrongRoot)-1] ^= 1
	large, _ := merkle.NewLayout(1<<20+1, testPiece)
	var largeTree bytes.Buffer
	merkle.NewEncoder(&largeTree, large)
	coarse, _ := merkle.NewLayout(1<<20, 16<<20)
	var coarseTree bytes.Buffer
	merkle.NewEncoder(&coarseTree, coarse)
	for name, tt := range map[string]struct {
		target string
		tree   []byte
		status int
	}{
		"empty":      {"/a", nil, 400},
		"no tree":    {"/a", []byte(strings.Repeat("x", 100)), 400},
		"short":      {"/a", tree.wire[:len(tree.wire)-1], 400},
		"long":       {"/a", append(bytes.Clone(tree.wire), 0), 400},
		"wrong root": {"/a", wrongRoot, 400},
		"large":      {"/a", largeTree.Bytes(), 413},
		"coarse":     {"/a", coarseTree.Bytes(), 400},
		"there":      {"/there", tree.wire, 409},
		"no folder":  {"/none/a", tree.wire, 404},
		"dot":        {"/.a", tree.wire, 400},
	} {
		if w, _ := f.begin(t, tt.target, &testTree{wire: tt.tree}); w.Code != tt.status {
			t.Errorf("%s: status %d, want %d: %s", name, w.Code, tt.status, w.Body)
		}
		if left := f.partials(t); len(left) > 0 || f.uploads.quota.sum != 0 {
			t.Errorf("%s: left are %q, %d bytes reserved", name, left, f.uploads.quota.sum)
		}
	}
	// An empty file is complete with its tree.
	if w, location := f.begin(t, "/empty", uploadTree(t, "")); w.Code != 201 || location != "/empty" || w.Header().Get(uploadComplete) != isComplete {
		t.Errorf("empty file: status %d, header %v", w.Code, w.Header())
	}
	if got, ok := f.content("empty"); !ok || got != "" {
		t.Errorf("empty file: %q, %v", got, ok)
	}
	// Unfinished uploads count in full.
	big := uploadTree(t, testBytes(1<<20))
	for i, want := range []int{201, 507} {
		if w, _ := f.begin(t, "/big"+strconv.Itoa(i), big); w.Code != want {
			t.Errorf("upload %d: status %d, want %d: %s", i, w.Code, want, w.Body)
		}
	}
	if w := f.send(t, http.MethodPut, "/big", strings.NewReader(testBytes(1<<20))); w.Code != 507 {
		t.Errorf("PUT beyond the quota: status %d", w.Code)
	}
}

// An upload that goes on has its room already, however little is left, and is none
// more of those that are unfinished.
func TestUploadResumedCountsOnce(t *testing.T) {
	tree := uploadTree(t, testBytes(10*testPiece))
	f := uploadTo(t, UploadOptions{Quota: 1 << 20}, nil)
	_, location := f.begin(t, "/big", tree)
	f.patch(t, location, tree, 0, 5, -1)
	q := f.uploads.quota
	reserved := q.sum
	if reserved != costOf(tree.layout) {
		t.Fatalf("%d bytes are reserved", reserved)
	}
	resume := func(when string) {
		t.Helper()
		w, there := f.begin(t, "/big", tree)
		if w.Code != 200 || there != location {
			t.Errorf("%s: status %d, at %q: %s", when, w.Code, there, w.Body)
		}
	}
	resume("the same tree again")
	if q.sum != reserved {
		t.Errorf("%d bytes are reserved, %d before the tree was sent again", q.sum, reserved)
	}
	if w, _ := f.begin(t, "/other", tree); w.Code != 507 {
		t.Errorf("another upload: status %d", w.Code)
	}
	q.hold("rest", q.limit-q.sum)
	resume("with the quota used up")
	q.release("rest")
	for i := range maxUploads {
		q.hold(strconv.Itoa(i), 1)
	}
	resume("with too many uploads")
	if w, _ := f.begin(t, "/small", uploadTree(t, "x")); w.Code != 503 {
		t.Errorf("one upload too many: status %d", w.Code)
	}
	if left := f.partials(t); len(left) != 3 || q.sum != reserved+maxUploads {
		t.Errorf("left are %q, %d bytes reserved", left, q.sum)
	}
}

// The same tree goes on where the server was, also after a restart, and not under
// another name.
func TestUploadAfterRestart(t *testing.T) {
	tree := uploadTree(t, testBytes(3*testPiece))
	f := uploadTo(t, UploadOptions{}, nil)
	_, location := f.begin(t, "/big", tree)
	f.patch(t, location, tree, 1, 1, -1)
	body := io.MultiReader(strings.NewReader(tree.data[:testPiece]), brokenBody("abc", io.ErrUnexpectedEOF))
	if w := f.send(t, http.MethodPatch, location, body, "Content-Range", rangeOf(tree, 0, 3*testPiece)); w.Code != 400 {
		t.Errorf("a body that breaks off: status %d", w.Code)
	}
	again := serveDir(t, Options{Upload: new(UploadOptions)}, f.dir)
	if n := again.uploads.quota.sum; n < 3*testPiece {
		t.Errorf("%d bytes are reserved for the upload", n)
	}
	w, there := again.begin(t, "/big", tree)
	want := []toldRange{{0, 2*testPiece - 1}}
	if got := received(t, w); w.Code != 200 || there != location || !slices.Equal(got, want) {
		t.Errorf("status %d, at %s: received are %v", w.Code, there, got)
	}
	if w := again.get(t, "/other"+location[len("/big"):]); w.Code != 404 {
		t.Errorf("the upload at another path: status %d", w.Code)
	}
	if w := again.patch(t, location, tree, 2, 2, -1); w.Code != 201 {
		t.Errorf("the last piece: status %d: %s", w.Code, w.Body)
	}
	if got, _ := f.content("big"); got != tree.data {
		t.Errorf("the file has %d bytes that are not those sent", len(got))
	}
}

// A file that takes the name meanwhile stays.
func TestUploadNameTaken(t *testing.T) {
	tree := uploadTree(t, testBytes(2*testPiece))
	f := uploadTo(t, UploadOptions{}, nil)
	_, location := f.begin(t, "/big", tree)
	f.patch(t, location, tree, 0, 0, -1)
	writeFile(t, filepath.Join(f.dir, "big"), "mine")
	if w := f.patch(t, location, tree, 1, 1, -1); w.Code != 409 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if got, _ := f.content("big"); got != "mine" {
		t.Errorf("the file has become %.10q", got)
	}
	if err := os.Remove(filepath.Join(f.dir, "big")); err != nil {
		t.Fatal(err)
	}
	if w, _ := f.begin(t, "/big", tree); w.Code != 201 || w.Header().Get(uploadComplete) != isComplete {
		t.Errorf("the tree again: status %d, header %v", w.Code, w.Header())
	}
	if got, _ := f.content("big"); got != tree.data {
		t.Error("the file is not what was sent")
	}
}

// A later request takes a piece over from one whose connection may be dead, and
// nothing of that one comes afterwards.
func TestUploadTakenOver(t *testing.T) {
	tree := uploadTree(t, testBytes(2*testPiece))
	f := uploadTo(t, UploadOptions{}, nil)
	_, location := f.begin(t, "/big", tree)
	r, w := io.Pipe()
	earlier := make(chan int)
	go func() {
		earlier <- f.send(t, http.MethodPatch, location, r, "Content-Range", rangeOf(tree, 0, testPiece)).Code
	}()
	if _, err := io.WriteString(w, "x"); err != nil { // it has the piece
		t.Fatal(err)
	}
	if w := f.patch(t, location, tree, 0, 0, -1); w.Code != 204 {
		t.Fatalf("the later request: status %d", w.Code)
	}
	if _, err := io.WriteString(w, strings.Repeat("x", testPiece-1)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if code := <-earlier; code != 503 {
		t.Errorf("the earlier request: status %d", code)
	}
	if w := f.patch(t, location, tree, 1, 1, -1); w.Code != 201 {
		t.Errorf("the other piece: status %d", w.Code)
	}
	if got, _ := f.content("big"); got != tree.data {
		t.Error("the file is not what was sent")
	}
}

func TestUploadsExpire(t *testing.T) {
	tree := uploadTree(t, testBytes(2*testPiece))
	f := uploadTo(t, UploadOptions{Expire: 2 * time.Hour}, nil)
	_, location := f.begin(t, "/big", tree)
	f.patch(t, location, tree, 0, 0, -1)
	_, empty := f.begin(t, "/empty", tree)
	dir := f.uploads.dir.(*folder)
	f.uploads.sweep(dir, time.Now().Add(59*time.Minute))
	if w := f.get(t, empty); w.Code != 200 {
		t.Errorf("without data, after less than an hour: status %d", w.Code)
	}
	f.uploads.sweep(dir, time.Now().Add(119*time.Minute))
	if w := f.get(t, empty); w.Code != 404 {
		t.Errorf("without data, after more than an hour: status %d", w.Code)
	}
	if w := f.get(t, location); w.Code != 200 {
		t.Errorf("after less than two hours: status %d", w.Code)
	}
	p, err := f.uploads.acquire(location[len("/big?upload="):], "big")
	if err != nil {
		t.Fatal(err)
	}
	f.uploads.sweep(dir, time.Now().Add(121*time.Minute))
	f.uploads.release(p)
	if w := f.get(t, location); w.Code != 200 {
		t.Errorf("after two hours with a request: status %d", w.Code)
	}
	f.uploads.sweep(dir, time.Now().Add(121*time.Minute))
	if w := f.get(t, location); w.Code != 404 {
		t.Errorf("after more than two hours: status %d", w.Code)
	}
	if left := f.partials(t); len(left) > 0 || f.uploads.quota.sum != 0 {
		t.Errorf("left are %q, %d bytes reserved", left, f.uploads.quota.sum)
	}
}

// What is reserved for files that the sweeper found goes when they do, whoever
// removes them, and nothing is reserved for what a request is at work on.
func TestSweepReservesNothingForEver(t *testing.T) {
	tree := uploadTree(t, testBytes(2*testPiece))
	f := uploadTo(t, UploadOptions{}, nil)
	_, location := f.begin(t, "/big", tree)
	id := location[len("/big?upload="):]
	hidden := filepath.Join(f.dir, uploadFolder)
	left := []string{"put-1.part", "new-1.tree", "probe-1"}
	now := time.Now()
	for _, name := range left {
		writeFile(t, filepath.Join(hidden, name), "x")
		if err := os.Chtimes(filepath.Join(hidden, name), now, now); err != nil {
			t.Fatal(err)
		}
	}
	again := serveDir(t, Options{Upload: new(UploadOptions)}, f.dir)
	s, q := again.uploads, again.uploads.quota
	if want := costOf(tree.layout) + int64(len(left))*blockSize; q.sum != want {
		t.Errorf("%d bytes are reserved for what an earlier process has left, want %d", q.sum, want)
	}
	for _, name := range append(left, partName(id), treeName(id), journalName(id)) {
		if err := os.Remove(filepath.Join(hidden, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep(s.dir.(*folder), now)
	if q.sum != 0 {
		t.Errorf("%d bytes are reserved for what is gone: %v", q.sum, q.keys())
	}
	// A body that is arriving has its room, also long after the last byte.
	r, w := io.Pipe()
	ended := make(chan int)
	go func() { ended <- again.send(t, http.MethodPut, "/put", r).Code }()
	for range 2 { // the first is stored when the second is read
		if _, err := io.WriteString(w, "x"); err != nil {
			t.Fatal(err)
		}
	}
	infos, err := s.dir.(*folder).list()
	if err != nil || len(infos) != 1 {
		t.Fatalf("%d partial files, %v", len(infos), err)
	}
	sum := q.sum
	s.sweep(s.dir.(*folder), now.Add(1000*time.Hour))
	if q.sum != sum {
		t.Errorf("%d bytes are reserved, %d before the sweep", q.sum, sum)
	}
	w.Close()
	if code := <-ended; code != 201 {
		t.Errorf("PUT: status %d", code)
	}
	// It was placed after the folder was listed.
	s.mu.Lock()
	s.sweepLocked(s.dir.(*folder), infos, now)
	s.mu.Unlock()
	if q.sum != 0 {
		t.Errorf("%d bytes are reserved for what has been placed: %v", q.sum, q.keys())
	}
}

// What a client is told of the end of an upload is when the sweeper removes it.
func TestUploadExpiresAsTold(t *testing.T) {
	tree := uploadTree(t, testBytes(2*testPiece))
	f := uploadTo(t, UploadOptions{Expire: 10 * time.Hour}, nil)
	dir := f.uploads.dir.(*folder)
	read := func(location string) { f.get(t, location) }
	for name, request := range map[string]func(location string){
		"tree":  read,
		"right": read,
		"wrong": read,
		"again": func(location string) { f.patch(t, location, tree, 0, 0, -1) },
		"head":  func(location string) { f.do(t, http.MethodHead, location) },
		"post":  func(string) { f.begin(t, "/post", tree) },
	} {
		_, location := f.begin(t, "/"+name, tree)
		switch name {
		case "right", "again":
			f.patch(t, location, tree, 0, 0, -1)
		case "wrong":
			f.patch(t, location, tree, 0, 0, 5)
		}
		old := time.Now().Add(-100 * time.Hour)
		for _, partial := range f.partials(t) {
			if err := os.Chtimes(filepath.Join(f.dir, uploadFolder, partial), old, old); err != nil {
				t.Fatal(err)
			}
		}
		request(location)
		f.uploads.sweep(dir, time.Now())
		w := f.get(t, location)
		var state uploadState
		if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil {
			t.Errorf("%s: after a request: status %d, %v", name, w.Code, err)
			continue
		}
		f.uploads.sweep(dir, state.Expires.Add(-time.Minute))
		if n := len(f.partials(t)); n != 3 {
			t.Errorf("%s: %d files are there before it expires", name, n)
		}
		f.uploads.sweep(dir, state.Expires.Add(time.Minute)) // the request may have taken a while
		if left := f.partials(t); len(left) > 0 {
			t.Errorf("%s: when it has expired there are %q", name, left)
		}
	}
}
