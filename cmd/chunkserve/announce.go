package main

import (
	"net"
	"net/http"
	"strconv"
)

// announceUDT tells clients that the same is to be had over UDT, at the port of
// address (Alt-Svc, RFC 7838), and with TLS whom it is told to with TLS.
func announceUDT(h http.Handler, address net.Addr) http.Handler {
	_, port, err := net.SplitHostPort(address.String())
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n == 0 {
		return h
	}
	plain, encrypted := `udt=":`+port+`"`, `udts=":`+port+`"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := plain
		if r.TLS != nil {
			value = encrypted
		}
		w.Header().Set("Alt-Svc", value)
		h.ServeHTTP(w, r)
	})
}
