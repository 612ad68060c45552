package main

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/units"
)

func TestReadLimit(t *testing.T) {
	for _, bits := range []float64{minLimit, 8e6, 10e9} {
		synctest.Test(t, func(t *testing.T) {
			l := newReadLimit(bits)
			const bodies = 4
			size := int(bits / 8 * 5 / bodies) // five seconds of all
			begun := time.Now()
			var wg sync.WaitGroup
			for range bodies {
				wg.Go(func() {
					n, err := io.Copy(io.Discard, l.body(t.Context(), io.NopCloser(io.LimitReader(zeros{}, int64(size)))))
					if err != nil || n != int64(size) {
						t.Errorf("%d of %d bytes, %v", n, size, err)
					}
				})
			}
			wg.Wait()
			if took := time.Since(begun); took < 4900*time.Millisecond || took > 5100*time.Millisecond {
				t.Errorf("at %.0f bit/s five seconds' bytes took %v", bits, took)
			}
		})
	}
}

// zeros makes no buffer of a gigabyte necessary.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestReadLimitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := newReadLimit(minLimit).body(ctx, io.NopCloser(bytes.NewReader(make([]byte, 1<<20))))
		begun := time.Now()
		if _, err := io.Copy(io.Discard, b); err == nil || time.Since(begun) > time.Second {
			t.Errorf("err = %v after %v", err, time.Since(begun))
		}
	})
}

// TestLeastRateOfLimit: nobody is cut off for what the user's own limit takes.
func TestLeastRateOfLimit(t *testing.T) {
	for _, tt := range []struct {
		limit units.Rate
		over  time.Duration
		jobs  int
		want  fetch.RetryPolicy
	}{
		{0, time.Minute, 4, fetch.RetryPolicy{Tries: 3, MinRate: 1000, MinRateTime: time.Minute}},
		{0, 0, 1, fetch.RetryPolicy{Tries: 3, MinRate: 1000, MinRateTime: -1}},
		{8e6, time.Minute, 4, fetch.RetryPolicy{Tries: 3, MinRate: 1000, MinRateTime: time.Minute}},
		{minLimit, time.Minute, 4, fetch.RetryPolicy{Tries: 3, MinRate: 500, MinRateTime: time.Minute}},
	} {
		o := &options{tries: 3, minRate: 8e3, minRateTime: tt.over, limitRate: tt.limit, jobs: tt.jobs}
		if got := o.retry(); got != tt.want {
			t.Errorf("limit %v, %d jobs: %+v, want %+v", tt.limit, tt.jobs, got, tt.want)
		}
	}
	o := &options{answers: answerLimits{asked: true}}
	if got := o.retry(); got != (fetch.RetryPolicy{MaxRetryAfter: -1}) || o.answers.maxRedirects() != -1 {
		t.Errorf("without waits and redirects: %+v, %d redirects", got, o.answers.maxRedirects())
	}
	if got := new(options).retry(); got != (fetch.RetryPolicy{}) {
		t.Errorf("a command without the flag has %+v", got)
	}
}

func TestNoReadLimit(t *testing.T) {
	b := io.NopCloser(bytes.NewReader(nil))
	if newReadLimit(0).body(t.Context(), b) != b {
		t.Error("a body is wrapped without a limit")
	}
}
