package fetch

import (
	"errors"
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

// slowDownError is an answer 429 or 503 that says when to come again.
type slowDownError struct {
	after time.Duration
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
		if s, ok := errors.AsType[*slowDownError](err); ok && s.after > maxRetryAfter {
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
