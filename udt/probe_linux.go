package udt

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// newProbeSender returns what sends probes over udp. The option that forbids
// fragmentation belongs to the socket, so it is set for the probe alone. What
// other senders send in the meantime meets the rules of a probe as well: should
// it be lost for that, which takes a path of less than the usual MTU, it is
// repaired like any loss. When the kernel has no space for a probe, retry says whether
// to try again, unless it is nil.
func newProbeSender(udp syscall.Conn, retry func(fd int) bool) probeSender {
	turn := make(chan struct{}, 1)
	return func(p []byte, r route) error {
		turn <- struct{}{}
		defer func() { <-turn }()
		return control(udp, func(fd int) error {
			domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
			if err != nil {
				return err
			}
			// On a socket of both families either option may count.
			restore4, err4 := setDiscover(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			defer restore4()
			restore6, err6 := setDiscover(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			defer restore6()
			if err4 != nil && err6 != nil {
				return errors.Join(err4, err6)
			}
			to := sockaddrOf(r, domain == unix.AF_INET6)
			err = unix.Sendmsg(fd, p, r.oob, to, unix.MSG_DONTWAIT)
			for err == unix.EAGAIN && retry != nil && retry(fd) {
				err = unix.Sendmsg(fd, p, r.oob, to, unix.MSG_DONTWAIT)
			}
			switch err {
			case unix.EMSGSIZE:
				return errTooLarge
			case unix.EAGAIN:
				return nil // as good as lost
			}
			return err
		})
	}
}

// setDiscover sets an option and returns what sets it back.
func setDiscover(fd, level, option, value int) (restore func(), err error) {
	old, err := unix.GetsockoptInt(fd, level, option)
	if err == nil {
		err = unix.SetsockoptInt(fd, level, option, value)
	}
	if err != nil {
		return func() {}, err
	}
	return func() { _ = unix.SetsockoptInt(fd, level, option, old) }, nil
}

// runsRefused reports whether the kernel does not cut runs on this route.
func (r *route) runsRefused() bool { return r.path != nil && r.path.whole }

// retryRuns forgets that runs were refused: packets of another size may not be.
func (r *route) retryRuns() {
	if r.path != nil {
		r.path.whole = false
	}
}
