package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chunkget/chunkget/fetch"
)

func TestExitCodes(t *testing.T) {
	kind := func(k fetch.Kind, err error) error {
		return fmt.Errorf("wrapped: %w", &fetch.Error{Kind: k, Op: "test", Err: err})
	}
	cause := errors.New("cause")
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{cause, 1},
		{kind(fetch.KindOther, cause), 1},
		{&usageError{msg: "x"}, 2},
		{reportedError{&usageError{msg: "x"}}, 2},
		{kind(fetch.KindUsage, cause), 2},
		{kind(fetch.KindNetwork, cause), 3},
		{kind(fetch.KindTimeout, cause), 4},
		{kind(fetch.KindHTTPStatus, cause), 5},
		{kind(fetch.KindAuth, cause), 6},
		{kind(fetch.KindDisk, cause), 7},
		{kind(fetch.KindIntegrity, cause), 8},
		{kind(fetch.KindRemoteChanged, cause), 9},
		{kind(fetch.KindRangeUnsupported, cause), 10},
		{kind(fetch.KindInterrupted, cause), 130},
		{kind(fetch.Kind(99), cause), 1},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
		if !strings.Contains(exitHelp, fmt.Sprintf("\n%5d  ", tt.want)) {
			t.Errorf("the help does not explain exit code %d", tt.want)
		}
	}
}

func TestInterruptedKeepsFindings(t *testing.T) {
	for _, tt := range []struct{ kind, want fetch.Kind }{
		{fetch.KindNetwork, fetch.KindInterrupted},
		{fetch.KindTimeout, fetch.KindInterrupted},
		{fetch.KindInterrupted, fetch.KindInterrupted},
		{fetch.KindDisk, fetch.KindDisk},
		{fetch.KindIntegrity, fetch.KindIntegrity},
		{fetch.KindRemoteChanged, fetch.KindRemoteChanged},
	} {
		in := &fetch.Error{Kind: tt.kind, Err: errors.New("x"), Resumable: true}
		got, ok := errors.AsType[*fetch.Error](interrupted(in))
		if !ok || got.Kind != tt.want || !got.Resumable {
			t.Errorf("%v became %+v, want kind %v", tt.kind, got, tt.want)
		}
		if in.Kind != tt.kind {
			t.Errorf("the error passed in was changed")
		}
	}
}
