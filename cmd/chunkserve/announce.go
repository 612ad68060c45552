package main

import (
	"net"
	"net/http"
	"strconv"
)

// announceUDT tells clients that the same is to be had over UDT, at the port of
// address (Alt-Svc, RFC 7838). An answer over TLS does not: UDT is not encrypted.
func announceUDT(h http.Handler, address net.Addr) http.Handler {
	_, port, err := net.SplitHostPort(address.String())
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n == 0 {
		return h
	}
	value := `udt=":` + port + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			w.Header().Set("Alt-Svc", value)
		}
		h.ServeHTTP(w, r)
	})
}
