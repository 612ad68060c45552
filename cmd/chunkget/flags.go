package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/udtpool"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options is what the command line says about downloads.
type options struct {
	connections int
	input       string
	jobs        int
	output      string
	dir         string
	checksum    string
	metalink    string
	goOn        bool
	restart     bool
	overwrite   bool
	headers     []string
	userAgent   string
	proxy       string
	transport   string
	limitRate   units.Rate
	connect     time.Duration
	timeout     time.Duration
	minRate     units.Rate // 0 = of a command without the flag
	minRateTime time.Duration
	tries       int
	answers     answerLimits
	compress    string
	json        bool
	quiet       bool
	verbose     bool
	sending     sending
	security    security
	mirrors     mirrors
	trace       string

	ramp     bool       // begin with few connections
	listed   []*url.URL // of input
	document *document  // of metalink, nil without

	// Set by validate.
	digest       fetch.Digest
	serverDigest bool       // --checksum server
	urls         []*url.URL // the first address of each file
	wanted       []wanted   // what else is known of each
	given        []*url.URL // those of urls that are not from a Metalink
	header       http.Header
	proxyURL     *url.URL // nil = of the environment
}

func (o *options) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	o.addRamp(f)
	f.StringVarP(&o.output, "output", "o", "", "write to `FILE` instead of the name that the server or the URL gives; - is stdout, in order and checked, with nothing on disk to resume")
	f.StringVarP(&o.dir, "dir", "d", "", "put files into `DIR`, which must exist")
	f.StringVarP(&o.dir, "output-dir", "O", "", "the same as --dir `DIR`")
	f.StringVarP(&o.input, "input", "i", "", "fetch the URLs in `FILE`, too: one per line, # begins a comment, - is stdin")
	f.IntVarP(&o.jobs, "jobs", "j", 1, "`FILES` to fetch at a time, each over --connections")
	o.addExpected(f)
	o.mirrors.addFlags(f)
	f.BoolVarP(&o.goOn, "continue", "c", false, "go on with partial data of the same version of the file, which is done without asking")
	f.BoolVar(&o.restart, "restart", false, "discard partial data of another version of the file")
	f.BoolVar(&o.overwrite, "overwrite", false, "replace an existing file")
	o.addCompress(f)
	o.addRequests(f)
	o.addLeastRate(f)
	f.StringVar(&o.trace, "trace", "", "record how each connection is doing into `FILE`, JSON lines, 10 times a second")
}

// addRequests adds what says how requests are made, and how that is told.
func (o *options) addRequests(f *pflag.FlagSet) {
	o.addReaching(f)
	o.answers.addRedirects(f)
	o.sending.addFlags(f)
	o.addManners(f)
}

const proxyUsage = "reach servers over TCP through the proxy at `URL`, http, https or socks5 (default: of the environment, HTTP_PROXY, HTTPS_PROXY and NO_PROXY)"

// addReaching adds what says how servers are reached.
func (o *options) addReaching(f *pflag.FlagSet) {
	f.StringArrayVar(&o.headers, "header", nil, "send `'NAME: VALUE'` with every request, not to another origin after a redirect; may be repeated")
	f.StringVar(&o.userAgent, "user-agent", "", "send `TEXT` as User-Agent (default \"chunkget\")")
	f.StringVar(&o.proxy, "proxy", "", proxyUsage)
	f.StringVar(&o.transport, "transport", transportAuto, "what udt:// and udts:// URLs travel over: udt, tcp (HTTP or HTTPS to the TCP port of the same number; udts:// with TLS 1.3 and the same pin), or auto: what brings more, of UDT and TCP where both are open and the file is large enough to tell, in this run or an earlier one; auto and udt also take up UDT where an http:// server offers it, and UDT with TLS where an https:// server does")
	f.Var(rateValue{&o.limitRate, "64k"}, "limit-rate", "read no more than this `RATE` in bit/s, such as 20M, over all connections together; at least 64k")
	f.DurationVar(&o.connect, "connect-timeout", udtpool.DefaultDialTimeout, "how long to wait for a connection, such as 10s, if --timeout is not less")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long a connection may make no progress, such as 30s; then its request is made again")
	f.IntVar(&o.tries, "tries", 5, "give up after this many tries in a row without progress")
	o.answers.addRetryAfter(f)
	o.answers.addHeader(f)
}

// addLeastRate adds how little may come of a file.
func (o *options) addLeastRate(f *pflag.FlagSet) {
	o.minRate = 8 * fetch.DefaultMinRate
	f.Var(&o.minRate, "min-rate", "give up a file that comes at less than this `RATE` in bit/s, on the average over --min-rate-time of waiting for its servers")
	f.DurationVar(&o.minRateTime, "min-rate-time", fetch.DefaultMinRateTime, "see --min-rate; with `TIME` 0 nothing is too slow")
}

// addManners adds who the user is, and how to tell what happens.
func (o *options) addManners(f *pflag.FlagSet) {
	o.security.addFlags(f)
	f.BoolVar(&o.json, "json", false, "print one JSON event per line on stdout instead of text")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only")
	o.addVerbose(f)
}

func (o *options) addConnections(f *pflag.FlagSet, how string) {
	f.IntVarP(&o.connections, "connections", "n", fetch.DefaultConnections, fmt.Sprintf("connections in parallel, 1 to %d, %s", fetch.MaxConnections, how))
}

// addRamp adds how many connections a download may have, and how it comes to them.
func (o *options) addRamp(f *pflag.FlagSet) {
	o.addConnections(f, "as many as make it faster, see --ramp")
	f.BoolVar(&o.ramp, "ramp", true, "begin with 2 connections over UDT, with 4 over TCP, and add others while the total rate rises, up to --connections; --ramp=false opens all at once")
}

func (o *options) addCompress(f *pflag.FlagSet) {
	f.StringVar(&o.compress, "compress", "auto", "fetch compressed parts: auto (where the server offers them and less than 40 MB/s comes over the wire) or off")
}

func (o *options) addVerbose(f *pflag.FlagSet) {
	f.BoolVarP(&o.verbose, "verbose", "v", false, "print how each connection is doing every 2 s and at its end (rate, round trip, queue, loss, congestion control), and details of connections and requests")
}

// validate checks everything that can be known before anything is sent.
func (o *options) validate(args []string) error {
	if err := o.validateConnections(); err != nil {
		return err
	}
	urls := len(args) + len(o.listed) + len(o.mirrors.described)
	if urls == 0 {
		return &usageError{"no URL given", noURLHint(o.dir)}
	}
	if o.output == "-" && o.json {
		return &usageError{"--json and -o - exclude each other", "both write to stdout: name a file with -o FILE"}
	}
	if o.output != "" && urls > 1 {
		return &usageError{fmt.Sprintf("-o names one file, but there are %d URLs", urls), "use -d DIR for several files"}
	}
	if o.checksum != "" && o.checksum != checksumServer && urls > 1 {
		return &usageError{fmt.Sprintf("--checksum is for one file, but there are %d URLs", urls), "--checksum server holds each against what its server announces"}
	}
	if o.checksum != "" && len(o.mirrors.described) > 0 {
		return &usageError{"--checksum and a Metalink exclude each other", ""}
	}
	if o.metalink != "" && len(args)+len(o.listed) > 1 {
		return &usageError{fmt.Sprintf("--metalink is for one file, but there are %d URLs", urls), ""}
	}
	if err := o.validateRequests(); err != nil {
		return err
	}
	for _, a := range args {
		u, err := parseURL(a)
		if err != nil {
			return err
		}
		o.given = append(o.given, u)
	}
	o.given = append(o.given, o.listed...)
	if err := o.plan(o.given); err != nil {
		return err
	}
	named := o.given
	if o.document != nil && o.document.from != nil {
		named = append(slices.Clip(named), o.document.from)
	}
	if err := o.security.validate(named, o.header); err != nil {
		return err
	}
	return o.trustMirrors()
}

// validateRequests checks what is said about requests and their number.
func (o *options) validateRequests() (err error) {
	switch {
	case o.jobs < 1 || o.jobs*o.connections > fetch.MaxConnections:
		return &usageError{fmt.Sprintf("--jobs %d with -n %d: between 1 and %d connections in all are possible", o.jobs, o.connections, fetch.MaxConnections), jobsHint(o.jobs)}
	case o.timeout <= 0:
		return &usageError{fmt.Sprintf("--timeout %v is not positive", o.timeout), ""}
	case o.connect < 0:
		return &usageError{fmt.Sprintf("--connect-timeout %v is negative", o.connect), ""}
	case o.minRateTime < 0:
		return &usageError{fmt.Sprintf("--min-rate-time %v is negative", o.minRateTime), "0 stands for no least rate; the default is 2m"}
	case o.tries < 1:
		return &usageError{fmt.Sprintf("--tries %d is less than 1", o.tries), ""}
	case o.limitRate != 0 && o.limitRate < minLimit:
		return &usageError{fmt.Sprintf("--limit-rate %s is less than 64k bit/s", &o.limitRate), "rates look like 500k, 20M or 1.5G"}
	case o.goOn && o.restart:
		return &usageError{"--continue and --restart exclude each other", ""}
	case o.compress != "" && o.compress != "auto" && o.compress != "off":
		return &usageError{fmt.Sprintf("--compress %s is not known", quote(o.compress)), "values: auto, off"}
	case o.quiet && o.verbose:
		return &usageError{"--quiet and --verbose exclude each other", ""}
	}
	if err := o.sending.validate(); err != nil {
		return err
	}
	if err := o.answers.validate(); err != nil {
		return err
	}
	if err := checkTransport(o.transport); err != nil {
		return err
	}
	if o.header, err = requestHeader(o.headers, o.userAgent); err != nil {
		return err
	}
	o.proxyURL, err = parseProxy(o.proxy)
	return err
}

// noURLHint says what to do without a URL, where dir is that of the command line.
func noURLHint(dir string) string {
	if u, err := url.Parse(dir); err == nil && slices.Contains(schemes, u.Scheme) && u.Host != "" {
		return "-O takes a folder, as -d does, and has taken the URL for one: leave it out, the file is named as in the URL"
	}
	return "try: chunkget demo, or: chunkget --help"
}

// jobsHint says what is possible where so many files at a time are not.
func jobsHint(jobs int) string {
	switch {
	case jobs < 1:
		return "--jobs is the number of files to fetch at a time, 1 or more"
	case jobs > fetch.MaxConnections:
		return fmt.Sprintf("at most %d files at a time are possible, with -n 1", fetch.MaxConnections)
	}
	return fmt.Sprintf("for %d files at a time, give -n %d or less", jobs, fetch.MaxConnections/jobs)
}

// dialTimeout is how long to wait for a connection.
func (o *options) dialTimeout() time.Duration {
	return min(o.timeout, cmp.Or(o.connect, udtpool.DefaultDialTimeout))
}

// readLists reads the files that say what to fetch.
func (o *options) readLists(stdin io.Reader) (err error) {
	if o.input != "" {
		o.listed, err = openInput(o.input, stdin)
	}
	return err
}

func (o *options) validateConnections() error {
	if o.connections < 1 || o.connections > fetch.MaxConnections {
		return &usageError{fmt.Sprintf("-n %d is not between 1 and %d", o.connections, fetch.MaxConnections), ""}
	}
	return nil
}

// schemes lists the URL schemes that can be fetched.
var schemes = []string{"udt", "udts", "http", "https"}

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
	case u.Scheme == "":
		return nil, &usageError{fmt.Sprintf("%s has no scheme", quote(fetch.RedactURL(u))), schemesHint()}
	case !slices.Contains(schemes, u.Scheme):
		return nil, &usageError{fmt.Sprintf("unknown scheme %s in %s", quote(u.Scheme), quote(fetch.RedactURL(u))), schemesHint()}
	case u.Hostname() == "":
		return nil, &usageError{fmt.Sprintf("%s has no host", quote(fetch.RedactURL(u))), "a URL looks like udt://host:9000/path"}
	}
	return u, nil
}

// rootCommand returns the whole command tree. args is the command line to show
// in hints.
func rootCommand(u *ui, args []string) *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use:   "chunkget [flags] URL|FILE.meta4...",
		Short: "download files in parallel, verified and resumable",
		Long: `chunkget downloads files over several connections in parallel, checks every piece
against the server's hash tree, and goes on after an interruption where it was.

  chunkget demo                              see it work on this machine
  chunkget udt://host:9000/big.iso           fetch over UDT from a chunkserve
  chunkget 'udts://host:9000/big.iso#pin=sha256:...'   encrypted; chunkserve prints the pin
  chunkget -n 4 https://host/big.iso         fetch over TCP from any web server
  chunkget -o - udt://host/a.tar | tar x     unpack while it comes, each piece checked before
  chunkget --background udt://host/big.iso   take only what others leave of the path
  chunkget verify FILE udt://host/big.iso    tell which bytes of a file are wrong
  chunkget repair udt://host/big.iso FILE    fetch only those
  chunkget put big.iso udt://host:9000/      send a file to a chunkserve --upload
  chunkget doctor udt://host/big.iso         what makes it slow, and what to change
  chunkget -i list.txt --jobs 4 -d DIR       fetch many files, four at a time
  chunkget big.iso.meta4                     fetch what a Metalink names, from all its mirrors
  chunkget --mirror https://b/big.iso udt://a:9000/big.iso   from two servers at once

Flags may be kept in $XDG_CONFIG_HOME/chunkget/config (~/.config/chunkget/config), as
lines of the form: connections = 4. With NO_COLOR set nothing is coloured.

Schemes: udt (HTTP over UDT), udts (with TLS 1.3), http, https. A server is known by
its pin, if the URL has one, or by its certificate. Tokens come from a file, logins from
~/.netrc; files with secrets must be readable by their owner only (chmod 600), and
nothing of them is sent to another server or over plain text. A partial file is FILE.part with its
journal FILE.part.journal; the same command again resumes.

` + exitHelp,
		Args:          cobra.ArbitraryArgs,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, urls []string) error {
			u.quiet, u.verbose, u.json = o.quiet, o.verbose, o.json
			err := o.readLists(cmd.InOrStdin())
			if err == nil {
				urls, err = o.readMetalinks(cmd.Context(), u, urls)
			}
			if err == nil {
				err = o.validate(urls)
			}
			if err != nil {
				return refuse(u, err)
			}
			return getAll(cmd.Context(), u, o, args)
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &usageError{err.Error(), "see: chunkget --help"}
	})
	o.addFlags(cmd.Flags())
	addConfig(cmd, u)
	cmd.AddCommand(verifyCommand(u), repairCommand(u, args), putCommand(u, args), inspectCommand(u), doctorCommand(u), demoCommand(u))
	return cmd
}
