// Package e2e tests the two programs as their users run them: built, as
// processes of their own, over real sockets on loopback.
//
// The tests move hundreds of megabytes; `go test -short` leaves them out.
package e2e
