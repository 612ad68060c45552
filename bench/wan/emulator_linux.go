package wan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// emulatorVariable is set in the environment of the process that emulates a
// link; its value is the Link as JSON.
const emulatorVariable = "CHUNKGET_WAN_EMULATOR"

// File descriptors of the emulator besides the standard ones.
const (
	clientDevice = 3
	serverDevice = 4
)

// Requests to the emulator, a byte each. The answer is a line of JSON.
const (
	requestCounters = 'c'
	requestReset    = 'r'
)

// emulatorMemory is the size in bytes at which the emulator begins to collect
// garbage, of which it makes next to none.
const emulatorMemory = 2 << 30

// A program that imports this package becomes the emulator when it is started
// as one. It has to be a process of its own: real-time priority for some threads
// of a Go program makes them spin for what threads of ordinary priority hold,
// and those do not get to run.
func init() {
	link, ok := os.LookupEnv(emulatorVariable)
	if !ok {
		return
	}
	if err := emulate(link, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "wan emulator:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// emulate is the emulator. It ends when requests does, which is also when the
// process at the other end dies.
func emulate(link string, requests io.Reader, answers io.Writer) error {
	var l Link
	if err := json.Unmarshal([]byte(link), &l); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(emulatorMemory)
	// One for each direction, which occupies it, and the others for the rest.
	runtime.GOMAXPROCS(4)
	for _, fd := range []int{clientDevice, serverDevice} {
		if err := unix.SetNonblock(fd, true); err != nil {
			return fmt.Errorf("TUN device: %w", err)
		}
	}
	toServer := newDirection(l, 1, clientDevice, serverDevice)
	toClient := newDirection(l, 2, serverDevice, clientDevice)
	ended := make(chan error, 3)
	go func() { ended <- toServer.run() }()
	go func() { ended <- toClient.run() }()
	go func() {
		encoder := json.NewEncoder(answers)
		var request [1]byte
		for {
			if _, err := io.ReadFull(requests, request[:]); err != nil {
				ended <- nil
				return
			}
			if request[0] == requestReset {
				toServer.reset()
				toClient.reset()
			}
			c := Counters{Link: l}
			var late lateness
			c.ToServer = toServer.snapshot(&late)
			c.ToClient = toClient.snapshot(&late)
			c.Lateness = late.summary(l.lateAfter())
			if err := encoder.Encode(c); err != nil {
				ended <- fmt.Errorf("answer: %w", err)
				return
			}
		}
	}()
	// The end of the process ends the goroutines.
	return <-ended
}

// emulator is the process that emulates a link, as seen by the one that started
// it.
type emulator struct {
	cmd    *exec.Cmd
	stderr strings.Builder // valid once exited is closed
	exited chan struct{}
	err    error // of the process; valid once exited is closed

	mu       sync.Mutex // one request at a time
	requests io.WriteCloser
	answers  *json.Decoder
}

// realtime is the program of util-linux that gives a program real-time priority.
const realtime = "chrt"

// startEmulator starts to emulate a link between two devices.
func startEmulator(link Link, client, server *device, log *slog.Logger) (*emulator, error) {
	b, err := json.Marshal(link)
	if err != nil {
		return nil, err
	}
	// Not os.Executable: the file may have been replaced or removed.
	command := []string{fmt.Sprintf("/proc/%d/exe", os.Getpid())}
	prefix := []string{realtime, "--rr", "1"}
	if err := exec.Command(prefix[0], append(prefix[1:], "true")...).Run(); err != nil {
		log.Warn("the emulated link has no real-time priority and may run late", "err", err)
	} else {
		command = append(prefix, command...)
	}
	e := &emulator{cmd: exec.Command(command[0], command[1:]...), exited: make(chan struct{})}
	e.cmd.Env = append(os.Environ(), emulatorVariable+"="+string(b))
	e.cmd.ExtraFiles = []*os.File{client.file, server.file}
	e.cmd.Stderr = &e.stderr
	// Ctrl-C is for this process, which then ends the emulator.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if e.requests, err = e.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	answers, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	e.answers = json.NewDecoder(answers)
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	go func() {
		e.err = e.cmd.Wait()
		close(e.exited)
	}()
	if _, err := e.ask(requestCounters); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// ask makes a request and returns the counters after it.
func (e *emulator) ask(request byte) (Counters, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var c Counters
	_, err := e.requests.Write([]byte{request})
	if err == nil {
		err = e.answers.Decode(&c)
	}
	if err != nil {
		return Counters{}, fmt.Errorf("ask the emulator: %w", err)
	}
	return c, nil
}

// close ends the emulator and waits for it.
func (e *emulator) close() error {
	e.requests.Close()
	select {
	case <-e.exited:
	case <-time.After(cleanupTimeout):
		e.cmd.Process.Kill()
		<-e.exited
	}
	if e.err != nil {
		return fmt.Errorf("emulator: %w: %s", e.err, strings.TrimSpace(e.stderr.String()))
	}
	return nil
}
