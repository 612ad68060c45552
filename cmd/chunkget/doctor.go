package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/chunkget/chunkget/fetch"
	"github.com/spf13/cobra"
)

// A verdict says how a finding bears on downloads.
type verdict string

const (
	verdictOK   verdict = "ok"
	verdictWarn verdict = "warn" // works, and could be better
	verdictBad  verdict = "bad"  // costs much, or stands in the way
)

// finding is one line of doctor: what was looked at, what it is, and what to do.
type finding struct {
	Event   string  `json:"event"` // "finding"
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text"`
	Advice  string  `json:"advice,omitempty"`
	// Value is what was measured, in the unit that Unit names.
	Value float64 `json:"value,omitempty"`
	Unit  string  `json:"unit,omitempty"`
}

// examination collects the findings of one run, which one goroutine makes.
type examination struct {
	ui    *ui
	json  bool
	worst verdict
}

func (x *examination) add(f finding) {
	f.Event = "finding"
	if f.Verdict == verdictBad || f.Verdict == verdictWarn && x.worst != verdictBad {
		x.worst = f.Verdict
	}
	if x.json {
		x.ui.events().write(f)
		return
	}
	fmt.Fprintf(x.ui.stdout, "%-4s  %-15s  %s\n", f.Verdict, f.Check, x.ui.shown(f.Text))
	if f.Advice != "" {
		fmt.Fprintf(x.ui.stdout, "%23s  → %s\n", "", x.ui.shown(f.Advice))
	}
}

func doctorCommand(u *ui) *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use:   "doctor [flags] [URL]",
		Short: "look for what makes downloads slow, on this machine and on the way to a server",
		Long: `doctor looks at this machine: the socket buffers that the kernel allows, whether it
cuts and joins UDP packets (GSO, GRO), and how fast the folder for downloads takes
data. With the URL of a file it also looks at the way to its server: whether UDP and
TCP get through, the round trip, loss and jitter over UDT while 8 MiB of the file are
read, the largest packet that the path takes, and the clocks; with udts:// and https://
also whether it is the server that it should be; with http:// and https:// also whether
it offers UDT, which is then looked at as well, and the proxy if there is one. Nothing
of the file is kept.

Each line has a verdict, ok, warn or bad, and what to change. The exit code is 0
whatever the verdicts, and that of the failure if the server cannot be reached.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{fmt.Sprintf("one URL expected, got %d", len(args)), ""}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			u.json = o.json
			var target *url.URL
			if len(args) == 1 {
				var err error
				if target, err = o.parseTarget(args[0]); err != nil {
					return err
				}
			}
			return doctor(cmd.Context(), &examination{ui: u, json: o.json}, target, o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.dir, "dir", "d", ".", "the `DIR` that downloads go to")
	f.DurationVar(&o.connect, "connect-timeout", defaultDoctorTimeout, "how long to wait for an answer")
	o.answers.addHeader(f)
	f.StringVar(&o.proxy, "proxy", "", proxyUsage)
	o.security.addFlags(f)
	f.BoolVar(&o.json, "json", false, "print one JSON object per finding on stdout")
	return cmd
}

func doctor(ctx context.Context, x *examination, target *url.URL, o *options) error {
	if o.connect <= 0 {
		return &usageError{fmt.Sprintf("--connect-timeout %v is not positive", o.connect), ""}
	}
	if err := o.answers.validate(); err != nil {
		return err
	}
	x.offload()
	if err := x.disk(ctx, o.dir); err != nil {
		return &fetch.Error{Kind: fetch.KindDisk, Op: "measure the disk", Err: err, Hint: "name a folder you may write to with -d DIR"}
	}
	if target == nil {
		x.buffers(flow{})
		return nil
	}
	proxy, err := parseProxy(o.proxy)
	if err != nil {
		return err
	}
	o.proxyURL = proxy
	o.draw(x.ui)
	d, err := newDestination(target, proxy, o)
	if err != nil {
		return err
	}
	path, err := x.server(ctx, d)
	x.buffers(path)
	return err
}
