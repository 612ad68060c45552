package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bootScript boots systemd in a container whose files are those of the machine, with
// what is written to them in memory, and whose only network is its loopback. Its mounts
// end with the mount namespace. Where that cannot be made, the script exits with 77.
const bootScript = `
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none "$1" && mkdir "$1/up" "$1/work" "$1/root" &&
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root" || exit 77
root=$1
shift
exec timeout -k 10 120 systemd-nspawn --quiet --register=no --keep-unit --machine="chunkserve-$$" --private-network \
	--directory="$root/root" "$@" --boot systemd.unit=check.target
`

// checkScript runs inside, and says of each thing what it has found.
const checkScript = `#!/bin/bash
exec >/run/found/log 2>/run/found/errors
ip link set lo up
show() { systemctl show -p "$1" --value chunkserve.service; }
echo "before $(systemctl is-active chunkserve.service)"
fetch() { timeout 60 chunkget -n 4 -q "${@:2}" -o "/tmp/$1" && cmp "/tmp/$1" /srv/chunkserve/big.bin && echo "$1 same"; }
fetch udt --transport udt udt://127.0.0.1:9000/big.bin
fetch tcp --transport tcp http://127.0.0.1:9000/big.bin
echo "then $(systemctl is-active chunkserve.service)"
echo "user $(show User)"
pid=$(show MainPID)
[ "$(awk '/^Uid:/ {print $2}' "/proc/$pid/status")" = 0 ] || echo "uid other"
awk '/^CapEff:|^NoNewPrivs:|^Seccomp:/ {print $1, $2}' "/proc/$pid/status"
systemctl stop chunkserve.socket chunkserve.service
echo "result $(show Result)"
echo "status $(show ExecMainStatus)"
systemctl poweroff
`

// The unit files as they are, under a systemd of their own: the first packet starts the
// service, which is nobody's and has no right to anything, and serves over both transports.
func TestUnderSystemd(t *testing.T) {
	if raceEnabled {
		t.Skip("the programs are built without the race detector: it would see nothing")
	}
	if os.Geteuid() != 0 {
		t.Skip("a container needs root")
	}
	for _, need := range []struct{ program, debianPackage string }{
		{"systemd-nspawn", "systemd-container"}, {"systemctl", "systemd"}, {"ip", "iproute2"}, {"unshare", "util-linux"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			t.Skipf("%s is not installed (Debian package %s)", need.program, need.debianPackage)
		}
	}
	dir, found, own := t.TempDir(), t.TempDir(), t.TempDir()
	randomFile(t, dir, "big.bin", 16<<20)
	for name, text := range map[string]string{
		"check.service": "[Unit]\nAfter=chunkserve.socket\nWants=chunkserve.socket\n[Service]\nType=oneshot\nExecStart=/usr/local/bin/check.sh\n",
		"check.target":  "[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\nWants=check.service\n",
		"check.sh":      checkScript,
	} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	packaging, err := filepath.Abs("../../packaging/systemd")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--mount", "sh", "-c", bootScript, "boot", t.TempDir(), "--bind=" + found + ":/run/found"}
	for _, b := range []struct{ from, to string }{
		{dir, "/srv/chunkserve"},
		{os.DevNull, "/etc/fstab"}, // the disks are not the container's
		{program(t, "chunkserve"), "/usr/local/bin/chunkserve"},
		{program(t, "chunkget"), "/usr/local/bin/chunkget"},
		{filepath.Join(own, "check.sh"), "/usr/local/bin/check.sh"},
		{filepath.Join(packaging, "chunkserve.service"), "/etc/systemd/system/chunkserve.service"},
		{filepath.Join(packaging, "chunkserve.socket"), "/etc/systemd/system/chunkserve.socket"},
		{filepath.Join(own, "check.service"), "/etc/systemd/system/check.service"},
		{filepath.Join(own, "check.target"), "/etc/systemd/system/check.target"},
	} {
		args = append(args, "--bind-ro="+b.from+":"+b.to)
	}
	console, err := exec.CommandContext(t.Context(), "unshare", args...).CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); ok && e.ExitCode() == 77 {
		t.Skipf("needs cgroup2 and overlay mounts: %s", console)
	}
	log, logErr := os.ReadFile(filepath.Join(found, "log"))
	if errors.Is(logErr, os.ErrNotExist) {
		t.Skipf("needs a machine whose systemd boots in a container: %v\n%s", err, console)
	}
	const want = `before inactive
udt same
tcp same
then active
user chunkserve
uid other
CapEff: 0000000000000000
NoNewPrivs: 1
Seccomp: 2
result success
status 0
`
	if string(log) != want {
		more, _ := os.ReadFile(filepath.Join(found, "errors"))
		t.Errorf("found\n%s\nwant\n%s\n%s\n%s", log, want, more, console)
	}
}
