package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/udt"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// options is what the command line says.
type options struct {
	listen   string
	status   string
	state    string
	dotFiles bool
	compress string
	logLevel string
	trace    string
	control  string
	rate     units.Rate
	maxRate  units.Rate
	memory   units.Size
	limits   limitOptions
	security security
	upload   uploadOptions

	// Set by validate.
	level      slog.Level
	dir        string
	congestion func() udt.Congestion
}

func (o *options) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVar(&o.listen, "listen", ":9000", "serve on this `ADDR`, UDT on UDP and HTTP on TCP; port 0 picks a free one")
	f.StringVar(&o.status, "status", "", "serve the status as JSON on this `ADDR`; without a host, on loopback only")
	f.StringVar(&o.state, "state", "", "keep computed hashes and the key pair of --tls in `DIR` (default: chunkget in the user's cache directory and state directory)")
	f.BoolVar(&o.dotFiles, "dotfiles", false, "serve names that begin with a dot, too")
	f.StringVar(&o.compress, "compress", "auto", "compress what is sent: auto (zstd or gzip for clients that accept it, where a sample shrinks; FILE.zst and FILE.gz beside FILE are sent as they are) or off")
	f.StringVar(&o.control, "congestion", "bbr", "congestion `CONTROL` of what is sent over UDT: bbr (a model of the path), ledbat (takes what others leave), fixed (sends at --rate) or udt (the original)")
	f.Var(&o.rate, "rate", "with --congestion fixed: send to each client at this `RATE` in bit/s, such as 200M, whatever the path loses")
	f.Var(&o.maxRate, "allow-rate", "let each client ask for fixed, sending whatever the path loses, up to this `RATE` in bit/s (default: none)")
	f.Var(&o.memory, "memory", "buffer no more than this `SIZE`, such as 512MiB, over all UDT connections (default: a quarter of the machine's memory)")
	o.limits.addFlags(f)
	o.security.addFlags(f)
	o.upload.addFlags(f)
	f.StringVar(&o.logLevel, "log-level", "info", "least level to log: debug (counters of UDT connections), info (one line per request), warn or error")
	f.StringVar(&o.trace, "trace", "", "record how each connection is doing into `FILE`, JSON lines, 10 times a second")
}

// udtConfig returns the parameters of the UDT endpoint.
func (o *options) udtConfig() *udt.Config {
	cfg := &udt.Config{Congestion: o.congestion, Allow: o.allowed()}
	if o.memory > 0 {
		cfg.Memory = udt.NewMemory(int64(o.memory))
	}
	o.limits.applyTo(cfg)
	return cfg
}

// allowed says what clients may ask for. Whoever has chosen the background or a
// rate for this server does not let clients take more.
func (o *options) allowed() udt.AskPolicy {
	p := udt.AskPolicy{MaxRate: float64(max(o.maxRate, o.rate))}
	switch o.control {
	case "ledbat":
		p.Controllers = []string{"ledbat", "fixed"}
	case "fixed":
		p.Controllers = []string{"fixed"}
	}
	return p
}

// minMemory is what a few connections need.
const minMemory = 8 << 20

// validate checks everything that can be known before anything is opened.
func (o *options) validate(args []string) error {
	switch {
	case len(args) == 0:
		return &usageError{"no folder given", "try: chunkserve .   or: chunkserve --help"}
	case len(args) > 1:
		return &usageError{fmt.Sprintf("one folder expected, got %d arguments", len(args)), "quote a name that has spaces in it"}
	}
	o.dir = args[0]
	info, err := os.Stat(o.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &usageError{fmt.Sprintf("there is no folder %q", o.dir), "name an existing folder; . is the current one"}
	case err != nil:
		return &usageError{fmt.Sprintf("folder %q: %v", o.dir, underlying(err)), ""}
	case !info.IsDir():
		return &usageError{fmt.Sprintf("%q is not a folder", o.dir), fmt.Sprintf("serve the folder that it is in: %q", filepath.Dir(o.dir))}
	}
	if err := checkAddress("--listen", o.listen); err != nil {
		return err
	}
	if o.status != "" {
		if err := checkAddress("--status", o.status); err != nil {
			return err
		}
	}
	if o.compress != "auto" && o.compress != "off" {
		return &usageError{fmt.Sprintf("--compress %q is not known", o.compress), "values: auto, off"}
	}
	if o.congestion, err = udt.ControllerByName(o.control, float64(o.rate)); err != nil {
		return &usageError{"--congestion, --rate: " + err.Error(), "for example: --congestion fixed --rate 200M"}
	}
	if o.memory != 0 && o.memory < minMemory {
		return &usageError{fmt.Sprintf("--memory %s is too little", o.memory.String()), "each UDT connection takes half a MiB: give 8MiB or more"}
	}
	if err := o.limits.validate(); err != nil {
		return err
	}
	if err := o.security.validate(); err != nil {
		return err
	}
	if err := o.upload.validate(); err != nil {
		return err
	}
	if err := o.level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return &usageError{fmt.Sprintf("--log-level %q is not known", o.logLevel), "levels: debug, info, warn, error"}
	}
	return nil
}

// checkAddress checks the form of host:port; the host may be empty.
func checkAddress(flag, address string) error {
	const hint = "an address looks like :9000, 192.0.2.1:9000 or [2001:db8::1]:9000"
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return &usageError{fmt.Sprintf("%s %q is no address", flag, address), hint}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &usageError{fmt.Sprintf("%s %q: %q is no port between 0 and 65535", flag, address, port), hint}
	}
	return nil
}

// underlying returns err without the operation and path that it repeats.
func underlying(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func rootCommand(u *ui) *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use:   "chunkserve [flags] DIR",
		Short: "serve a folder over UDT and TCP, verifiable and resumable",
		Long: `chunkserve serves a folder over HTTP, on UDT (reliable transport over UDP) and on TCP
of the same port. When it is ready it prints the command that fetches from it.

  chunkserve ./data                          serve ./data on port 9000
  chunkserve --listen 192.0.2.1:80 ./data    on one address and another port
  chunkserve --listen :0 --status :9001 .    on any free port, with a status page
  chunkserve --tls ./data                    encrypted, known to clients by its key
  chunkserve --tls --require-tls --token-file tokens ./data   for those with a token
  chunkserve --upload ./incoming             take files, too

  chunkget udt://HOST:9000/big.iso           what to type on the other side
  curl -O http://HOST:9000/big.iso           works as well, and so does
  aria2c 'http://HOST:9000/big.iso?digest=meta4'
  chunkget put big.iso udt://HOST:9000/      with --upload, as well as
  curl -T big.iso http://HOST:9000/big.iso

Under systemd it takes the sockets of a socket unit in place of --listen, and says when
it is ready (Type=notify); packaging/systemd has the units.

Resources: /path the file, /path?digest=tree its hash tree, /path?digest=meta4 its
Metalink, /path?bytes=A-B a part of it, /dir/ a listing (HTML, or JSON by Accept).
With --tls or --tls-cert the same port speaks TLS 1.3 (https, udts) as well as plain
text, unless --require-tls. Files with keys and tokens must be readable by their owner
only (chmod 600). They are read again when they change.

Nothing outside DIR is served, and without --upload nothing is ever written to it. With
it, files are taken into the folders that are there, as a whole or in parts that are
checked against a hash tree; they appear when they are complete and on disk, and nothing
is overwritten. Unfinished ones are in DIR/.chunkget-uploads.

The first Ctrl-C lets downloads go on for some seconds, a second one stops at once;
clients can resume. Exit codes: 0 stopped by a signal, 1 failed, 2 wrong usage,
130 stopped by a second signal.`,
		Args:          cobra.ArbitraryArgs,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(args); err != nil {
				return err
			}
			return serveFolder(cmd.Context(), u, o)
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &usageError{err.Error(), "see: chunkserve --help"}
	})
	cmd.CompletionOptions.HiddenDefaultCmd = true
	o.addFlags(cmd.Flags())
	return cmd
}
