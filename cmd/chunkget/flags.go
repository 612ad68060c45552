package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/udtpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options is what the command line says about downloads.
type options struct {
	connections int
	output      string
	dir         string
	checksum    string
	restart     bool
	overwrite   bool
	timeout     time.Duration
	tries       int
	json        bool
	quiet       bool
	verbose     bool
	sending     sending
	trace       string

	// Set by validate.
	sha256 []byte
	urls   []*url.URL
}

func (o *options) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	o.addConnections(f)
	f.StringVarP(&o.output, "output", "o", "", "write to `FILE` instead of the name that the server or the URL gives")
	f.StringVarP(&o.dir, "dir", "d", "", "put files into `DIR`, which must exist")
	f.StringVar(&o.checksum, "checksum", "", "require this digest of the whole file, as `sha256:HEX`")
	f.BoolVar(&o.restart, "restart", false, "discard partial data of another version of the file")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace an existing file")
	f.DurationVar(&o.timeout, "timeout", udtpool.DefaultDialTimeout, "how long to wait for a connection, such as 10s")
	f.IntVar(&o.tries, "tries", 5, "give up after this many tries in a row without progress")
	o.sending.addFlags(f)
	f.BoolVar(&o.json, "json", false, "print one JSON event per line on stdout instead of text")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only")
	o.addVerbose(f)
	f.StringVar(&o.trace, "trace", "", "record how each connection is doing into `FILE`, JSON lines, 10 times a second")
}

func (o *options) addConnections(f *pflag.FlagSet) {
	f.IntVarP(&o.connections, "connections", "n", fetch.DefaultConnections, fmt.Sprintf("connections in parallel, 1 to %d", fetch.MaxConnections))
}

func (o *options) addVerbose(f *pflag.FlagSet) {
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print how each connection is doing every 2 s and at its end (rate, round trip, queue, loss, congestion control), and details of connections and requests")
}

// validate checks everything that can be known before anything is sent.
func (o *options) validate(args []string) error {
	if err := o.validateConnections(); err != nil {
		return err
	}
	if err := o.sending.validate(); err != nil {
		return err
	}
	if len(args) == 0 {
		return &usageError{"no URL given", "try: chunkget demo, or: chunkget --help"}
	}
	if o.output == "-" {
		return &usageError{"writing to stdout is not supported", "name a file with -o FILE"}
	}
	if o.output != "" && len(args) > 1 {
		return &usageError{fmt.Sprintf("-o names one file, but there are %d URLs", len(args)), "use -d DIR for several files"}
	}
	if o.checksum != "" && len(args) > 1 {
		return &usageError{fmt.Sprintf("--checksum is for one file, but there are %d URLs", len(args)), ""}
	}
	if o.timeout <= 0 {
		return &usageError{fmt.Sprintf("--timeout %v is not positive", o.timeout), ""}
	}
	if o.tries < 1 {
		return &usageError{fmt.Sprintf("--tries %d is less than 1", o.tries), ""}
	}
	if o.quiet && o.verbose {
		return &usageError{"--quiet and --verbose exclude each other", ""}
	}
	if o.checksum != "" {
		sum, err := parseChecksum(o.checksum)
		if err != nil {
			return err
		}
		o.sha256 = sum
	}
	for _, a := range args {
		u, err := parseURL(a)
		if err != nil {
			return err
		}
		o.urls = append(o.urls, u)
	}
	return nil
}

func (o *options) validateConnections() error {
	if o.connections < 1 || o.connections > fetch.MaxConnections {
		return &usageError{fmt.Sprintf("-n %d is not between 1 and %d", o.connections, fetch.MaxConnections), ""}
	}
	return nil
}

// schemes lists the URL schemes that can be fetched.
var schemes = []string{"udt", "http", "https"}

func schemesHint() string { return "known schemes: " + strings.Join(schemes, "://, ") + "://" }

// parseURL reads a URL argument. Its errors repeat no password.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// The error of url.Parse repeats all of s.
		if ue, ok := err.(*url.Error); ok {
			err = ue.Err
		}
		return nil, &usageError{fmt.Sprintf("malformed URL: %v", err), "a URL looks like udt://host:9000/path"}
	}
	switch {
	case u.Scheme == "udts":
		return nil, &usageError{fmt.Sprintf("%s: this version has no TLS over UDT yet", quote(u.Redacted())),
			"use https://, or udt:// where the network is trusted"}
	case u.Scheme == "":
		return nil, &usageError{fmt.Sprintf("%s has no scheme", quote(u.Redacted())), schemesHint()}
	case !slices.Contains(schemes, u.Scheme):
		return nil, &usageError{fmt.Sprintf("unknown scheme %s in %s", quote(u.Scheme), quote(u.Redacted())), schemesHint()}
	case u.Hostname() == "":
		return nil, &usageError{fmt.Sprintf("%s has no host", quote(u.Redacted())), "a URL looks like udt://host:9000/path"}
	}
	return u, nil
}

// parseChecksum reads ALGORITHM:HEX.
func parseChecksum(s string) ([]byte, error) {
	algorithm, digits, ok := strings.Cut(s, ":")
	if !ok || !strings.EqualFold(algorithm, "sha256") {
		return nil, &usageError{fmt.Sprintf("--checksum %s is not of the form sha256:HEX", quote(s)), ""}
	}
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha256.Size {
		return nil, &usageError{fmt.Sprintf("--checksum %s needs %d hexadecimal digits after sha256:", quote(s), 2*sha256.Size), ""}
	}
	return sum, nil
}

// rootCommand returns the whole command tree. args is the command line to show
// in hints.
func rootCommand(u *ui, args []string) *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use:   "chunkget [flags] URL...",
		Short: "download files in parallel, verified and resumable",
		Long: `chunkget downloads files over several connections in parallel, checks every piece
against the server's hash tree, and goes on after an interruption where it was.

  chunkget demo                              see it work on this machine
  chunkget udt://host:9000/big.iso           fetch over UDT from a chunkserve
  chunkget -n 4 https://host/big.iso         fetch over TCP from any web server
  chunkget --background udt://host/big.iso   take only what others leave of the path

Schemes: udt (HTTP over UDT), http, https. A partial file is FILE.part with its
journal FILE.part.journal; the same command again resumes.

` + exitHelp,
		Args:          cobra.ArbitraryArgs,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, urls []string) error {
			u.quiet, u.verbose, u.json = o.quiet, o.verbose, o.json
			if err := o.validate(urls); err != nil {
				if o.json {
					(&eventWriter{w: u.stdout}).end(err)
				}
				return err
			}
			return getAll(cmd.Context(), u, o, args)
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &usageError{err.Error(), "see: chunkget --help"}
	})
	o.addFlags(cmd.Flags())
	cmd.AddCommand(demoCommand(u))
	return cmd
}
