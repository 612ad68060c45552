package main

import (
	"context"
	"fmt"
	"io"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/units"
	"golang.org/x/time/rate"
)

// readLimit paces what all connections of this process read together, in bytes,
// and of uploads what they send. Who does not read has no window to offer, so that
// servers slow down as well, over TCP and over UDT. The nil readLimit does not
// limit.
type readLimit struct {
	tokens *rate.Limiter
	most   int // bytes in one read; also what may come at once after a pause
}

// minLimit is the least rate, in bit/s, at which each of many connections still
// shows progress before it is taken for dead.
const minLimit = 64e3

// rateValue is the flag value of a rate that is no less than least, which its errors
// tell. Whoever reads the flag checks that.
type rateValue struct {
	*units.Rate
	least string
}

func (v rateValue) Set(s string) error {
	r, err := units.ParseRate(s)
	if err != nil {
		return fmt.Errorf("%q is no rate such as 500k, 20M or 1.5G (bit/s), at least %s", s, v.least)
	}
	*v.Rate = r
	return nil
}

// newReadLimit limits to a rate in bit/s; 0 is no limit.
func newReadLimit(bits float64) *readLimit {
	if bits == 0 {
		return nil
	}
	bytes := bits / 8
	// A fiftieth of a second: small beside the time over which rates are looked at.
	most := int(min(max(bytes/50, 512), 256<<10))
	return &readLimit{rate.NewLimiter(rate.Limit(bytes), most), most}
}

// body returns what reads b at the limit until ctx ends.
func (l *readLimit) body(ctx context.Context, b io.ReadCloser) io.ReadCloser {
	if l == nil {
		return b
	}
	return &limitedBody{ReadCloser: b, ctx: ctx, limit: l}
}

type limitedBody struct {
	io.ReadCloser
	ctx   context.Context
	limit *readLimit
}

// Read pays for what has been read, so that nothing is paid for what never comes.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.limit.most)])
	if n > 0 {
		// The bytes count although the wait was cut short.
		if cut := b.limit.tokens.WaitN(b.ctx, n); err == nil {
			err = cut
		}
	}
	return n, err
}

// retry returns when requests are made again, and how little may come of a download
// before it is given up. Of jobs that share a limit none is expected to bring more than a
// quarter of its share: no server is to blame for that.
func (o *options) retry() fetch.RetryPolicy {
	p := fetch.RetryPolicy{Tries: o.tries, Stall: o.timeout}
	if o.minRate == 0 { // of a command without the flag
		return p
	}
	p.MinRate, p.MinRateTime = float64(o.minRate)/8, o.minRateTime
	if o.minRateTime == 0 {
		p.MinRateTime = -1
	}
	if o.limitRate != 0 {
		p.MinRate = min(p.MinRate, float64(o.limitRate)/8/float64(4*max(o.jobs, 1)))
	}
	return p
}
