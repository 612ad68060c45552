// Package e2e tests the two programs as their users run them: built, as
// processes of their own, over real sockets on loopback.
//
// They run on Linux and move hundreds of megabytes; `go test -short` leaves most
// of them out.
package e2e
