package serve

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// Only so many large answers are in memory at a time; small ones always may be.
func TestLargeAnswers(t *testing.T) {
	files := map[string]string{"small/a": "abc"}
	for i := range smallAnswer + 1 {
		files[fmt.Sprintf("large/%04d", i)] = ""
	}
	f := serveFolder(t, Options{}, files)
	sparse, err := os.Create(filepath.Join(f.dir, "pieces"))
	if err != nil {
		t.Fatal(err)
	}
	if err := sparse.Truncate((smallAnswer + 1) << 20); err != nil {
		t.Fatal(err)
	}
	sparse.Close()
	opened, err := openIn(f.root, "pieces")
	if err != nil {
		t.Fatal(err)
	}
	opened.Close()
	for _, kind := range []kind{kindTree, kindPieces} {
		f.store.putRecent(key{kind, "pieces", opened.version}, &digests{hashes: make([]merkle.Hash, smallAnswer+1)})
	}
	check := func(when string, large int) {
		t.Helper()
		for path, want := range map[string]int{"/large/": large, "/pieces?digest=meta4": large, "/small/": 200} {
			w := f.get(t, path)
			if w.Code != want || want == 503 && (w.Header().Get("Retry-After") == "" || w.Header().Get("Content-Disposition") != "") {
				t.Errorf("%s: %s: status %d, %v, want %d", when, path, w.Code, w.Header(), want)
			}
		}
	}
	check("at first", 200)
	const me = "192.0.2.1:1234" // of httptest.NewRequest
	var tickets []*ticket
	for range largePerClient {
		tickets = append(tickets, f.large.enter(me))
	}
	check("with all that a client may have", 503)
	tickets[0].leave()
	check("with one less", 200)
	others := tickets[1:]
	for i := 0; len(others) < largeInAll; i++ {
		others = append(others, f.large.enter(fmt.Sprintf("[2001:db8:0:%x::1]:1", i/largePerClient)))
	}
	check("with all that there may be", 503)
	for _, k := range others {
		k.leave()
	}
	if f.large.open != 0 || len(f.large.clients) != 0 {
		t.Errorf("left: %v, %d", f.large.clients, f.large.open)
	}
}

// A sample takes an encoder, so no more of them are taken at a time than there
// are cores. What is known already is told at once.
func TestSamplesTakeTurns(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": textLike(100_000), "b": textLike(100_000)})
	open := func(name string) *file {
		opened, err := openIn(f.root, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { opened.Close() })
		return opened
	}
	known, other := open("a"), open("b")
	if !f.samples.worthwhile(known) {
		t.Fatal("text does not shrink")
	}
	for range cap(f.samples.running) {
		f.samples.running <- struct{}{}
	}
	if !f.samples.worthwhile(known) {
		t.Error("what was known is not any more")
	}
	var room atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		if !f.samples.worthwhile(other) || !room.Load() {
			t.Error("a sample was taken beside all that there may be")
		}
	}()
	for range 20 { // as long as it would have taken
		shrinks(known, 0, known.version.size)
	}
	room.Store(true)
	<-f.samples.running
	<-done
}

// A folder of millions is listed in part.
func TestListingIsBounded(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": "", "b": "", "c": "", "d": ""})
	if f.maxListed != maxListed {
		t.Errorf("%d entries may be listed", f.maxListed)
	}
	for limit, truncated := range map[int]bool{3: true, 4: false} {
		f.maxListed = limit
		var l listing
		if err := json.Unmarshal(f.get(t, "/", "Accept", "application/json").Body.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if len(l.Entries) != limit || l.Truncated != truncated {
			t.Errorf("limit %d: %d entries, truncated: %v", limit, len(l.Entries), l.Truncated)
		}
	}
}

// What is remembered of files to save work is dropped when it has become too
// much.
func TestMemoriesOfFilesAreBounded(t *testing.T) {
	f := serveFolder(t, Options{}, map[string]string{"a": textLike(100_000)})
	for i := range maxSampled {
		f.samples.shrinks[key{name: fmt.Sprint(i)}] = true
	}
	opened, err := openIn(f.root, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if !f.samples.worthwhile(opened) || len(f.samples.shrinks) > maxSampled {
		t.Errorf("%d samples are remembered", len(f.samples.shrinks))
	}
	for i := range maxFailed {
		f.hasher.failed[key{name: fmt.Sprint(i)}] = time.Now()
	}
	j, err := f.hasher.want(key{kindTree, "missing", version{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.wait(t.Context()); err == nil {
		t.Error("a file that is missing was hashed")
	}
	f.hasher.mu.Lock()
	defer f.hasher.mu.Unlock()
	if n := len(f.hasher.failed); n > maxFailed {
		t.Errorf("%d failures are remembered", n)
	}
}
