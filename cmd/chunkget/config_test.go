package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseConfig(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "[]",
		"# c\n\n  a = b \r\nc=d=e\n":          "[{3 a b} {4 c d=e}]",
		"a = \"b  \\\"c\" ":                   `[{1 a b  "c}]`,
		"a =":                                 "[{1 a }]",
		"a = b # no comment":                  "[{1 a b # no comment}]",
		"\na":                                 "line 2: not of the form",
		"= b":                                 "line 1: not of the form",
		"a = \"b":                             "line 1: the value",
		"a = " + strings.Repeat("b", 128<<10): "token too long",
	} {
		settings, err := parseConfig(strings.NewReader(in), "config")
		if got := fmt.Sprint(settings); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %.80s, %v, want %s", in, got, err, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add("a = b\n# c\nd = \"e\"")
	f.Fuzz(func(t *testing.T, s string) {
		settings, err := parseConfig(strings.NewReader(s), "config")
		if err != nil && settings != nil {
			t.Fatal("settings with an error")
		}
		for _, s := range settings {
			if s.key == "" || s.line < 1 || strings.ContainsAny(s.key, "=\n") {
				t.Fatalf("%+v", s)
			}
		}
	})
}

// What the command line says wins; keys of other commands are ignored.
func TestApplyConfig(t *testing.T) {
	apply := func(config string, args ...string) (*bytes.Buffer, error) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		root := rootCommand(newUI(new(bytes.Buffer), new(bytes.Buffer)), nil)
		if err := root.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		err := applyConfig(root, name)
		got := new(bytes.Buffer)
		for _, f := range []string{"connections", "tries", "limit-rate", "header", "quiet"} {
			fmt.Fprintf(got, "%s ", root.Flags().Lookup(f).Value)
		}
		return got, err
	}
	config := "connections = 3\ntries = 7\nlimit-rate = 20M\nheader = A: 1\nheader = B: 2\nquiet = true\nsize = 1MiB\n"
	if got, err := apply(config, "-n", "5", "--quiet=false"); err != nil || got.String() != "5 7 20M [A: 1,B: 2] false " {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := apply(config, "--header", "C: 3"); err != nil || got.String() != "3 7 20M [C: 3] true " {
		t.Errorf("%s, %v", got, err)
	}
	for bad, want := range map[string]string{
		"tries = 1\nconections = 3": `line 2: unknown key "conections"`,
		"n = 3":                     `line 1: unknown key "n"`,
		"no-config = true":          `line 1: unknown key`,
		"help = true":               `line 1: unknown key`,
		"connections = many":        `line 1: connections cannot be "many"`,
	} {
		_, err := apply(bad)
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: err = %v, want %q", bad, err, want)
		}
	}
}
