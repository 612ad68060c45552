package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	defaultTries    = 5
	defaultMinDelay = 500 * time.Millisecond
	defaultMaxDelay = 10 * time.Second
	defaultStall    = 30 * time.Second
)

// resolved returns p with its defaults filled in.
func (p RetryPolicy) resolved() RetryPolicy {
	if p.Tries <= 0 {
		p.Tries = defaultTries
	}
	if p.MinDelay <= 0 {
		p.MinDelay = defaultMinDelay
	}
	if p.MaxDelay <= 0 {
		p.MaxDelay = defaultMaxDelay
	}
	p.MaxDelay = max(p.MaxDelay, p.MinDelay)
	if p.Stall <= 0 {
		p.Stall = defaultStall
	}
	if p.MinRate <= 0 {
		p.MinRate = DefaultMinRate
	}
	if p.MinRateTime == 0 {
		p.MinRateTime = DefaultMinRateTime
	}
	switch {
	case p.MaxRetryAfter == 0:
		p.MaxRetryAfter = DefaultMaxRetryAfter
	case p.MaxRetryAfter < 0:
		p.MaxRetryAfter = 0
	}
	return p
}

// delay returns the wait after the given number of failures in a row, from 1.
// random is in [0, 1); up to half of the wait is taken off, so that requests
// that failed together do not come back together.
func (p RetryPolicy) delay(failures int, random float64) time.Duration {
	d := p.MinDelay
	for range failures - 1 {
		if d >= p.MaxDelay {
			break
		}
		d *= 2
	}
	d = min(d, p.MaxDelay)
	return d - time.Duration(random*float64(d)/2)
}

// wait returns the wait after err, which honours what the server asked for.
func (p RetryPolicy) wait(failures int, err error) time.Duration {
	d := p.delay(failures, rand.Float64())
	if s, ok := errors.AsType[*slowDownError](err); ok {
		d = max(d, s.after)
	}
	return d
}

// retrying makes one request after the other until one succeeds or p, which is
// resolved, gives up. The request is abandoned when it has not called alive for too
// long. observe, if not nil, is told of each wait.
func (p RetryPolicy) retrying(ctx context.Context, observe func(Event), op string, request func(ctx context.Context, alive func()) error) error {
	for failures := 1; ; failures++ {
		rctx, cancel := context.WithCancelCause(ctx)
		watch := time.AfterFunc(p.Stall, func() { cancel(errStalled) })
		err := request(rctx, func() { watch.Reset(p.Stall) })
		watch.Stop()
		cancel(nil)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return &Error{Kind: KindInterrupted, Op: op, Err: context.Cause(ctx)}
		}
		if isFinal(err) || failures >= p.Tries {
			return fmt.Errorf("%s: %w", op, err)
		}
		wait := p.wait(failures, err)
		if observe != nil {
			observe(Event{Kind: EventRetry, Total: -1, ETA: -1, Try: failures, Delay: wait, Code: CodeOf(err), Reason: op + ": " + err.Error(), Err: err})
		}
		if !sleep(ctx, wait) {
			return &Error{Kind: KindInterrupted, Op: op, Err: context.Cause(ctx)}
		}
	}
}

// slowDownError is an answer 429 or 503 that says when to come again.
type slowDownError struct {
	after time.Duration
	final bool // it is longer than is waited for
	err   error
}

func (e *slowDownError) Error() string { return e.err.Error() }
func (e *slowDownError) Unwrap() error { return e.err }

// isFinal reports whether making the request again would not help.
func isFinal(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	if _, ok := errors.AsType[*finalError](err); ok {
		return true
	}
	switch e.Kind {
	case KindNetwork, KindTimeout, KindOther:
		return false
	case KindHTTPStatus:
		if s, ok := errors.AsType[*slowDownError](err); ok && s.final {
			return true
		}
		switch e.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
			http.StatusOK, http.StatusPartialContent: // what came was not what was asked for
			return false
		}
		return e.StatusCode < 500 || e.StatusCode == http.StatusNotImplemented || e.StatusCode == http.StatusHTTPVersionNotSupported
	}
	return true
}
