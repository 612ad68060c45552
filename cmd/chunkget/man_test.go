package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"
)

//go:generate go test -run ^TestManPages$ -update .

var update = flag.Bool("update", false, "write docs/man anew")

// The pages of docs/man say what --help says.
func TestManPages(t *testing.T) {
	const pages = "../../docs/man"
	dir := t.TempDir()
	root := rootCommand(newUI(io.Discard, io.Discard), nil)
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
		if *update {
			if err := os.WriteFile(kept, page, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if old, err := os.ReadFile(kept); err != nil || !bytes.Equal(bytes.ReplaceAll(old, []byte("\r\n"), []byte("\n")), page) {
			t.Errorf("%s is not what --help says (%v): run go generate ./cmd/chunkget", kept, err)
		}
	}
	there, _ := filepath.Glob(filepath.Join(pages, "chunkget*.1"))
	for _, name := range there {
		if wanted[name] {
			continue
		}
		if !*update {
			t.Errorf("%s is of a command that is no more: run go generate ./cmd/chunkget", name)
		} else if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
