package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/chunkget/chunkget/fetch"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestContactGivesUpOnlyBeforeTheFirstAnswer(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	for _, tt := range []struct {
		name    string
		answers []error // nil for an answer
		gaveUp  bool
	}{
		{"refused", []error{refused}, true},
		{"lost before an answer", []error{reset}, false},
		{"lost, then refused", []error{reset, refused}, true},
		{"refused after an answer", []error{nil, refused}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, giveUp := context.WithCancelCause(t.Context())
			defer giveUp(nil)
			i := 0
			c := &contact{giveUp: giveUp, RoundTripper: roundTripFunc(func(*http.Request) (*http.Response, error) {
				err := tt.answers[i]
				i++
				if err != nil {
					return nil, err
				}
				return new(http.Response), nil
			})}
			for range tt.answers {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://h/", nil)
				if err != nil {
					t.Fatal(err)
				}
				c.RoundTrip(req)
			}
			if got := ctx.Err() != nil; got != tt.gaveUp {
				t.Errorf("gave up: %v, want %v", got, tt.gaveUp)
			}
			other := errors.New("other")
			if got := c.explain(other); (kindOf(got) == fetch.KindNetwork) != tt.gaveUp || errors.Is(got, other) == tt.gaveUp {
				t.Errorf("explained as %v", got)
			}
			if fe, ok := errors.AsType[*fetch.Error](c.explain(&fetch.Error{Resumable: true, Err: other})); !ok || !fe.Resumable {
				t.Error("that there is something to resume got lost")
			}
			if c.explain(nil) != nil {
				t.Error("success was explained away")
			}
		})
	}
}
