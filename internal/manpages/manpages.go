// Package manpages holds the manual pages of a program against its help texts, of
// which they are made. It is for tests.
package manpages

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Test fails t unless the folder pages has exactly the manual pages of root and
// its commands. With update it makes that so; how is what does.
func Test(t *testing.T, root *cobra.Command, pages string, update bool, how string) {
	t.Helper()
	dir := t.TempDir()
	root.DisableAutoGenTag = true
	date := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // fixed, so that only a change of the text changes a page
	header := &doc.GenManHeader{Section: "1", Source: "chunkget", Manual: "chunkget manual", Date: &date}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(made) == 0 {
		t.Fatalf("%d pages, %v", len(made), err)
	}
	wanted := make(map[string]bool)
	for _, name := range made {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kept := filepath.Join(pages, filepath.Base(name))
		wanted[kept] = true
		if update {
			if err := os.WriteFile(kept, page, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if old, err := os.ReadFile(kept); err != nil || !bytes.Equal(bytes.ReplaceAll(old, []byte("\r\n"), []byte("\n")), page) {
			t.Errorf("%s is not what --help says (%v): run %s", kept, err, how)
		}
	}
	there, _ := filepath.Glob(filepath.Join(pages, root.Name()+"*.1"))
	for _, name := range there {
		if wanted[name] {
			continue
		}
		if !update {
			t.Errorf("%s is of a command that is no more: run %s", name, how)
		} else if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
