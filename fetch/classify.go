package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// errorf makes an Error whose cause is formatted like fmt.Errorf.
func errorf(k Kind, op, format string, args ...any) *Error {
	return &Error{Kind: k, Op: op, Err: fmt.Errorf(format, args...)}
}

// withHint returns e with a hint.
func (e *Error) withHint(hint string) *Error {
	e.Hint = hint
	return e
}

// diskError classifies an error of the file system.
func diskError(op string, err error) *Error {
	e := &Error{Kind: KindDisk, Op: op, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Hint = "free some space and run the same command again; it goes on where it was"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "choose a directory you may write to"
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "the directory must exist"
	}
	return e
}

// networkError classifies an error of the transport.
func networkError(op string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if hint, ok := untrusted(err); ok {
		return &Error{Kind: KindAuth, Op: op, Err: err, Hint: hint}
	}
	if _, ok := errors.AsType[*redirectsError](err); ok {
		return &Error{Kind: KindNetwork, Op: op, Err: &finalError{err}, Hint: "give the URL that the server leads to, or follow more with --max-redirects"}
	}
	if SpeaksNoTLS(err) {
		return &Error{Kind: KindNetwork, Op: op, Err: &finalError{err}, Hint: "the server does not speak TLS at this port; check the port and the scheme of the URL"}
	}
	if HeaderTooLarge(err) {
		return &Error{Kind: KindNetwork, Op: op, Err: &finalError{err}, Hint: "the header of the answer is larger than --max-header allows: allow more if the server is to be trusted with it, or try another server"}
	}
	k := KindNetwork
	var t interface{ Timeout() bool }
	if neverConnected(err) {
		// A port where nobody listens may be silent or refuse: there is no connection.
	} else if errors.As(err, &t) && t.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		k = KindTimeout
	}
	return &Error{Kind: k, Op: op, Err: err, Hint: connectHint(err)}
}

// SpeaksNoTLS reports whether err is an answer to a TLS handshake that is no TLS.
func SpeaksNoTLS(err error) bool {
	_, ok := errors.AsType[tls.RecordHeaderError](err)
	return ok || errors.Is(err, http.ErrSchemeMismatch)
}

// HeaderTooLarge reports whether err is about an answer whose header is larger than the
// transport takes. Its text says how much that is; package net/http has no type for it.
func HeaderTooLarge(err error) bool {
	return strings.Contains(err.Error(), "server response headers exceeded")
}

// connectHint says what to do about a connection that could not be made, if that is
// clear.
func connectHint(err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if ok && op.Op == "proxyconnect" {
		return "check the address of the proxy, and that it runs"
	}
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case ok && dns.IsNotFound:
		return "check the name of the host in the URL"
	case ok:
		return "the name of the host could not be looked up: check the network and its name servers"
	case neverConnected(err) && errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at that port: check host and port in the URL, and that the server runs"
	}
	return ""
}

// neverConnected reports whether err comes from dialling.
func neverConnected(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
