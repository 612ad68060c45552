package wan

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"

	"github.com/chunkget/chunkget/internal/ethtool"
)

// Cable is a pair of virtual Ethernet devices with a host at each end, as fast
// as the machine.
type Cable struct {
	hosts

	stopContext func() bool // of the context given to OpenCable
	closeOnce   sync.Once
	closeErr    error // valid after closeOnce
}

// OpenCable removes what crashed processes have left behind, makes two
// namespaces and joins them, until Close is called or ctx ends. Where there cannot
// be a cable the error is errors.ErrUnsupported.
func OpenCable(ctx context.Context, d Devices, log *slog.Logger) (*Cable, error) {
	if err := possible(); err != nil {
		return nil, err
	}
	if err := Cleanup(ctx); err != nil {
		log.Warn("left-overs of an earlier run remain", "err", err)
	}
	c := new(Cable)
	if err := c.open(ctx, d); err != nil {
		return nil, errors.Join(fmt.Errorf("pair of devices: %w", err), c.Close())
	}
	c.stopContext = context.AfterFunc(ctx, func() {
		if err := c.Close(); err != nil {
			log.Error("remove a pair of devices", "err", err)
		}
	})
	return c, nil
}

func (c *Cable) open(ctx context.Context, d Devices) error {
	if err := c.makeHosts(ctx); err != nil {
		return err
	}
	if err := ip(ctx, "-n", c.client.namespace.name, "link", "add", deviceName, "type", "veth",
		"peer", "name", deviceName, "netns", c.server.namespace.name); err != nil {
		return err
	}
	for _, h := range []Host{c.client, c.server} {
		commands := [][]string{
			{"link", "set", "dev", "lo", "up"},
			{"link", "set", "dev", deviceName, "mtu", strconv.Itoa(d.MTU), "up"},
			{"address", "add", h.prefix.String(), "dev", deviceName},
		}
		if d.Frames {
			commands = append(commands, []string{"link", "set", "dev", deviceName, "gso_max_segs", "1"})
		}
		for _, args := range commands {
			if err := ip(ctx, append([]string{"-n", h.namespace.name}, args...)...); err != nil {
				return err
			}
		}
		if d.Join {
			if err := h.namespace.do(func() error { return ethtool.JoinReceived(deviceName) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// Client returns the host at the one end.
func (c *Cable) Client() Host { return c.client }

// Server returns the host at the other end.
func (c *Cable) Server() Host { return c.server }

// Close kills what still runs in the namespaces and removes them, which takes
// the devices away. It may be called more than once, and returns the same each
// time.
func (c *Cable) Close() error {
	c.closeOnce.Do(func() {
		if c.stopContext != nil {
			c.stopContext()
		}
		// Not the context given to OpenCable: it may have ended.
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		c.closeErr = c.removeHosts(ctx)
	})
	return c.closeErr
}

// possible says why hosts cannot be made here, if so with an error that is
// errors.ErrUnsupported.
func possible() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("emulated hosts need root, to make network namespaces: %w", errors.ErrUnsupported)
	}
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("emulated hosts need iproute2 and util-linux: %w: %w", errors.ErrUnsupported, err)
		}
	}
	return nil
}
