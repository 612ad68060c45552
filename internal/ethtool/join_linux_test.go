package ethtool

import (
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/chunkget/chunkget/internal/netns"
)

// ask returns what a device answers to an ETHTOOL_G command.
func ask(device string, command uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	value := struct{ command, data uint32 }{command: command}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:], device)
	request.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	return value.data, nil
}

func TestJoinReceived(t *testing.T) {
	left, _ := netns.Pair(t, 1500, true)
	settings := func() (got [2]uint32) {
		t.Helper()
		if err := left.Do(func() (err error) {
			for i, command := range []uint32{unix.ETHTOOL_GTSO, unix.ETHTOOL_GGRO} {
				if got[i], err = ask("v0", command); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if before := settings(); before != [2]uint32{1, 0} {
		t.Errorf("segmentation of TCP and joining are %v at first", before)
	}
	if err := left.Do(func() error { return JoinReceived("v0") }); err != nil {
		t.Fatal(err)
	}
	if after := settings(); after != [2]uint32{0, 1} {
		t.Errorf("segmentation of TCP and joining are %v, want 0 and 1", after)
	}
	if err := left.Do(func() error { return JoinReceived("none") }); err == nil || !strings.Contains(err.Error(), "device none") {
		t.Errorf("a device that does not exist: %v", err)
	}
	if err := JoinReceived(strings.Repeat("x", unix.IFNAMSIZ)); err == nil {
		t.Error("a name that is too long was taken")
	}
}
