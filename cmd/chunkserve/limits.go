package main

import (
	"fmt"
	"time"

	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/serve"
	"github.com/chunkget/chunkget/udt"
	"github.com/spf13/pflag"
)

// limitOptions is what the command line says about what clients may take.
type limitOptions struct {
	conns        int
	connsPerAddr int
	requestRate  float64
	header       units.Size
	headerTime   time.Duration
	idleTime     time.Duration
	minRate      units.Rate
	minRateTime  time.Duration
	ranges       int
	hashJobs     int
}

func (o *limitOptions) addFlags(f *pflag.FlagSet) {
	o.header = serve.DefaultHeaderBytes
	o.minRate = 8 * serve.DefaultMinRate
	f.IntVar(&o.conns, "max-conns", serve.DefaultConns, "let no more than `N` connections be open, over UDT and TCP together; 0: any number")
	f.IntVar(&o.connsPerAddr, "max-conns-per-addr", serve.DefaultConnsPerAddr, "and no more than `N` from one address (IPv6: one /64); 0: any number, for a server behind a proxy")
	f.Float64Var(&o.requestRate, "request-rate", serve.DefaultRequestRate, "answer no more than `N` requests a second from one address on the average, and 429 to others; 0: any number")
	f.Var(&o.header, "max-header", "answer 431 to requests whose header is larger than this `SIZE`")
	f.DurationVar(&o.headerTime, "header-time", serve.DefaultHeaderTime, "close connections that take longer than this `TIME` to send a header")
	f.DurationVar(&o.idleTime, "idle-time", serve.DefaultIdleTime, "close connections that are idle for this `TIME`")
	f.Var(&o.minRate, "min-rate", "cut off clients that take less than this `RATE` in bit/s, on the average over --min-rate-time of waiting for them")
	f.DurationVar(&o.minRateTime, "min-rate-time", serve.DefaultMinRateTime, "see --min-rate; with `TIME` 0 nobody is too slow")
	f.IntVar(&o.ranges, "max-ranges", serve.DefaultMaxRanges, "answer 416 to requests for more than `N` ranges")
	f.IntVar(&o.hashJobs, "hash-jobs", serve.DefaultHashJobs, "hash up to `N` files at a time")
}

// validate checks the values that have no meaning.
func (o *limitOptions) validate() error {
	for _, n := range []struct {
		flag  string
		value float64
		least float64
		hint  string
	}{
		{"--max-conns", float64(o.conns), 0, "0 stands for any number"},
		{"--max-conns-per-addr", float64(o.connsPerAddr), 0, "0 stands for any number"},
		{"--request-rate", o.requestRate, 0, "0 stands for any number"},
		{"--max-header", float64(o.header), 1 << 10, "clients that behave send about a KiB; the default is 32KiB"},
		{"--header-time", o.headerTime.Seconds(), 1, "clients far away need a second or two; the default is 10s"},
		{"--idle-time", o.idleTime.Seconds(), 1, "the default is 2m"},
		{"--min-rate-time", o.minRateTime.Seconds(), 0, "0 stands for no least rate; the default is 2m"},
		{"--max-ranges", float64(o.ranges), 1, "the default is 16"},
		{"--hash-jobs", float64(o.hashJobs), 1, "the default is 2"},
	} {
		if !(n.value >= n.least) {
			return &usageError{n.flag + " is too little", n.hint}
		}
	}
	if o.header > 1<<30 || o.requestRate > 1e6 {
		return &usageError{fmt.Sprintf("--max-header %s or --request-rate %g is too much", o.header.String(), o.requestRate),
			"no more than 1GiB, and 1000000 requests a second"}
	}
	return nil
}

// limits returns the limits of the server that faces clients.
func (o *limitOptions) limits() serve.Limits {
	return serve.Limits{
		Conns: orNone(o.conns), ConnsPerAddr: orNone(o.connsPerAddr),
		HeaderBytes: int(o.header), HeaderTime: o.headerTime, IdleTime: o.idleTime,
		MinRate: float64(o.minRate) / 8, MinRateTime: orNone(o.minRateTime),
		RequestRate: orNone(o.requestRate),
	}
}

// orNone turns the 0 of a flag into what package serve takes for no limit.
func orNone[T int | float64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// applyTo sets the limits of the UDT endpoint, which refuses within the
// handshake what the server would have to close after it.
func (o *limitOptions) applyTo(cfg *udt.Config) {
	cfg.MaxAccepted, cfg.MaxAcceptedPerAddr = o.conns, o.connsPerAddr
	if o.conns == 0 {
		cfg.MaxAccepted = 1 << 20
	}
}
