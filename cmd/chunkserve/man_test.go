package main

import (
	"flag"
	"io"
	"testing"

	"github.com/chunkget/chunkget/internal/manpages"
)

//go:generate go test -run ^TestManPages$ -update .

var update = flag.Bool("update", false, "write docs/man anew")

// The page of docs/man says what --help says.
func TestManPages(t *testing.T) {
	root := rootCommand(&ui{stdout: io.Discard, stderr: io.Discard})
	manpages.Test(t, root, "../../docs/man", *update, "go generate ./cmd/chunkserve")
}
