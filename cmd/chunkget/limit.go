package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
	"github.com/spf13/pflag"
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

// paced reports whether the user has a say in how fast data comes.
func (o *options) paced() bool {
	return o.limitRate != 0 || o.sending.ask() != (udt.Ask{})
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

// answerLimits is what the command line says about what answers may ask for. The zero
// value is that of a command without the flags.
type answerLimits struct {
	asked      bool // the command has flags for it, so that 0 is what the user says
	header     units.Size
	redirects  int
	retryAfter time.Duration
}

func (l *answerLimits) addHeader(f *pflag.FlagSet) {
	l.asked, l.header = true, udtpool.DefaultHeaderBytes
	f.Var(&l.header, "max-header", "take no answer whose header is larger than this `SIZE`")
}

func (l *answerLimits) addRetryAfter(f *pflag.FlagSet) {
	f.DurationVar(&l.retryAfter, "max-retry-after", fetch.DefaultMaxRetryAfter, "give up at once where a busy server asks to come again (Retry-After) after more than this `TIME`; 0: whenever it does")
}

func (l *answerLimits) addRedirects(f *pflag.FlagSet) {
	f.IntVar(&l.redirects, "max-redirects", fetch.DefaultMaxRedirects, "follow no more than `N` redirects of one request; 0: none")
}

// Bounds of the header of an answer, in bytes.
const (
	leastHeader = 1 << 10
	mostHeader  = 1 << 30
)

func (l *answerLimits) validate() error {
	switch {
	case l.asked && (l.header < leastHeader || l.header > mostHeader):
		return &usageError{fmt.Sprintf("--max-header %s is not between 1KiB and 1GiB", l.header.String()), "servers that behave send about a KiB; the default is 256KiB"}
	case l.retryAfter < 0:
		return &usageError{fmt.Sprintf("--max-retry-after %v is negative", l.retryAfter), "0 stands for none that is obeyed; the default is 5m"}
	case l.redirects < 0:
		return &usageError{fmt.Sprintf("--max-redirects %d is negative", l.redirects), "0 stands for none; the default is 10"}
	}
	return nil
}

func (l *answerLimits) maxHeader() int64 { return cmp.Or(int64(l.header), udtpool.DefaultHeaderBytes) }

// maxRetryAfter is for package fetch, to which 0 says nothing.
func (l *answerLimits) maxRetryAfter() time.Duration {
	if l.asked && l.retryAfter == 0 {
		return -1
	}
	return l.retryAfter
}

// maxRedirects likewise.
func (l *answerLimits) maxRedirects() int {
	if l.asked && l.redirects == 0 {
		return -1
	}
	return l.redirects
}

// retry returns when requests are made again, and how little may come of a download
// before it is given up. Of jobs that share a limit none is expected to bring more than a
// quarter of its share: no server is to blame for that.
func (o *options) retry() fetch.RetryPolicy {
	p := fetch.RetryPolicy{Tries: o.tries, Stall: o.timeout, MaxRetryAfter: o.answers.maxRetryAfter()}
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
