// Package udtpool keeps several connections to a server and offers them as one
// [http.RoundTripper].
//
// Each connection carries one HTTP/1.1 request at a time, so n requests run on
// n connections, and n segments of a file travel as n independent flows. The
// pool differs from [http.Transport] where a downloader over UDT needs it to:
//
//   - At most Config.Connections are open or being dialled per scheme and host.
//     Further requests wait their turn, first come first served, until a
//     connection is free, their context ends, or the pool is closed.
//   - The idle connection used last is taken first. Its round-trip and rate
//     estimates and the NAT binding on its path are the freshest, and surplus
//     connections are left alone until the idle timeout closes them.
//   - A request without a body and of method GET or HEAD whose connection fails
//     before the first byte of a response is sent again over another one. That
//     is the pool's only kind of retry: once a byte of the response is here, the
//     caller has to decide.
//   - A response body closed before its end retires its connection: what is
//     still on the way belongs to a response that nobody wants. The same goes for
//     a connection that the caller closes itself, having learnt it through
//     [httptrace.ClientTrace.GotConn].
//   - Warm dials ahead, in parallel with the first request.
//
// A dial that fails fails the oldest waiting request, but only if no other
// connection to that host is open and no other dial is under way for it. A
// server that admits fewer connections than asked for therefore slows requests
// down and does not fail them; the dial is repeated with a growing pause for as
// long as somebody waits.
//
// The pool speaks HTTP over whatever Config.Dial returns. URL schemes are udt,
// http, and udts, which is HTTP over TLS 1.3 over that; beyond this the scheme
// only tells connections apart.
package udtpool
