package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/chunkget/chunkget"

// rule says what a package may import outside of its tests.
type rule struct {
	siblings []string          // packages of this module
	external []string          // modules outside the standard library; nil means none
	not      map[string]string // packages of the standard library, with the reason against them
	noClock  bool              // time.Duration is a unit, but nothing may ask for the time or wait
	forTests bool              // only tests import it, and packages of this kind
}

const (
	pure       = "it is pure: same calls, same answers, on any machine at any time"
	noHTTP     = "it must work for anything that moves bytes, not only for HTTP"
	noProtocol = "it moves IP packets and must not know what is in them"
	noSocket   = "it meets the network only through an interface, so that every transport and every test double fits"
)

var pureNot = map[string]string{
	"os": pure, "syscall": pure, "net": pure, "net/http": pure, "math/rand": pure, "math/rand/v2": pure,
}

// internal returns the siblings that are internal packages.
func (r rule) internal() (names []string) {
	for _, s := range r.siblings {
		if strings.HasPrefix(s, "internal/") {
			names = append(names, s)
		}
	}
	return names
}

// rules has an entry for every package of the module. Imports point down only:
//
//	cmd → fetch, serve, udtpool, udt
//	fetch → segment, journal, merkle, metalink    serve → merkle, journal    udtpool → udt
var rules = map[string]rule{
	"cmd/chunkget": {
		siblings: []string{"fetch", "journal", "merkle", "metalink", "serve", "udtpool", "udt", "internal/buildinfo", "internal/connstats", "internal/credentials", "internal/pin", "internal/printable", "internal/units"},
		external: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/vbauerster/mpb/v8", "golang.org/x/net/http/httpguts", "golang.org/x/net/http/httpproxy", "golang.org/x/term", "golang.org/x/time"},
	},
	"cmd/chunkserve": {
		siblings: []string{"serve", "udt", "internal/buildinfo", "internal/connstats", "internal/credentials", "internal/printable", "internal/tlsport", "internal/units"},
		external: []string{"github.com/coreos/go-systemd/v22", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sync"},
	},
	"fetch": {
		siblings: []string{"segment", "journal", "merkle", "metalink", "internal/pin", "internal/printable"},
		external: []string{"github.com/klauspost/compress", "golang.org/x/sync"},
	},
	"serve": {
		siblings: []string{"merkle", "journal", "internal/credentials"}, // journal: which pieces of an upload are on disk
		external: []string{"github.com/klauspost/compress", "go.etcd.io/bbolt", "golang.org/x/sys", "golang.org/x/time"},
	},
	"udtpool": {
		siblings: []string{"udt"},
	},
	"udt": {
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net/http": noHTTP},
	},
	"segment":  {not: pureNot, noClock: true},
	"merkle":   {external: []string{"github.com/klauspost/cpuid/v2"}, not: pureNot, noClock: true},
	"metalink": {not: pureNot, noClock: true},
	"journal": {
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net": noSocket, "net/http": noSocket},
	},
	"bench/wan": {
		siblings: []string{"internal/ethtool", "internal/linkmodel"},
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net": noProtocol, "net/http": noProtocol},
	},
	"bench": {
		siblings: []string{"bench/wan", "internal/libudt", "internal/trace", "internal/units", "udt"}, // programs that it measures, it starts; udt for flows from memory to memory
		external: []string{"github.com/quic-go/quic-go", "golang.org/x/sync", "gonum.org/v1/plot"},
	},
	"internal/archtest":  {},
	"internal/buildinfo": {not: pureNot, noClock: true},
	"internal/connstats": {
		siblings: []string{"udt", "internal/trace"},
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net/http": noHTTP},
	},
	"internal/credentials": {not: map[string]string{"net": noSocket, "net/http": noHTTP}},
	"internal/e2e":         {},
	"internal/ethtool": {
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net": noProtocol, "net/http": noProtocol},
	},
	"internal/faultfile": {forTests: true, siblings: []string{"journal"}, not: map[string]string{"net": noSocket, "net/http": noSocket}},
	"internal/handover":  {forTests: true, not: map[string]string{"net/http": noHTTP}},
	"internal/libudt":    {not: map[string]string{"net/http": noHTTP}},
	"internal/lossyrelay": {
		forTests: true,
		siblings: []string{"internal/simnet"},
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net/http": noHTTP},
	},
	"internal/linkmodel": {
		not:     map[string]string{"os": pure, "syscall": pure, "net": pure, "net/http": pure},
		noClock: true,
	},
	"internal/manpages": {
		forTests: true,
		external: []string{"github.com/spf13/cobra"},
		not:      map[string]string{"net": noSocket, "net/http": noSocket},
	},
	"internal/netns": {
		forTests: true,
		external: []string{"golang.org/x/sys"},
		not:      map[string]string{"net/http": noHTTP},
	},
	"internal/pin":       {not: pureNot, noClock: true},
	"internal/printable": {not: pureNot, noClock: true},
	"internal/scripts": {
		forTests: true,
		external: []string{"github.com/rogpeppe/go-internal"},
		not:      map[string]string{"net": noSocket, "net/http": noSocket},
	},
	"internal/tlsport": {
		siblings: []string{"internal/credentials", "internal/pin"},
		not:      map[string]string{"net/http": noHTTP},
	},
	"internal/trace": {not: pureNot, noClock: true},
	"internal/units": {not: pureNot, noClock: true},
	"internal/simnet": {
		forTests: true,
		siblings: []string{"internal/linkmodel"},
		not:      map[string]string{"net/http": noHTTP},
	},
}

// emptyNames are package names that say where things were put, not what they do.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "base", "shared", "pkg", "types", "lib"}

// pkg is what the tests know of one directory with Go files.
type pkg struct {
	dir         string              // relative to the module, with slashes
	name        string              // from the package clauses outside of external tests
	imports     map[string][]string // outside of tests: path → files
	testImports map[string][]string
	clock       []string // files that read the clock or wait, outside of tests
	doc         bool
}

// clockFuncs are the functions of package time that depend on the time.
var clockFuncs = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func TestImportsPointDown(t *testing.T) {
	for _, p := range load(t) {
		for _, v := range violations(p, rules) {
			t.Error(v)
		}
	}
}

// A rule allows nothing that nobody needs, or it would not tell what the layers
// are.
func TestRulesAreNeeded(t *testing.T) {
	packages := load(t)
	for dir, r := range rules {
		i := slices.IndexFunc(packages, func(p pkg) bool { return p.dir == dir })
		if i < 0 {
			t.Errorf("%s: there is no such package", dir)
			continue
		}
		for _, v := range unneeded(packages[i], r) {
			t.Error(v)
		}
	}
}

// What is for tests stays out of the programs, whatever the table allows.
func TestProgramsDoWithoutWhatIsForTests(t *testing.T) {
	for dir, r := range rules {
		for _, s := range r.siblings {
			if rules[s].forTests && !r.forTests {
				t.Errorf("%s may import %s, which is for tests", dir, s)
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range load(t) {
		if !p.doc {
			t.Errorf("%s: no file has a package comment", p.dir)
		}
	}
}

func TestPackageNamesSayWhatTheyDo(t *testing.T) {
	for _, p := range load(t) {
		for element := range strings.SplitSeq(p.dir+"/"+p.name, "/") {
			if slices.Contains(emptyNames, element) {
				t.Errorf("%s: %q does not say what the package does", p.dir, element)
			}
		}
	}
}

// violations returns what p imports and must not, each with the reason.
func violations(p pkg, rules map[string]rule) []string {
	r, ok := rules[p.dir]
	if !ok {
		return []string{fmt.Sprintf("%s: the package is not in the table of rules: say there what it may import", p.dir)}
	}
	var out []string
	complain := func(imported string, files []string, format string, args ...any) {
		out = append(out, fmt.Sprintf("%s (%s) imports %s: %s", p.dir, strings.Join(files, ", "), imported, fmt.Sprintf(format, args...)))
	}
	for _, imported := range sortedKeys(p.imports) {
		files := p.imports[imported]
		sibling, isSibling := strings.CutPrefix(imported, module+"/")
		first, _, _ := strings.Cut(imported, "/")
		switch {
		case isSibling && (strings.HasPrefix(sibling, "cmd/") || sibling == "bench"):
			complain(imported, files, "nothing imports a command")
		case isSibling && !slices.Contains(r.siblings, sibling) && strings.HasPrefix(sibling, "internal/"):
			complain(imported, files, "of the internal packages this package may import %s", list(r.internal()))
		case isSibling && !slices.Contains(r.siblings, sibling):
			complain(imported, files, "imports point down only; this package may import %s", list(r.siblings))
		case isSibling:
		case strings.Contains(first, "."):
			if !slices.ContainsFunc(r.external, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") }) {
				complain(imported, files, "of the modules outside the standard library this package may import %s", list(r.external))
			}
		case r.not[imported] != "":
			complain(imported, files, "%s", r.not[imported])
		}
	}
	if r.noClock && len(p.clock) > 0 {
		out = append(out, fmt.Sprintf("%s (%s) asks for the time: %s", p.dir, strings.Join(p.clock, ", "), pure))
	}
	for _, imported := range sortedKeys(p.testImports) {
		if strings.HasPrefix(imported, module+"/cmd/") {
			complain(imported, p.testImports[imported], "nothing imports a command")
		}
	}
	return out
}

// unneeded returns what r allows and p does not import.
func unneeded(p pkg, r rule) (out []string) {
	imports := sortedKeys(p.imports)
	for _, s := range r.siblings {
		if !slices.Contains(imports, module+"/"+s) {
			out = append(out, fmt.Sprintf("%s does not import %s: take it out of the table of rules", p.dir, s))
		}
	}
	for _, m := range r.external {
		if !slices.ContainsFunc(imports, func(i string) bool { return i == m || strings.HasPrefix(i, m+"/") }) {
			out = append(out, fmt.Sprintf("%s imports nothing of %s: take it out of the table of rules", p.dir, m))
		}
	}
	return out
}

func TestUnneededRulesAreFound(t *testing.T) {
	p := pkg{dir: "high", imports: map[string][]string{module + "/low": {"a.go"}, "example.com/good/part": {"a.go"}}}
	if got := unneeded(p, rule{siblings: []string{"low"}, external: []string{"example.com/good"}}); len(got) != 0 {
		t.Errorf("complaints %q, want none", got)
	}
	if got := unneeded(p, rule{siblings: []string{"low", "lower"}, external: []string{"example.com/good", "example.com/goo"}}); len(got) != 2 {
		t.Errorf("complaints %q, want two", got)
	}
}

func TestViolationsAreFound(t *testing.T) {
	table := map[string]rule{
		"low":  {not: map[string]string{"os": pure}, noClock: true},
		"high": {siblings: []string{"low"}, external: []string{"example.com/good"}},
	}
	for _, tt := range []struct {
		dir, imported string
		want          string // part of the complaint, "" for none
	}{
		{"low", "fmt", ""},
		{"low", "os", pure},
		{"low", "os/signal", ""},
		{"low", module + "/high", "imports point down"},
		{"low", "example.com/good", "outside the standard library"},
		{"high", module + "/low", ""},
		{"high", module + "/cmd/x", "nothing imports a command"},
		{"high", module + "/internal/x", "of the internal packages this package may import none"},
		{"high", "example.com/good/part", ""},
		{"high", "example.com/goodbye", "outside the standard library"},
		{"new", "fmt", "not in the table"},
	} {
		got := violations(pkg{dir: tt.dir, imports: map[string][]string{tt.imported: {"a.go"}}}, table)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s imports %s: complaints %q, want one with %q", tt.dir, tt.imported, got, tt.want)
		}
	}
	if got := violations(pkg{dir: "low", testImports: map[string][]string{module + "/cmd/x": {"a_test.go"}}}, table); len(got) != 1 {
		t.Errorf("a test that imports a command: complaints %q, want one", got)
	}
}

func TestClockIsFound(t *testing.T) {
	for source, want := range map[string]int{
		"package p\nimport \"time\"\nvar d time.Duration = time.Second": 0,
		"package p\nimport \"time\"\nvar t = time.Now()":                1,
		"package p\nimport \"time\"\nvar f = time.After":                1,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "a.go", source, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		p := pkg{dir: "low", imports: map[string][]string{}}
		if err := p.add("a.go", f); err != nil {
			t.Fatal(err)
		}
		if got := violations(p, map[string]rule{"low": {noClock: true}}); len(got) != want {
			t.Errorf("%q: complaints %q, want %d", source, got, want)
		}
	}
}

// load reads the package clauses, imports and uses of the clock of the whole module.
func load(t *testing.T) []pkg {
	t.Helper()
	root := moduleRoot(t)
	byDir := make(map[string]*pkg)
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if name != root && (strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") || e.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		p := byDir[dir]
		if p == nil {
			p = &pkg{dir: dir, imports: make(map[string][]string), testImports: make(map[string][]string)}
			byDir[dir] = p
		}
		return p.add(path.Base(filepath.ToSlash(name)), f)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(byDir) < 5 {
		t.Fatalf("only %d packages found under %s", len(byDir), root)
	}
	var out []pkg
	for _, dir := range sortedKeys(byDir) {
		out = append(out, *byDir[dir])
	}
	return out
}

func (p *pkg) add(file string, f *ast.File) error {
	isTest := strings.HasSuffix(file, "_test.go")
	imports := p.imports
	if isTest {
		imports = p.testImports
	} else {
		p.name = f.Name.Name
		p.doc = p.doc || f.Doc != nil
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clockFuncs, sel.Sel.Name) {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
					p.clock = append(p.clock, file)
				}
			}
			return true
		})
	}
	for _, s := range f.Imports {
		imported, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return err
		}
		imports[imported] = append(imports[imported], file)
	}
	return nil
}

// moduleRoot is the directory of go.mod above the test.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			if !strings.HasPrefix(string(b), "module "+module+"\n") {
				t.Fatalf("%s is not the go.mod of %s", dir, module)
			}
			return dir
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

func list(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return "only " + strings.Join(s, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
