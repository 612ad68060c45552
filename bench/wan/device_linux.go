package wan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	deviceName = "wan0"

	// deviceQueue is the number of packets that the kernel keeps for the
	// emulator. It is not part of the link: the emulator empties it at once, and
	// what it drops is an error of the emulation.
	deviceQueue = 10000
)

// device is a TUN device that carries IP packets and nothing else, one per read
// or write.
type device struct {
	file          *os.File
	counters      *os.File // /proc/net/dev of the device's namespace
	droppedBefore int64    // packets before counting began
}

// tunPossible says why there are no TUN devices here, as possible does of hosts.
func tunPossible() error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("emulated links need TUN devices: %w: %w", errors.ErrUnsupported, err)
	}
	return f.Close()
}

// openDevice makes the device of a host, and brings up its loopback device.
func openDevice(ctx context.Context, n namespace, addr netip.Prefix, mtu int) (*device, error) {
	d := new(device)
	if err := n.do(d.open); err != nil {
		return nil, errors.Join(fmt.Errorf("open a TUN device in %s: %w", n.name, err), d.close())
	}
	for _, args := range [][]string{
		{"link", "set", "dev", "lo", "up"},
		{"link", "set", "dev", deviceName, "mtu", strconv.Itoa(mtu), "txqueuelen", strconv.Itoa(deviceQueue), "up"},
		{"address", "add", addr.String(), "dev", deviceName},
	} {
		if err := ip(ctx, append([]string{"-n", n.name}, args...)...); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

// open runs in the device's namespace.
func (d *device) open() error {
	// Not with os.OpenFile: it would hand the device to the netpoller before it
	// is one.
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	d.file = os.NewFile(uintptr(fd), "/dev/net/tun")
	request, err := unix.NewIfreq(deviceName)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("TUNSETIFF %s: %w", deviceName, err)
	}
	// The file shows the devices of the namespace in which it was opened.
	d.counters, err = os.Open("/proc/thread-self/net/dev")
	return err
}

// missed returns how many packets the kernel has dropped since counting began
// because nobody took them from the device.
func (d *device) missed() (int64, error) {
	n, err := d.dropped()
	return n - d.droppedBefore, err
}

// reset begins counting anew.
func (d *device) reset() (err error) {
	d.droppedBefore, err = d.dropped()
	return err
}

// dropped returns how many packets the kernel has dropped in all.
func (d *device) dropped() (int64, error) {
	var buf [4096]byte
	n, err := d.counters.ReadAt(buf[:], 0)
	if n == 0 {
		return 0, fmt.Errorf("counters of %s: %w", deviceName, err)
	}
	_, line, _ := bytes.Cut(buf[:n], []byte(deviceName+":"))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	// proc_pid_net(5): eight fields of what was received, then bytes, packets,
	// errors and drops of what was sent.
	fields := bytes.Fields(line)
	if len(fields) < 12 {
		return 0, fmt.Errorf("counters of %s: malformed %q", deviceName, buf[:n])
	}
	dropped, err := strconv.ParseInt(string(fields[11]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counters of %s: %w", deviceName, err)
	}
	return dropped, nil
}

// close removes the device.
func (d *device) close() error {
	var errs []error
	for _, f := range []*os.File{d.file, d.counters} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}
