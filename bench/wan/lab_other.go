//go:build !linux

package wan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
)

// Lab is an emulated link with its two hosts; it exists on Linux only.
type Lab struct{}

// Open fails: network namespaces are a feature of Linux.
func Open(ctx context.Context, link Link, log *slog.Logger) (*Lab, error) {
	return nil, fmt.Errorf("emulated links need Linux: %w", errors.ErrUnsupported)
}

// Cleanup has nothing to remove.
func Cleanup(ctx context.Context) error { return nil }

// Client returns the zero Host.
func (l *Lab) Client() Host { return Host{} }

// Server returns the zero Host.
func (l *Lab) Server() Host { return Host{} }

// Counters returns zero.
func (l *Lab) Counters() Counters { return Counters{} }

// ResetCounters does nothing.
func (l *Lab) ResetCounters() {}

// Close does nothing.
func (l *Lab) Close() error { return nil }

// Cable is a pair of virtual Ethernet devices; it exists on Linux only.
type Cable struct{}

// OpenCable fails: network namespaces are a feature of Linux.
func OpenCable(ctx context.Context, d Devices, log *slog.Logger) (*Cable, error) {
	return nil, fmt.Errorf("pairs of devices need Linux: %w", errors.ErrUnsupported)
}

// Client returns the zero Host.
func (c *Cable) Client() Host { return Host{} }

// Server returns the zero Host.
func (c *Cable) Server() Host { return Host{} }

// Close does nothing.
func (c *Cable) Close() error { return nil }

// Host is one end of an emulated link.
type Host struct{ Addr netip.Addr }

// Command returns a command that fails to start.
func (h Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Err = errors.ErrUnsupported
	return cmd
}

// Namespace returns "".
func (h Host) Namespace() string { return "" }

// Do fails.
func (h Host) Do(f func() error) error { return errors.ErrUnsupported }

// SetCongestionControl fails.
func (h Host) SetCongestionControl(ctx context.Context, name string) error {
	return errors.ErrUnsupported
}
