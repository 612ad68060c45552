package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/chunkget/chunkget/fetch"
)

// answer is what a server said over TCP, or the proxy before it.
type answer struct {
	status int
	header http.Header
	at     time.Time // ours when the server looked at its clock, about
}

// ask asks the server for what it says of the file, the way that a download over TCP
// takes.
func ask(ctx context.Context, d *destination) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	over := *d.url
	over.Scheme, over.Host = cmp.Or(inPlaceOf[over.Scheme], over.Scheme), hostPort(d.url)
	stranger := d.url.Scheme == "udt" // may be at its TCP port: see confide.go
	if stranger {
		over.User, over.Path, over.RawPath, over.RawQuery = nil, "/", "", ""
	}
	req, err := d.request(ctx, http.MethodHead, &over)
	if err != nil {
		return nil, err
	}
	if stranger {
		req.Header = make(http.Header)
	}
	rt := &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: d.header, TLSClientConfig: d.security.trusted().config(origin(d.url))}
	if d.proxy != nil {
		rt.Proxy = http.ProxyURL(d.proxy)
	}
	begun := time.Now()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, withFlag(err)
	}
	resp.Body.Close()
	return &answer{resp.StatusCode, resp.Header, begun.Add(time.Since(begun) / 2)}, nil
}

// withFlag says with err by which flag it can be avoided.
func withFlag(err error) error {
	if fetch.HeaderTooLarge(err) {
		return fmt.Errorf("%w (--max-header)", err)
	}
	return err
}

// throughProxy looks at the way to a server that a proxy is in between of.
func (x *examination) throughProxy(ctx context.Context, d *destination) error {
	name := d.proxy.Scheme + "://" + d.proxy.Host // no password
	times, err := connectTimes(ctx, proxyAddress(d.proxy), d.timeout)
	if err != nil {
		x.add(finding{Check: "reach", Verdict: verdictBad, Text: fmt.Sprintf("the proxy %s does not answer: %v", name, err),
			Advice: "check --proxy, or HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment"})
		return &fetch.Error{Kind: fetch.KindNetwork, Op: "reach the proxy", Err: err}
	}
	a, err := ask(ctx, d)
	if err == nil {
		err = refusedByProxy(a.status)
	}
	var identityErr error
	if encrypted(d.url) && (err == nil || distrusts(err) || fetch.SpeaksNoTLS(err)) {
		identityErr = x.identified(d.url, d.security.trusted(), err)
	}
	switch {
	case err == nil, identityErr != nil:
		x.add(finding{Check: "reach", Verdict: verdictOK, Text: fmt.Sprintf("the server answers over TCP, through the proxy %s", name)})
	default:
		x.add(finding{Check: "reach", Verdict: verdictBad, Text: fmt.Sprintf("the server does not answer through the proxy %s: %v", name, err),
			Advice: "check the address, and whether the proxy lets requests to it through"})
	}
	x.add(rttFinding("round trip", "TCP connects to the proxy", times))
	switch {
	case identityErr != nil:
		return identityErr
	case err != nil:
		return &fetch.Error{Kind: fetch.KindNetwork, Op: "reach the server", Err: err}
	}
	x.clock(a)
	x.offer(ctx, d, a.header)
	return nil
}

// proxyAddress is where a proxy is reached, host:port.
func proxyAddress(u *url.URL) string {
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port, "1080"))
}

// offer looks at what a server of TCP says of UDT (Alt-Svc). ok is true if that has
// been measured.
func (x *examination) offer(ctx context.Context, d *destination, h http.Header) (path flow, ok bool) {
	scheme := upgradedTo[d.url.Scheme]
	port, offered := alternativePort(h.Values("Alt-Svc"), scheme)
	if scheme == "" || !offered {
		return flow{}, false
	}
	if d.proxy != nil {
		x.add(finding{Check: "UDT offer", Verdict: verdictWarn, Text: fmt.Sprintf("the server offers UDT at UDP port %s (Alt-Svc), which does not go through a proxy", port),
			Advice: fmt.Sprintf("to use it, add the host to NO_PROXY, or give the URL as %s://", scheme)})
		return flow{}, false
	}
	at := &url.URL{Scheme: scheme, Host: net.JoinHostPort(d.url.Hostname(), port)}
	if scheme == "udts" {
		d.security.trusted().stand(at.Host, origin(d.url))
	}
	sample, err := sampleUDT(ctx, d, at)
	x.add(offerFinding(port, err))
	if err != nil {
		return flow{}, false
	}
	return x.overUDT(sample), true
}

// offerFinding judges an attempt to take up an offer of UDT at a port.
func offerFinding(port string, err error) finding {
	f := finding{Check: "UDT offer", Verdict: verdictOK, Text: fmt.Sprintf("the server offers UDT at UDP port %s (Alt-Svc) and answers there: downloads use it", port)}
	switch {
	case err == nil:
	case distrusts(err):
		f.Verdict, f.Text = verdictBad, fmt.Sprintf("the server offers UDT at UDP port %s (Alt-Svc), which does not prove to be the same server: %v", port, err)
		f.Advice = "downloads go over TCP; tell whoever runs the server"
	default:
		f.Verdict, f.Text = verdictWarn, fmt.Sprintf("the server offers UDT at UDP port %s (Alt-Svc), but does not answer there: %v", port, err)
		f.Advice = "let UDP through to that port, in the firewalls on both sides; until then downloads go over TCP"
	}
	return f
}
