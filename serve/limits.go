package serve

import "time"

// Limits bound what clients can take of a Server. The zero value of each field
// asks for the default that suits the open Internet; a negative one means no
// limit. Where clients are told apart by address, an IPv6 /64 counts as one,
// since whoever has one address of it usually has them all.
type Limits struct {
	// Conns and ConnsPerAddr are how many connections may be open at a time, in
	// total and from one address, over all listeners that went through Guard;
	// further ones are closed at once. The defaults are 1024 and 256. A proxy in
	// front is one address.
	Conns        int
	ConnsPerAddr int

	// HeaderBytes bounds the header of a request; a larger one is answered 431.
	// The default is 32 KiB, a negative value stands for the 1 MiB of net/http,
	// which lets 4 KiB more pass in either case.
	HeaderBytes int

	// HeaderTime is how long a client may take to send the header of a request
	// once it has begun it, or, with the first, once it is connected. The default
	// is 10 s.
	HeaderTime time.Duration

	// IdleTime is how long a connection may be idle between two requests. The
	// default is 2 minutes.
	IdleTime time.Duration

	// MinRate is how many bytes per second a client must take of a response, and
	// send of the body of a request, on the average over MinRateTime; one that is
	// slower is cut off. Only time in which the server waits for the client
	// counts. The defaults are 1000 bytes per second over 2 minutes: a system
	// that has buffered megabytes for a slow reader may ask for no more for that
	// long.
	MinRate     float64
	MinRateTime time.Duration

	// RequestRate is how many requests per second one address may make on the
	// average, with ten seconds' worth at once; further ones are answered 429
	// with Retry-After. The default is 100.
	RequestRate float64
}

// The defaults of Limits.
const (
	DefaultConns        = 1024
	DefaultConnsPerAddr = 256
	DefaultHeaderBytes  = 32 << 10
	DefaultHeaderTime   = 10 * time.Second
	DefaultIdleTime     = 2 * time.Minute
	DefaultMinRate      = 1000 // bytes per second
	DefaultMinRateTime  = 2 * time.Minute
	DefaultRequestRate  = 100 // per second and address
)

// withDefaults returns l with every field positive, or 0 for no limit.
func (l Limits) withDefaults() Limits {
	return Limits{
		Conns:        limitOr(l.Conns, DefaultConns),
		ConnsPerAddr: limitOr(l.ConnsPerAddr, DefaultConnsPerAddr),
		HeaderBytes:  limitOr(l.HeaderBytes, DefaultHeaderBytes),
		HeaderTime:   limitOr(l.HeaderTime, DefaultHeaderTime),
		IdleTime:     limitOr(l.IdleTime, DefaultIdleTime),
		MinRate:      limitOr(l.MinRate, DefaultMinRate),
		MinRateTime:  limitOr(l.MinRateTime, DefaultMinRateTime),
		RequestRate:  limitOr(l.RequestRate, DefaultRequestRate),
	}
}

func limitOr[T int | float64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return max(0, v)
}
