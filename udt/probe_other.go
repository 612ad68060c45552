//go:build !linux

package udt

import "net"

// newProbeSender returns nothing: packets stay as the handshake says where it
// is not known how to send one that nobody fragments.
func newProbeSender(*net.UDPConn) probeSender { return nil }

func (r *route) runsRefused() bool { return false }

func (r *route) retryRuns() {}
