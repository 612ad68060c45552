package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/chunkget/chunkget/internal/units"
)

// A usageError is a mistake in the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// options is what the command line of wan and loopback says.
type options struct {
	profiles    []string
	connections []int
	contenders  []string
	size        units.Size
	reps        int
	bound       time.Duration // for one transfer
	budget      time.Duration // no transfer begins after it; 0 = none
	out         string
	files       string // folder for content and results
	quick       bool
	trace       bool
	fairness    time.Duration // that two flows share each link; 0 = not at all
	link        freeLink
	mtu         int  // of virtual Ethernet devices, bytes
	frames      bool // cut every packet
	join        bool // and let the receiving device join them

	args []string // as given, for the rows
}

// freeLink is a link of the user's own. rate 0 means that there is none.
type freeLink struct {
	rate         units.Rate
	rtt, jitter  time.Duration
	loss         float64 // share
	burst, queue float64 // packets, and products of rate and RTT
	reorder      float64 // share
}

// parseWAN reads the flags of the subcommand wan.
func parseWAN(args []string, stderr io.Writer) (*options, error) {
	o := &options{args: append([]string{"wan"}, args...)}
	f := o.flagSet("wan", stderr)
	f.Func("profiles", "measure these `links`, as lan,satellite; without it, all of them", listInto(&o.profiles))
	f.Var(&o.link.rate, "rate", "measure a link of this `rate`, such as 100M, in bit/s, instead of profiles")
	f.DurationVar(&o.link.rtt, "rtt", 50*time.Millisecond, "round trip `time` of the link of -rate")
	f.DurationVar(&o.link.jitter, "jitter", 0, "jitter of the link of -rate, a `time`; keeps the order")
	f.Func("loss", "`share` of packets that the link of -rate loses each way, as 0.01 or 1%", func(s string) (err error) {
		o.link.loss, err = parseShare(s)
		return err
	})
	f.Float64Var(&o.link.burst, "burst", 0, "mean length of a run of losses, in `packets`; 0 makes losses independent")
	f.Func("reorder", "`share` of packets that the link of -rate overtakes", func(s string) (err error) {
		o.link.reorder, err = parseShare(s)
		return err
	})
	f.Float64Var(&o.link.queue, "queue", 1, "queue of the link of -rate, in `products` of rate and round trip time")
	f.DurationVar(&o.fairness, "fairness", 0, "also let pairs of flows share each link for this `time` each, such as 20s; with -reps 0 only those of the -contenders, if given")
	if err := parseFlags(f, args); err != nil {
		return nil, err
	}
	if o.link.rate > 0 && len(o.profiles) > 0 {
		return nil, &usageError{"-rate and -profiles exclude each other"}
	}
	if o.link.rate == 0 {
		var stray []string
		f.Visit(func(g *flag.Flag) {
			switch g.Name {
			case "rtt", "jitter", "loss", "burst", "reorder", "queue":
				stray = append(stray, "-"+g.Name)
			}
		})
		if len(stray) > 0 {
			return nil, &usageError{strings.Join(stray, ", ") + " describe a link of your own, which needs -rate"}
		}
	}
	if o.budget == 0 && !o.quick {
		o.budget = 45 * time.Minute
	}
	return o, o.validate()
}

// parseLoopback reads the flags of the subcommand loopback.
func parseLoopback(args []string, stderr io.Writer) (*options, error) {
	o := &options{args: append([]string{"loopback"}, args...)}
	f := o.flagSet("loopback", stderr)
	if err := parseFlags(f, args); err != nil {
		return nil, err
	}
	return o, o.validate()
}

// parseVeth reads the flags of the subcommand veth.
func parseVeth(args []string, stderr io.Writer) (*options, error) {
	o := &options{args: append([]string{"veth"}, args...)}
	f := o.flagSet("veth", stderr)
	f.IntVar(&o.mtu, "mtu", 1500, "largest packet of the devices, in `bytes`, 576 to 65535")
	f.BoolVar(&o.frames, "frames", true, "let the devices take single packets only, as a network card without offloads; -frames=false hands runs of packets over as one")
	f.BoolVar(&o.join, "join", false, "with -frames, let the receiving device join single packets again, as network cards do")
	if err := parseFlags(f, args); err != nil {
		return nil, err
	}
	if o.join && !o.frames {
		return nil, &usageError{"-join needs -frames: runs of packets are not cut"}
	}
	if o.mtu < 576 || o.mtu > 65535 {
		return nil, &usageError{fmt.Sprintf("-mtu %d is not between 576 and 65535", o.mtu)}
	}
	return o, o.validate()
}

// vethName names a pair of devices in the report.
func (o *options) vethName() string {
	return fmt.Sprintf("veth-%d-%s%s", o.mtu, either(o.frames, "frames", "runs"), either(o.join, "-joined", ""))
}

func (o *options) flagSet(command string, stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Func("n", "`numbers` of connections, as 1,8; for contenders that have none of their own (default 1,2,4,8,16,32)", func(s string) error {
		o.connections = nil
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 || n > 256 {
				return fmt.Errorf("%q is no number of connections between 1 and 256", part)
			}
			o.connections = append(o.connections, n)
		}
		return nil
	})
	f.Func("contenders", "measure these `names` only, as chunkget-udt,http3", listInto(&o.contenders))
	f.Var(&o.size, "size", "`size` of the file, as 64MiB (default 64MiB; 16MiB with -quick)")
	f.IntVar(&o.reps, "reps", 3, "measure everything this many `times`, in turn; 0 with -fairness measures that alone")
	f.DurationVar(&o.bound, "bound", 0, "stop a transfer after this `time` (default 20s; 10s with -quick); what is stopped in its first repetition is not repeated")
	f.DurationVar(&o.budget, "budget", 0, "begin no transfer after this `time`, of which each link has its share for repetitions after the first (default 45m for wan, none for loopback; 2m20s with -quick)")
	f.StringVar(&o.out, "out", "bench-out", "put rows and report into this `folder`")
	f.StringVar(&o.files, "files", "", "keep the files to transfer in this `folder` (default /dev/shm, or the one for temporary files)")
	f.BoolVar(&o.trace, "trace", false, "let chunkserve record a trace of each transfer into the folder traces of -out, and draw them")
	f.BoolVar(&o.quick, "quick", false, "a small file and the contenders that matter most, within 3 minutes")
	return f
}

// parseFlags parses args. flag has printed what is wrong and the usage by the
// time an error returns.
func parseFlags(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &usageError{err.Error()}
	}
	if f.NArg() > 0 {
		return &usageError{fmt.Sprintf("unexpected argument %q", f.Arg(0))}
	}
	return nil
}

// validate checks, and fills in what depends on -quick.
func (o *options) validate() error {
	if o.size == 0 {
		o.size = either[units.Size](o.quick, 16<<20, 64<<20)
	}
	if o.bound == 0 {
		o.bound = either(o.quick, 10*time.Second, 20*time.Second)
	}
	if o.budget == 0 {
		o.budget = either(o.quick, 140*time.Second, 0)
	}
	if o.connections == nil {
		o.connections = either(o.quick, []int{1, 8}, []int{1, 2, 4, 8, 16, 32})
	}
	if o.contenders == nil && o.quick {
		o.contenders = quickContenders
	}
	switch {
	case o.reps < 0 || o.reps == 0 && o.fairness == 0:
		return &usageError{fmt.Sprintf("-reps %d is less than 1, which only -fairness makes sense with", o.reps)}
	case o.size < 64<<10:
		return &usageError{fmt.Sprintf("-size %d is less than 64 KiB", o.size)}
	case o.bound < 0 || o.budget < 0 || o.fairness < 0:
		return &usageError{"times must not be negative"}
	case o.link.rtt < 0 || o.link.jitter < 0 || o.link.burst < 0 || o.link.queue < 0:
		return &usageError{"a link has no negative quantities"}
	}
	_, err := choose(o.contenders)
	return err
}

func either[T any](condition bool, a, b T) T {
	if condition {
		return a
	}
	return b
}

func listInto(list *[]string) func(string) error {
	return func(s string) error {
		*list = strings.Split(s, ",")
		return nil
	}
}

// parseShare reads a share below 1, also in percent.
func parseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(number, 64)
	if percent {
		x /= 100
	}
	if err == nil && x >= 0 && x < 1 {
		return x, nil
	}
	return 0, fmt.Errorf("%q is no share such as 0.01 or 1%%", s)
}
