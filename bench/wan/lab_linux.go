package wan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// The hosts have addresses of the range for benchmarks (RFC 2544), which no
// real network routes.
var (
	clientAddr = netip.MustParsePrefix("198.18.0.1/24")
	serverAddr = netip.MustParsePrefix("198.18.0.2/24")
)

// cleanupTimeout bounds the removal of a namespace and its programs, should they hang.
const cleanupTimeout = time.Minute

// Lab is an emulated link with its two hosts.
type Lab struct {
	hosts
	link     Link
	log      *slog.Logger
	emulator *emulator

	stopContext func() bool // of the context given to Open
	closeOnce   sync.Once
	closeErr    error // valid after closeOnce

	mu   sync.Mutex // guards last and the counters of the devices
	last Counters   // that the emulator told
}

// Open removes what crashed processes have left behind, makes two namespaces
// and starts to emulate the link between them, until Close is called or ctx
// ends. A nil log discards what it is told. Where there cannot be a link the error
// is errors.ErrUnsupported.
func Open(ctx context.Context, link Link, log *slog.Logger) (*Lab, error) {
	link = link.withDefaults()
	if err := link.Validate(); err != nil {
		return nil, fmt.Errorf("emulated link: %w", err)
	}
	if err := cmp.Or(possible(), tunPossible()); err != nil {
		return nil, err
	}
	for link.Seed == 0 {
		link.Seed = rand.Uint64()
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := Cleanup(ctx); err != nil {
		log.Warn("left-overs of an earlier run remain", "err", err)
	}
	l := &Lab{link: link, log: log}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("emulated link: %w", err), l.Close())
	}
	log.Info("emulating a link", "link", link, "seed", link.Seed, "client", l.client.namespace.name, "server", l.server.namespace.name)
	return l, nil
}

func (l *Lab) open(ctx context.Context) error {
	if err := l.makeHosts(ctx); err != nil {
		return err
	}
	var err error
	for _, h := range []*Host{&l.client, &l.server} {
		if h.device, err = openDevice(ctx, h.namespace, h.prefix, l.link.MTU); err != nil {
			return err
		}
	}
	if l.emulator, err = startEmulator(l.link, l.client.device, l.server.device, l.log); err != nil {
		return err
	}
	l.last.Link = l.link
	l.stopContext = context.AfterFunc(ctx, func() {
		if err := l.Close(); err != nil {
			l.log.Error("remove an emulated link", "err", err)
		}
	})
	return nil
}

// Client returns the host at the one end.
func (l *Lab) Client() Host { return l.client }

// Server returns the host at the other end.
func (l *Lab) Server() Host { return l.server }

// Counters returns what has happened so far, and after Close what had happened
// when it was last called before.
func (l *Lab) Counters() Counters { return l.ask(requestCounters) }

// ResetCounters starts counting anew. What is in flight will count as delivered
// but not as sent.
func (l *Lab) ResetCounters() { l.ask(requestReset) }

func (l *Lab) ask(request byte) Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.emulator.ask(request)
	for _, h := range []struct {
		device *device
		missed *int64
	}{{l.client.device, &c.ToServer.Missed}, {l.server.device, &c.ToClient.Missed}} {
		if err == nil && request == requestReset {
			err = h.device.reset()
		}
		if err == nil {
			*h.missed, err = h.device.missed()
		}
	}
	if err != nil {
		l.last.Failure = err.Error()
		return l.last
	}
	l.last = c
	return c
}

// Close kills what still runs in the namespaces, removes them and waits until
// all is gone. It may be called more than once, and returns the same each time.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() {
		if l.stopContext != nil {
			l.stopContext()
		}
		l.closeErr = l.close()
	})
	return l.closeErr
}

func (l *Lab) close() error {
	// Not the context given to Open: it may have ended, and what it has made
	// must still go.
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	var errs []error
	if l.emulator != nil {
		errs = append(errs, l.emulator.close())
	}
	for _, h := range []*Host{&l.client, &l.server} {
		if h.device != nil {
			errs = append(errs, h.device.close())
		}
	}
	return errors.Join(append(errs, l.removeHosts(ctx))...)
}

// hosts are the two ends of a Lab or a Cable.
type hosts struct{ client, server Host }

// makeHosts makes the namespaces. What it has made is there to be removed also after
// an error.
func (h *hosts) makeHosts(ctx context.Context) error {
	number := labNumber.Add(1)
	for _, end := range []struct {
		host *Host
		name string
		addr netip.Prefix
	}{{&h.client, "client", clientAddr}, {&h.server, "server", serverAddr}} {
		end.host.Addr, end.host.prefix = end.addr.Addr(), end.addr
		var err error
		if end.host.namespace, err = newNamespace(ctx, number, end.name); err != nil {
			return err
		}
		if err := tune(end.host.namespace); err != nil {
			return err
		}
	}
	return nil
}

// removeHosts removes the namespaces that there are, with what runs in them.
func (h *hosts) removeHosts(ctx context.Context) (err error) {
	for _, host := range []Host{h.client, h.server} {
		if host.namespace.name != "" {
			err = errors.Join(err, host.namespace.remove(ctx))
		}
	}
	return err
}

// Host is one end of an emulated link or of a [Cable].
type Host struct {
	Addr netip.Addr // of the host on the link

	prefix    netip.Prefix
	namespace namespace
	device    *device // nil at a Cable
}

// Namespace returns the name of the host's network namespace, as known to ip
// netns.
func (h Host) Namespace() string { return h.namespace.name }

// Command returns a command that runs the program in the host's namespace. Like
// one of exec.CommandContext it is killed when ctx ends; it is also killed when
// this process dies or the lab is closed. Only the namespace of the network is
// the host's own: files, processes and users are those of the machine.
func (h Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return h.namespace.command(ctx, name, args...)
}

// Do calls f on a thread that is in the host's namespace. Sockets that f opens
// stay there, wherever they are used; goroutines that it starts do not.
func (h Host) Do(f func() error) error { return h.namespace.do(f) }

// SetCongestionControl makes an algorithm such as cubic or bbr that of all TCP
// connections over the link that this host begins or accepts from now on.
//
// It is an attribute of the route, because the sysctl of a namespace takes only
// those algorithms that the machine's tcp_allowed_congestion_control lists. The
// kernel loads the module of an algorithm if it can.
func (h Host) SetCongestionControl(ctx context.Context, name string) error {
	err := ip(ctx, "-n", h.namespace.name, "route", "replace", h.prefix.Masked().String(),
		"dev", deviceName, "proto", "kernel", "scope", "link", "src", h.Addr.String(), "congctl", name)
	if err != nil {
		return fmt.Errorf("set TCP congestion control %s: %w", name, err)
	}
	return nil
}

// tune sets the namespace up for long fat links. The package comment lists the
// same.
func tune(n namespace) error {
	return n.do(func() error {
		for _, s := range []struct{ name, value string }{
			{"net/ipv4/tcp_rmem", "4096 131072 67108864"},
			{"net/ipv4/tcp_wmem", "4096 65536 67108864"},
			{"net/ipv4/tcp_no_metrics_save", "1"},
			{"net/ipv6/conf/all/disable_ipv6", "1"},
		} {
			err := os.WriteFile("/proc/sys/"+s.name, []byte(s.value), 0)
			if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(s.name, "net/ipv6/") {
				continue // a kernel without IPv6
			}
			if err != nil {
				return fmt.Errorf("set up network namespace %s: %w", n.name, err)
			}
		}
		return nil
	})
}
