package main

import (
	"flag"
	"io"
	"testing"

	"github.com/chunkget/chunkget/internal/manpages"
)

//go:generate go test -run ^TestManPages$ -update .

var update = flag.Bool("update", false, "write docs/man anew")

// The pages of docs/man say what --help says.
func TestManPages(t *testing.T) {
	root := rootCommand(newUI(io.Discard, io.Discard), nil)
	manpages.Test(t, root, "../../docs/man", *update, "go generate ./cmd/chunkget")
}
