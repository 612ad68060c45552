package credentials

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReadFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o610: false} {
		name := write(t, "f", "secret", mode)
		data, err := ReadFile(name)
		e, exposed := errors.AsType[*ExposedError](err)
		if ok != (err == nil) || ok == exposed || ok && string(data) != "secret" {
			t.Errorf("%o: %q, %v", mode, data, err)
		}
		if exposed && !strings.Contains(e.Hint(), "chmod 600") {
			t.Errorf("hint %q", e.Hint())
		}
	}
	name := write(t, "f", "secret", 0o440)
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Dir(name))
	if _, err := ReadFile(name); err != nil {
		t.Errorf("a credential of a service: %v", err)
	}
	if _, err := ReadFile(write(t, "big", strings.Repeat("x", maxFile+1), 0o600)); err == nil {
		t.Error("no limit of size")
	}
}

func TestTokens(t *testing.T) {
	grants, err := parseTokens([]byte(`# who may what
all-of-it
p.art1    /pub       # for the mirror
p.art1    /more/
other=    /pub/deep
root      /
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		token, path string
		want        Verdict
	}{
		{"all-of-it", "/", Granted},
		{"all-of-it", "/x/../y", Granted},
		{"root", "/x", Granted},
		{"p.art1", "/pub", Granted},
		{"p.art1", "/pub/", Granted},
		{"p.art1", "/pub/x", Granted},
		{"p.art1", "/more/x", Granted},
		{"p.art1", "/public", Elsewhere},
		{"p.art1", "/", Elsewhere},
		{"p.art1", "/pub/../secret", Elsewhere},
		{"p.art1", "/pub/./x", Elsewhere},
		{"p.art1", "/pub//x", Elsewhere},
		{"p.art1", "//pub/x", Elsewhere},
		{"p.art1", "pub", Elsewhere},
		{"other=", "/pub/deep/x", Granted},
		{"other=", "/pub/x", Elsewhere},
		{"other", "/pub/deep/x", Unknown},
		{"", "/", Unknown},
		{"all-of-i", "/", Unknown},
		{"#", "/", Unknown},
	} {
		if got := check(grants, tt.token, tt.path); got != tt.want {
			t.Errorf("%s at %s: %v, want %v", tt.token, tt.path, got, tt.want)
		}
	}
	for _, bad := range []string{"", "# only a comment\n", "a b", "a /b c", "a /b/../c", "a //b", "sécret", `"a"`, "=", "a:b"} {
		_, err := parseTokens([]byte(bad))
		if err == nil {
			t.Errorf("%q is taken for a token file", bad)
		} else if len(bad) > 3 && strings.Contains(err.Error(), bad[:3]) {
			t.Errorf("%q: the error repeats it: %v", bad, err)
		}
	}
}

func FuzzTokens(f *testing.F) {
	f.Add([]byte("abc /pub # x\n#\n\nd"), "/pub/a")
	f.Add([]byte("abc /pub/"), "/pub/../a")
	f.Fuzz(func(t *testing.T, file []byte, path string) {
		grants, err := parseTokens(file)
		if (err == nil) != (len(grants) > 0) {
			t.Fatalf("%d tokens, %v", len(grants), err)
		}
		first, ferr := ParseClientTokens(file, nil)
		if err == nil && (ferr != nil || check(grants, first.One, path) == Unknown) {
			t.Errorf("the first token %+v of %q is not known: %v", first, file, ferr)
		}
		for i := range grants {
			if p := grants[i].prefix; p != "/" && grants[i].opens(path) && (!strings.HasPrefix(path, p) || strings.Contains(path, "/../")) {
				t.Errorf("%q opens %q", p, path)
			}
		}
	})
}

func TestTokensFollowTheirFile(t *testing.T) {
	name := write(t, "tokens", "one\n", 0o600)
	var log bytes.Buffer
	now := time.Now()
	tokens, err := OpenTokens(name, slog.New(slog.NewTextHandler(&log, nil)), now)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(token string, want Verdict) {
		t.Helper()
		if got := tokens.Check(token, "/", now); got != want {
			t.Errorf("%s: %v, want %v", token, got, want)
		}
	}
	expect("one", Granted)
	write(t, name, "three\n", 0o600)
	expect("one", Granted) // not looked at yet
	now = now.Add(checkInterval)
	expect("one", Unknown)
	expect("three", Granted)
	// What cannot be used changes nothing, and is told once.
	for _, breakIt := range []func(){
		func() { write(t, name, "# none\n", 0o600) },
		func() { write(t, name, "tokenfour\n", 0o640) },
		func() { os.Remove(name) },
	} {
		log.Reset()
		breakIt()
		if runtime.GOOS == "windows" {
			break
		}
		for range 3 {
			now = now.Add(checkInterval)
			expect("three", Granted)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings: %s", n, &log)
		}
	}
	write(t, name, "five\n", 0o600)
	now = now.Add(checkInterval)
	expect("five", Granted)
	expect("three", Unknown)
}

func TestNetrc(t *testing.T) {
	const file = `# comment with machine h
machine h login u password p#1
machine two
	login "a \"b\""
	account x
	password "c d"
macdef init
machine evil login e password e

machine H3 login three password #3
machine nopass login only
default login d password d
machine after login no password no
`
	for host, want := range map[string]*Login{
		"h":      {"u", "p#1"},
		"H":      {"u", "p#1"},
		"two":    {`a "b"`, "c d"},
		"h3":     {"three", "#3"},
		"nopass": {"only", ""},
		"evil":   nil,
		"other":  nil,
		"after":  nil,
		"a.h":    nil,
		"":       nil,
	} {
		got, err := parseNetrc(file, host)
		if err != nil || (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
	for _, bad := range []string{"machine", "machine h login", `machine h password "secret`, "secret", "machine h password \"secret\n\""} {
		if _, err := parseNetrc(bad, "h"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	name := write(t, ".netrc", "machine h login u password p", 0o644)
	if _, err := Netrc(name, "other"); err != nil {
		t.Errorf("a file that is not needed: %v", err)
	}
	if _, err := Netrc(name, "h"); err == nil {
		t.Error("a password that others can read is used")
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine h login u password p", "h")
	f.Add("machine \"h\\\"\" login u\nmacdef x\n\nmachine x", "x")
	f.Add("#a\nmachine a default", "a")
	f.Fuzz(func(t *testing.T, file, host string) {
		got, err := parseNetrc(file, host)
		if got != nil && (err != nil || !strings.Contains(file, "machine")) {
			t.Errorf("%v, %v from %q", got, err, file)
		}
	})
}
