package main

import (
	"cmp"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	texttemplate "text/template"
)

//go:embed report.html.tmpl
var htmlSource string

//go:embed report.md.tmpl
var markdownSource string

// A Report is what both forms of the report are made from.
type Report struct {
	Runs     []Run
	Sections []*SectionReport
	Across   []Plot // over several links
	PlotDir  string // folder of the plots, relative to the Markdown
}

// A Run is one run of the bench, as far as the report tells.
type Run struct {
	Time    string
	Command string
	Machine Machine
	Quick   bool
}

// SectionReport is a section with its plots.
type SectionReport struct {
	*Section
	Plots []Plot
}

// reportOptions is what the command line of report says.
type reportOptions struct {
	dir      string
	markdown string // file to write, "" for report.md in dir

	traces []string // to draw instead, into out
	out    string
}

func parseReport(args []string, stderr io.Writer) (*reportOptions, error) {
	o := new(reportOptions)
	f := flag.NewFlagSet("bench report", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.markdown, "markdown", "", "write the Markdown to this `file` (default report.md in the folder)")
	f.Func("trace", "draw these traces of chunkget or chunkserve (`files`, as a.jsonl,b.jsonl) over time instead of rows", listInto(&o.traces))
	f.StringVar(&o.out, "out", "bench-out", "with -trace: put the plots, traces.html and traces.md into this `folder`")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, &usageError{err.Error()}
	}
	if o.traces != nil {
		if f.NArg() > 0 || o.markdown != "" {
			return nil, &usageError{"report -trace takes no folder with rows and no -markdown"}
		}
		return o, nil
	}
	if f.NArg() != 1 {
		return nil, &usageError{"report takes one folder with rows, or -trace"}
	}
	o.dir = f.Arg(0)
	return o, nil
}

// writeReport makes the report of all rows in a folder.
func writeReport(o *reportOptions, log io.Writer) error {
	rows, err := readDir(o.dir)
	if err != nil {
		return err
	}
	r, err := newReport(rows)
	if err != nil {
		return err
	}
	markdown := cmp.Or(o.markdown, filepath.Join(o.dir, "report.md"))
	plots := filepath.Join(o.dir, "plots")
	if r.PlotDir, err = relative(filepath.Dir(markdown), plots); err != nil {
		return fmt.Errorf("find the plots from the Markdown: %w", err)
	}
	if err := os.MkdirAll(plots, 0o777); err != nil {
		return err
	}
	for _, p := range r.allPlots() {
		if err := os.WriteFile(filepath.Join(plots, p.File), p.SVG, 0o666); err != nil {
			return fmt.Errorf("write plot: %w", err)
		}
	}
	page := filepath.Join(o.dir, "report.html")
	if err := errors.Join(writeTo(page, r.html), writeTo(markdown, r.markdown)); err != nil {
		return err
	}
	fmt.Fprintf(log, "bench: report: %s and %s\n", page, markdown)
	return nil
}

// relative returns the way from one folder to another, with slashes.
func relative(from, to string) (string, error) {
	from, err1 := filepath.Abs(from)
	to, err2 := filepath.Abs(to)
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	rel, err := filepath.Rel(from, to)
	return filepath.ToSlash(rel), err
}

func writeTo(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// newReport sorts the rows and draws the plots.
func newReport(rows []Row) (*Report, error) {
	r := new(Report)
	seen := make(map[string]bool)
	for _, row := range rows {
		if !seen[row.Run] {
			seen[row.Run] = true
			command := "go run "
			if tags := row.Machine.Tags; tags != "" {
				command += "-tags " + tags + " "
			}
			command += "./bench " + strings.Join(row.Flags, " ")
			r.Runs = append(r.Runs, Run{row.Run, command, row.Machine, isQuick(row.Flags)})
		}
	}
	sections := summarize(rows)
	names := make(map[string]int)
	for _, s := range sections {
		prefix := s.Profile
		if names[s.Profile]++; names[s.Profile] > 1 {
			prefix = fmt.Sprintf("%s-%d", s.Profile, names[s.Profile])
		}
		plots, err := s.plots(prefix)
		if err != nil {
			return nil, err
		}
		r.Sections = append(r.Sections, &SectionReport{s, plots})
	}
	var err error
	r.Across, err = acrossLinks(sections)
	return r, err
}

// isQuick reports whether the flags of a run have the one for a quick run.
func isQuick(flags []string) bool {
	return slices.ContainsFunc(flags, func(f string) bool {
		f = strings.TrimPrefix(strings.TrimPrefix(f, "-"), "-")
		return f == "quick" || f == "quick=true"
	})
}

func (r *Report) allPlots() []Plot {
	all := slices.Clone(r.Across)
	for _, s := range r.Sections {
		all = append(all, s.Plots...)
	}
	return all
}

// Unsteady lists the cells whose median is not to be relied on.
func (r *Report) Unsteady() []string {
	var out []string
	for _, s := range r.Sections {
		for _, c := range s.Cells {
			if c.Unsteady != "" {
				out = append(out, fmt.Sprintf("%s, %s: %s", s.Profile, c.Name(), c.Unsteady))
			}
		}
	}
	return out
}

// Troubles lists transfers that failed or were refused.
func (r *Report) Troubles() []string {
	var out []string
	for _, s := range r.Sections {
		for _, c := range s.Cells {
			if n := c.Bad + c.Refused; n > 0 {
				out = append(out, fmt.Sprintf("%s, %s: %d of %d transfers: %s", s.Profile, c.Name(), n, n+c.OK+c.Timeouts, strings.Join(c.Reasons, "; ")))
			}
		}
	}
	return out
}

// Quick reports whether any run was a quick one.
func (r *Report) Quick() bool {
	return slices.ContainsFunc(r.Runs, func(run Run) bool { return run.Quick })
}

// Repeated reports whether any two runs measured the same cell.
func (r *Report) Repeated() bool {
	for _, s := range r.Sections {
		for _, c := range s.Cells {
			if len(c.byRun) > 1 {
				return true
			}
		}
	}
	return false
}

var functions = map[string]any{
	"rate":    formatRate,
	"seconds": func(s float64) string { return fmt.Sprintf("%.2f s", s) },
	"short":   func(s string) string { return s[:min(12, len(s))] },
	"bounds":  bounds,
	"median": func(v Spread, unit float64, digits int) string {
		if v.N == 0 {
			return "–"
		}
		return fmt.Sprintf("%.*f", digits, v.Median/unit)
	},
	"svg": func(b []byte) template.HTML { return template.HTML(withoutProlog(string(b))) },
	"quickNote": func() string {
		return "Runs with -quick are a quick subset, not the full matrix: a small file and some of the contenders. " +
			"Much of such a short transfer is its start."
	},
	"cpuNote": func() string {
		return "CPU figures are user and system time of the client's and the server's processes, over loopback all that a transfer costs. " +
			"Over an emulated link they miss a part: the emulator is a process of its own with real-time priority, and when it hands a packet to a TUN device, " +
			"the kernel does the receive work of the end that it goes to (IP, UDP or TCP, up to the socket) in the emulator's thread. " +
			"So packets that a contender receives, acknowledgements included, cost it less here than on a network card, the more so the more packets it takes; " +
			"compare such figures with each other, not with those of other machines. " +
			"Both ends and the emulator share the cores, so a contender that needs much CPU also leaves less to its peer, and on a fast link is slowed down by that."
	},
	"setup": func() int {
		return setupRoundTrips
	},
}

// bounds shows a spread of a cell's rates or shares, with "<" before what is
// only a bound because transfers were stopped.
func bounds(c *Cell, v Spread, unit float64, digits int) string {
	if v.N == 0 {
		return "–"
	}
	median := fmt.Sprintf("%s%.*f", either(c.Bounded(), "< ", ""), digits, v.Median/unit)
	if v.N == 1 || c.OK == 0 {
		return median
	}
	return fmt.Sprintf("%s (%s%.*f–%.*f)", median, either(c.Timeouts > 0, "< ", ""), digits, v.Min/unit, digits, v.Max/unit)
}

// withoutProlog removes what stands before the root element, which HTML does not
// take, and lets the page decide on the size.
func withoutProlog(svg string) string {
	if i := strings.Index(svg, "<svg"); i > 0 {
		svg = svg[i:]
	}
	return svg
}

func (r *Report) html(w io.Writer) error     { return executeHTML(w, htmlSource, r) }
func (r *Report) markdown(w io.Writer) error { return executeMarkdown(w, markdownSource, r) }

// executeHTML writes a page for browsers, in which the template's values are escaped.
func executeHTML(w io.Writer, source string, data any) error {
	t, err := template.New("html").Funcs(functions).Parse(source)
	if err != nil {
		return err
	}
	return t.Execute(w, data)
}

// executeMarkdown writes a page as Markdown.
func executeMarkdown(w io.Writer, source string, data any) error {
	t, err := texttemplate.New("markdown").Funcs(functions).Parse(source)
	if err != nil {
		return err
	}
	return t.Execute(w, data)
}
