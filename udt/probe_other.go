//go:build !linux

package udt

import "syscall"

// newProbeSender returns nothing: packets stay as the handshake says where it
// is not known how to send one that nobody fragments.
func newProbeSender(syscall.Conn, func(fd int) bool) probeSender { return nil }

func (r *route) runsRefused() bool { return false }

func (r *route) retryRuns() {}
