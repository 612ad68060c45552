//go:build !linux

package udt

import (
	"errors"
	"net"
	"net/netip"
)

// batchIO needs system calls that only Linux has.
type batchIO struct{ datagramIO }

type path struct{}

func newBatchIO(*net.UDPConn, *Config, Offload, int) (*batchIO, error) {
	return nil, errors.ErrUnsupported
}

func (*batchIO) newPath(netip.AddrPort) *path { return nil }

func (*batchIO) probeSender() probeSender { return nil }

func (*batchIO) taken() kernelSocket { return nil }

func (*batchIO) empty() bool { return false }

func (*batchIO) crowded() bool { return false }

func (*batchIO) stats(*EndpointStats) {}
