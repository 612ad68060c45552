package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shownCodes are the exit codes that scripts show of each command, "" for downloads.
// A command that is not here, or a code that the help knows and no script does, fails
// TestScriptsShowCodes.
var shownCodes = map[string]string{
	"":           "0 2 3 4 5 6 7 8 9 10 130",
	"completion": "0",
	"demo":       "0 2 7",
	"doctor":     "0 2 3 6 7",
	"inspect":    "0 2 7 8",
	"put":        "0 2 3 4 5 6 7 8 130",
	"repair":     "0 1 2 3 4 5 6 7 8 10 130",
	"verify":     "0 1 2 3 4 5 6 7 8 130",
}

// TestScriptsShowCodes: the scripts run every command there is, and show each exit code.
func TestScriptsShowCodes(t *testing.T) {
	root := rootCommand(newUI(io.Discard, io.Discard), nil)
	root.InitDefaultCompletionCmd()
	seen := map[string]map[string]bool{"": {}}
	for _, c := range root.Commands() {
		seen[c.Name()] = make(map[string]bool)
	}
	see := func(line, code string) {
		_, rest, _ := strings.Cut(line, "chunkget ")
		name, _, _ := strings.Cut(rest, " ")
		if seen[name] == nil {
			name = ""
		}
		seen[name][code] = true
	}
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	exits, code := regexp.MustCompile(`^(?:\[\S+\] )?exits (\d+) chunkget`), regexp.MustCompile(`^code (\d+)`)
	for _, script := range scripts {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		started := ""
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line) + " "
			if strings.Contains(line, "exec chunkget ") {
				started = line
			}
			if m := exits.FindStringSubmatch(line); m != nil {
				see(line, m[1])
			}
			if m := code.FindStringSubmatch(line); m != nil {
				see(started, m[1])
			}
		}
	}
	all := make(map[string]bool)
	for name, codes := range seen {
		maps.Copy(all, codes)
		want, ok := shownCodes[name]
		if !ok {
			t.Errorf("no script shows an exit code of chunkget %s", name)
		}
		for c := range strings.FieldsSeq(want) {
			if !codes[c] {
				t.Errorf("no script shows exit code %s of chunkget %s", c, name)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+)  `).FindAllStringSubmatch(exitHelp, -1) {
		if !all[m[1]] {
			t.Errorf("no script shows exit code %s; they show %v", m[1], slices.Sorted(maps.Keys(all)))
		}
	}
}
