package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/fetch"
)

// The contract of --json, as scripts see it.
func TestEvents(t *testing.T) {
	var out bytes.Buffer
	w := &eventWriter{w: &out, url: "udt://h/f", connections: 8}
	w.observe(fetch.Event{Kind: fetch.EventStart, Path: "f", Total: 100, Resumed: 60})
	w.observe(fetch.Event{Kind: fetch.EventProgress, Done: 80, Total: 100, Resumed: 60, Rate: 10.4, ETA: 1500 * time.Millisecond, Active: 8})
	w.observe(fetch.Event{Kind: fetch.EventProgress, Done: 80, Total: -1, Rate: math.Inf(1), ETA: -1, Active: 1})
	w.observe(fetch.Event{Kind: fetch.EventPieceBad, Piece: 7, Try: 1, Reason: "hash differs", Code: fetch.CodePieceMismatch})
	w.observe(fetch.Event{Kind: fetch.EventRetry, Try: 2, Delay: 500 * time.Millisecond, Reason: "lost\n\x1b<", Code: fetch.CodeConnection})
	w.observe(fetch.Event{Kind: fetch.EventNote, Reason: "n"})
	w.observe(fetch.Event{Kind: fetch.EventDigestUnused, Digest: fetch.Digest{Algorithm: "sha-256", Sum: []byte{0xab}}, Reason: "large"})
	w.observe(fetch.Event{Kind: fetch.EventRamp, Decision: fetch.DecisionWithheld, Connections: 3, RateNow: 1.2e6, RateBefore: 1e6, Reason: "r"})
	w.observe(fetch.Event{Kind: fetch.EventHedge, Decision: fetch.DecisionStarted, Piece: 9, Bytes: 50, Reason: "slow"})
	w.observe(fetch.Event{Kind: fetch.EventHedge, Decision: fetch.DecisionLost, Piece: 9, Bytes: 20, Mirror: "udt://g/f", Reason: "lost", Code: fetch.CodeConnection})
	w.observe(fetch.Event{Kind: fetch.EventSteal, Piece: 4, Bytes: 30, Reason: "idle"})
	w.observe(fetch.Event{Kind: fetch.EventRelief, Piece: 4, Bytes: 30, Mirror: "udt://g/f", By: "udt://h/f", Reason: "slow"})
	w.observe(fetch.Event{Kind: fetch.EventDone, Result: &fetch.Result{
		Path: "f", Bytes: 100, BytesFetched: 40, BytesWire: 15, BytesResumed: 60, PiecesBad: 1, Retries: 1, Connections: 8,
		Elapsed: 2500 * time.Millisecond, Verified: true, Digest: fetch.Digest{Algorithm: "sha-256", Sum: []byte{0xab}}, Transport: "udt",
	}})
	w.observe(fetch.Event{Kind: fetch.EventDone, Result: &fetch.Result{Path: "f", Connections: 1, Transport: "http"}})
	w.end(&fetch.Error{Kind: fetch.KindNetwork, Op: "GET", Err: errors.New("lost"), Hint: "h", Resumable: true})
	w.end(errors.New("odd"))
	w.end(nil)
	zeros := strings.Repeat("0", 64)
	want := `{"event":"start","version":1,"url":"udt://h/f","path":"f","total":100,"bytes_resumed":60,"connections":8}
{"event":"progress","url":"udt://h/f","bytes":80,"total":100,"bytes_resumed":60,"rate":10,"eta":1.5,"connections":8}
{"event":"progress","url":"udt://h/f","bytes":80,"total":-1,"bytes_resumed":0,"rate":0,"eta":null,"connections":1}
{"event":"piece_bad","url":"udt://h/f","piece":7,"try":1,"reason":"hash differs","code":"piece_mismatch"}
{"event":"retry","url":"udt://h/f","try":2,"delay":0.5,"reason":"lost\n\u001b\u003c","code":"connection"}
{"event":"note","url":"udt://h/f","reason":"n"}
{"event":"digest_unused","url":"udt://h/f","digest":"sha-256:ab","reason":"large"}
{"event":"ramp","url":"udt://h/f","decision":"withheld","connections":3,"rate":1200000,"rate_before":1000000,"reason":"r"}
{"event":"hedge","url":"udt://h/f","decision":"started","piece":9,"bytes":50,"reason":"slow"}
{"event":"hedge","url":"udt://h/f","decision":"lost","piece":9,"bytes":20,"mirror":"udt://g/f","reason":"lost","code":"connection"}
{"event":"steal","url":"udt://h/f","piece":4,"bytes":30,"reason":"idle"}
{"event":"relief","url":"udt://h/f","piece":4,"bytes":30,"mirror":"udt://g/f","by":"udt://h/f","reason":"slow"}
{"event":"done","url":"udt://h/f","path":"f","bytes":100,"bytes_fetched":40,"bytes_wire":15,"bytes_resumed":60,"pieces_bad":1,"retries":1,"seconds":2.5,"verified":true,"root":"` + zeros + `","sha256":"ab","connections":8,"transport":"udt"}
{"event":"done","url":"udt://h/f","path":"f","bytes":0,"bytes_fetched":0,"bytes_wire":0,"bytes_resumed":0,"pieces_bad":0,"retries":0,"seconds":0,"verified":false,"root":"","connections":1,"transport":"http"}
{"event":"error","url":"udt://h/f","kind":"network","code":"connection","message":"GET: lost","hint":"h","exit_code":3,"resumable":true}
{"event":"error","url":"udt://h/f","kind":"other","message":"odd","exit_code":1,"resumable":false}
`
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
	for line := range bytes.Lines(out.Bytes()) {
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

type brokenWriter struct{ writes int }

func (w *brokenWriter) Write([]byte) (int, error) { w.writes++; return 0, errors.New("broken") }

func TestEventsStopAtTheFirstFailedWrite(t *testing.T) {
	b := new(brokenWriter)
	w := &eventWriter{w: b}
	for range 3 {
		w.observe(fetch.Event{Kind: fetch.EventNote})
	}
	if b.writes != 1 {
		t.Errorf("%d writes after the first failed, want none", b.writes-1)
	}
}

// Strings in events pass the veil, escaped as they may be, and stay strings. A path is a
// file of this machine.
func TestEventsAreVeiled(t *testing.T) {
	var out strings.Builder
	veil := new(fetch.Veil)
	veil.Add(nil, nil, `u003c"secret"\`, "12345678", `"reason":`)
	w := &eventWriter{w: &out, url: "http://h/12345678", veil: veil}
	w.write(struct {
		URL    string   `json:"url"`
		Path   string   `json:"path"`
		Reason string   `json:"reason"`
		N      int      `json:"n"`
		List   []string `json:"list"`
	}{w.url, "12345678", "<u003c\"secret\"\\>", 12345678, []string{`\u003c`, "x12345678", ""}})
	want := `{"url":"http://h/REDACTED","path":"12345678","reason":"\u003cREDACTED\u003e","n":12345678,"list":["\\u003c","xREDACTED",""]}` + "\n"
	if out.String() != want {
		t.Errorf("got %swant %s", &out, want)
	}
}
