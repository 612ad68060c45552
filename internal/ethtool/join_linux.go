package ethtool

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// JoinReceived has a device of the calling thread's network namespace join the packets
// that it receives, as network cards do. Of a pair of virtual ones that needs their
// segmentation of TCP switched off.
func JoinReceived(device string) error {
	if len(device) >= unix.IFNAMSIZ {
		return fmt.Errorf("the name of device %q is too long", device)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket to set device %s: %w", device, err)
	}
	defer unix.Close(fd)
	type setting struct{ cmd, data uint32 }
	for _, s := range []setting{{unix.ETHTOOL_STSO, 0}, {unix.ETHTOOL_SGRO, 1}} {
		var request struct {
			name [unix.IFNAMSIZ]byte
			data *setting
			_    [16]byte
		}
		copy(request.name[:], device)
		request.data = &s
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return fmt.Errorf("have device %s join what it receives: %w", device, errno)
		}
	}
	return nil
}
