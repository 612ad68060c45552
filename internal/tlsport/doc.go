// Package tlsport serves TLS 1.3 and plain text on one port, over any transport.
//
// What a connection speaks is told from its first byte: a TLS record that begins
// a handshake has the type 22 (RFC 8446, section 5.1), and no HTTP request begins
// with that byte. Nothing waits for the byte but the first Read, so a connection
// costs what it costs without this package, and the read deadline that an
// http.Server sets for the header of a request covers the first byte and the
// handshake as well.
package tlsport
