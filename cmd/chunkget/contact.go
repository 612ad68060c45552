package main

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/chunkget/chunkget/fetch"
)

// contact is the transport of one download. It ends the download when not even
// the first connection can be made: that is more likely a wrong address than a
// disturbance, and whoever has mistyped it should not have to wait for all the
// tries. Once the server has answered, failures are left to the retries.
type contact struct {
	http.RoundTripper
	giveUp context.CancelCauseFunc // ends the download

	answered atomic.Bool
	err      atomic.Pointer[error] // why there was no first connection
}

func (c *contact) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(req)
	switch {
	case err == nil:
		c.answered.Store(true)
	case !c.answered.Load() && neverConnected(err) && req.Context().Err() == nil:
		c.err.Store(&err)
		c.giveUp(err)
	}
	return resp, err
}

// explain puts the reason for giving up in the place of its effect, which
// package fetch takes for an interruption.
func (c *contact) explain(err error) error {
	cause := c.err.Load()
	if err == nil || cause == nil {
		return err
	}
	e := &fetch.Error{Kind: fetch.KindNetwork, Op: "connect", Err: *cause}
	if fe, ok := errors.AsType[*fetch.Error](err); ok {
		e.Resumable = fe.Resumable // what an earlier run left is still there
	}
	return e
}
