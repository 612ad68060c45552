package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
)

const (
	defaultDoctorTimeout = 5 * time.Second
	doctorConnects       = 5       // connections that are made for round trips
	doctorSample         = 8 << 20 // bytes that are read
)

// destination is the server that doctor looks at, and how it is reached.
type destination struct {
	url      *url.URL
	security *security
	proxy    *url.URL // nil = none is in between
	timeout  time.Duration
	header   int64 // bytes that an answer may have
}

// newDestination finds out whether a download from u would go through a proxy: the
// given one, or that of the environment. UDT does not.
func newDestination(u, proxy *url.URL, o *options) (*destination, error) {
	d := &destination{url: u, security: &o.security, timeout: o.connect, header: o.answers.maxHeader()}
	if udtAddress(u) != "" {
		return d, nil
	}
	if d.proxy = proxy; proxy == nil {
		var err error
		if d.proxy, err = http.ProxyFromEnvironment(&http.Request{URL: u}); err != nil {
			return nil, &usageError{fmt.Sprintf("proxy of the environment: %v", err), "see HTTP_PROXY, HTTPS_PROXY and NO_PROXY"}
		}
	}
	return d, nil
}

// request makes a request for the file at u, which says which way to take to the server
// of d and names it or stands for it.
func (d *destination) request(ctx context.Context, method string, u *url.URL) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Host = d.url.Host
	if h := d.security.header(nil, d.url); h != nil {
		req.Header = h
	}
	return req, nil
}

// server looks at the way to a server and returns what it carried. The error is that
// it cannot be reached, or is not the server that it should be.
func (x *examination) server(ctx context.Context, d *destination) (path flow, err error) {
	if d.proxy != nil {
		return path, x.throughProxy(ctx, d)
	}
	u := d.url
	tcpTimes, tcpErr := connectTimes(ctx, hostPort(u), d.timeout)
	overUDT := udtAddress(u) != ""
	var sample *udtSample
	var udtErr error
	if overUDT {
		sample, udtErr = sampleUDT(ctx, d, u)
	}
	var identityErr error
	if encrypted(u) {
		identityErr = x.identity(ctx, u, d.security.trusted(), tcpErr, udtErr, d.timeout)
	}
	reachErr := udtErr
	if distrusts(udtErr) {
		reachErr = nil // it did answer
	}
	x.add(reachFinding(overUDT, reachErr, tcpErr))
	if len(tcpTimes) > 0 {
		x.add(rttFinding("round trip", "TCP connects", tcpTimes))
	}
	if sample != nil {
		path = x.overUDT(sample)
	}
	switch {
	case identityErr != nil:
		return path, identityErr
	case overUDT && udtErr != nil && tcpErr != nil:
		return path, &fetch.Error{Kind: fetch.KindNetwork, Op: "reach the server", Err: udtErr}
	case !overUDT && tcpErr != nil:
		return path, &fetch.Error{Kind: fetch.KindNetwork, Op: "reach the server", Err: tcpErr}
	case tcpErr != nil:
		return path, nil
	}
	a, err := ask(ctx, d)
	if err != nil {
		x.add(finding{Check: "clock", Verdict: verdictWarn, Text: fmt.Sprintf("the server does not tell its time over TCP: %v", err),
			Advice: "nothing needs that where UDT gets through; check what has the TCP port"})
		return path, nil
	}
	x.clock(a)
	if offered, ok := x.offer(ctx, d, a.header); ok {
		path = offered
	}
	return path, nil
}

// identity looks at who the server of u is, over UDT and over TCP, as far as they get
// through: where nothing was connected there is nothing to say. It returns the error of
// a handshake that shows that it is another one, or that it is none to talk to.
func (x *examination) identity(ctx context.Context, u *url.URL, trust *trust, tcpErr, udtErr error, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	shown, err := udtAddress(u) != "" && (udtErr == nil || distrusts(udtErr)), udtErr
	if tcpErr == nil && !distrusts(udtErr) {
		// What is no TLS at this port is nobody's concern where UDT has it.
		if tlsErr := tlsOverTCP(ctx, u, trust); !shown || distrusts(tlsErr) {
			shown, err = true, tlsErr
		}
	}
	if !shown {
		return nil
	}
	return x.identified(u, trust, err)
}

// identified tells the end of a TLS handshake with the server of u, and returns what
// it means.
func (x *examination) identified(u *url.URL, trust *trust, err error) error {
	_, pinned := trust.pins[origin(u)]
	x.add(identityFinding(pinned, err))
	if err == nil {
		return nil
	}
	kind := fetch.KindNetwork
	if distrusts(err) {
		kind = fetch.KindAuth
	}
	return &fetch.Error{Kind: kind, Op: "identify the server", Err: err}
}

func tlsOverTCP(ctx context.Context, u *url.URL, trust *trust) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", hostPort(u))
	if err != nil {
		return err
	}
	defer c.Close()
	return handshake(ctx, c, u, trust)
}

// identityFinding judges the end of a TLS handshake.
func identityFinding(pinned bool, err error) finding {
	f := finding{Check: "identity", Verdict: verdictOK, Text: "the server's certificate is that of its name, by an authority that is trusted"}
	if pinned {
		f.Text = "the server's key is the pinned one"
	}
	if err != nil {
		f.Verdict, f.Text = verdictBad, err.Error()
	}
	switch {
	case err == nil:
	case distrusts(err):
		f.Advice = "get the URL with its pin anew from whoever runs the server, or name its authority with --cacert; if nothing has changed there, somebody is in between"
	case fetch.SpeaksNoTLS(err):
		f.Text = fmt.Sprintf("the server does not speak TLS at this port: %v", err)
		f.Advice = "check the port and the scheme of the URL"
	default:
		f.Text = fmt.Sprintf("no TLS connection can be made: %v", err)
		f.Advice = "check the port and the scheme of the URL, and that nothing on the way cuts TLS off"
	}
	return f
}

// connectTimes returns how long connections over TCP take to be made, which is a
// round trip each.
func connectTimes(ctx context.Context, address string, timeout time.Duration) (times []time.Duration, err error) {
	d := net.Dialer{Timeout: timeout}
	for range doctorConnects {
		begun := time.Now()
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return times, err
		}
		times = append(times, time.Since(begun))
		c.Close()
	}
	return times, nil
}

// reachFinding compares the two ways to a server.
func reachFinding(overUDT bool, udtErr, tcpErr error) finding {
	f := finding{Check: "reach", Verdict: verdictOK}
	switch {
	case !overUDT && tcpErr == nil:
		f.Text = "the server answers over TCP"
	case !overUDT:
		f.Verdict, f.Text, f.Advice = verdictBad, fmt.Sprintf("the server does not answer over TCP: %v", tcpErr), "check the address, and that the server runs"
	case udtErr == nil && tcpErr == nil:
		f.Text = "the server answers over UDT (UDP) and TCP"
	case udtErr == nil:
		f.Verdict, f.Text = verdictWarn, fmt.Sprintf("the server answers over UDT (UDP) but not over TCP: %v", tcpErr)
		f.Advice = "nothing needs TCP but other clients; let its port through for those"
	case tcpErr == nil:
		f.Verdict, f.Text = verdictBad, fmt.Sprintf("the server answers over TCP but not over UDT (UDP): %v", udtErr)
		f.Advice = "let UDP through to the port of the server, in the firewalls on both sides; until then downloads go over TCP"
	default:
		f.Verdict, f.Text = verdictBad, fmt.Sprintf("the server answers neither over UDT (%v) nor over TCP (%v)", udtErr, tcpErr)
		f.Advice = "check the address, and that chunkserve runs"
	}
	return f
}

// rttFinding tells the shortest and the median of round trips.
func rttFinding(check, how string, times []time.Duration) finding {
	times = slices.Sorted(slices.Values(times))
	least, median := times[0], times[len(times)/2]
	f := finding{Check: check, Verdict: verdictOK, Value: median.Seconds() * 1e3, Unit: "ms",
		Text: fmt.Sprintf("least %s, median %s of %d %s", formatDelay(least), formatDelay(median), len(times), how)}
	if median > 2*least && median-least > 20*time.Millisecond {
		f.Verdict, f.Advice = verdictWarn, "packets wait in queues: others use the path; --background gives way to them"
	}
	return f
}

// udtSample is what a connection over UDT showed.
type udtSample struct {
	stats   udt.Stats
	from    netip.Addr
	bytes   int64
	elapsed time.Duration
	status  int
}

// sampleUDT reads the beginning of the file over one connection to the server of at,
// which is that of d or stands for it.
func sampleUDT(ctx context.Context, d *destination, at *url.URL) (*udtSample, error) {
	u := *d.url
	u.Scheme, u.Host = at.Scheme, at.Host
	pool := udtpool.New(udtpool.Config{Connections: 1, DialTimeout: d.timeout, HeaderBytes: d.header, TLS: d.security.trusted().overUDT})
	defer pool.Close()
	if err := pool.Connect(ctx, &u); err != nil {
		return nil, err
	}
	conns := pool.Stats().Conns
	if len(conns) != 1 {
		return nil, fmt.Errorf("the connection to %s was lost at once", hostPort(&u))
	}
	req, err := d.request(ctx, http.MethodGet, &u)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", doctorSample-1))
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second+d.timeout)
	defer cancel()
	resp, err := pool.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, withFlag(err)
	}
	n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, doctorSample))
	s := &udtSample{bytes: n, elapsed: time.Since(begun), status: resp.StatusCode}
	if c, ok := conns[0].Conn.(*udt.Conn); ok {
		s.stats = c.Stats()
		if a, ok := c.RemoteAddr().(*udt.Addr); ok {
			s.from = a.AddrPort().Addr()
		}
	}
	resp.Body.Close()
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	return s, nil
}

// overUDT judges a sample and returns what the path carried, if that can be told.
func (x *examination) overUDT(s *udtSample) (path flow) {
	st := &s.stats
	rtt := st.MinRTT
	if st.Peer.MinRTT > 0 && (rtt == 0 || st.Peer.MinRTT < rtt) {
		rtt = st.Peer.MinRTT
	}
	if rtt > 0 {
		x.add(finding{Check: "UDT round trip", Verdict: verdictOK, Value: rtt.Seconds() * 1e3, Unit: "ms",
			Text: fmt.Sprintf("least %s, smoothed %s", formatDelay(rtt), formatDelay(st.RTT))})
	}
	if s.status >= 300 {
		x.add(finding{Check: "sample", Verdict: verdictWarn, Text: fmt.Sprintf("the server answered with status %d, so little could be measured", s.status),
			Advice: "give the URL of a file of some MiB"})
		return flow{}
	}
	x.add(lossFinding(st.PktRecv, st.PktRcvLoss))
	x.add(jitterFinding(st.RTTVar, rtt))
	if st.PayloadRecv > 0 {
		x.add(packetFinding(ipSize(st.PayloadRecv, s.from)))
	}
	rate := float64(s.bytes) / max(s.elapsed.Seconds(), 1e-6)
	f := finding{Check: "rate", Verdict: verdictOK, Value: rate, Unit: "bytes/s",
		Text: fmt.Sprintf("%s in %s over one UDT connection, its start included: %s", formatBytes(s.bytes), formatDuration(s.elapsed), formatRate(rate))}
	if s.bytes < doctorSample/8 {
		f.Verdict, f.Advice = verdictWarn, "the file is too small to tell: give the URL of one of some MiB"
	} else {
		path = flow{max(rate, st.Peer.DeliveryRate/8), rtt} // in the end, without the start
	}
	x.add(f)
	return path
}

// lossFinding judges packets that were missing among those that came.
func lossFinding(received, missing int64) finding {
	loss := float64(missing) / max(float64(received+missing), 1)
	f := finding{Check: "loss", Verdict: verdictOK, Value: 100 * loss, Unit: "%",
		Text: fmt.Sprintf("%.2f %% of %d packets from the server were missing at first", 100*loss, received+missing)}
	switch {
	case loss >= 0.05:
		f.Verdict, f.Advice = verdictBad, "the path loses much, or this machine does not keep up: see UDP buffer, and try another network"
	case loss >= 0.005:
		f.Verdict, f.Advice = verdictWarn, "UDT copes, TCP slows down with it: prefer udt:// here"
	}
	return f
}

// jitterFinding judges the mean deviation of the round trip.
func jitterFinding(deviation, rtt time.Duration) finding {
	f := finding{Check: "jitter", Verdict: verdictOK, Value: deviation.Seconds() * 1e3, Unit: "ms",
		Text: fmt.Sprintf("round trips deviate by %s", formatDelay(deviation))}
	if deviation > 20*time.Millisecond && deviation > rtt/2 {
		f.Verdict, f.Advice = verdictWarn, "queues fill and empty on the path, or it is a radio link"
	}
	return f
}

// packetFinding judges the largest packet that the path has taken, of which size bytes
// are IP, with its headers.
func packetFinding(size int) finding {
	f := finding{Check: "packets", Verdict: verdictOK, Value: float64(size), Unit: "bytes",
		Text: fmt.Sprintf("the path takes packets of %d bytes from the server, IP headers included", size)}
	switch {
	case size > 1500:
		f.Text += ": jumbo frames"
	case size < 1400:
		f.Verdict, f.Advice = verdictWarn, "that is less than Ethernet takes (1500 bytes): a tunnel or VPN on the way; where that is yours, a larger MTU makes packets cheaper"
	}
	return f
}

// ipSize is the size of the IP packet that carries so many bytes over UDT from an
// address.
func ipSize(payload int, from netip.Addr) int {
	const headers = 16 + 8 // UDT and UDP
	if from.Is6() && !from.Is4In6() {
		return payload + headers + 40
	}
	return payload + headers + 20
}

// clock compares the server's clock with ours, which dates in HTTP and the
// validity of certificates depend on.
func (x *examination) clock(a *answer) {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		x.add(clockFinding(a.at.Sub(date)))
	}
}

// clockFinding judges by how much our clock is ahead. Dates in HTTP have seconds.
func clockFinding(ahead time.Duration) finding {
	f := finding{Check: "clock", Verdict: verdictOK, Value: ahead.Seconds(), Unit: "s",
		Text: "this machine and the server agree to a few seconds"}
	off := ahead.Abs()
	if off <= 3*time.Second {
		return f
	}
	f.Verdict = verdictWarn
	if off > 5*time.Minute {
		f.Verdict = verdictBad
	}
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	f.Text = fmt.Sprintf("this machine is %s %s the server", formatDuration(off), side)
	f.Advice = "set both by NTP: a wrong clock makes certificates look expired and caches stale"
	return f
}
