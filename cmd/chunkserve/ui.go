package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/chunkget/chunkget/internal/printable"
)

// Rules for all text of this command.
//
//   - stdout carries one line, the command that fetches from this server, or
//     help, or the version.
//   - Everything else goes to stderr: log records, and a failure as a line
//     "chunkserve: error: ..." with what the user can do about it in a line
//     "chunkserve: hint: ..." after it. They begin with a small letter and end
//     without a period.
//   - Names are quoted, so that no terminal obeys what is in them.

// ui owns stdout and stderr until the log takes stderr over.
type ui struct{ stdout, stderr io.Writer }

// fail prints an error with its hint.
func (u *ui) fail(err error) {
	fmt.Fprintf(u.stderr, "chunkserve: error: %s\n", printable.Text(err.Error()))
	hint := ""
	if e, ok := errors.AsType[*usageError](err); ok {
		hint = e.hint
	}
	if e, ok := errors.AsType[*hintedError](err); ok {
		hint = e.hint
	}
	if hint != "" {
		fmt.Fprintf(u.stderr, "chunkserve: hint: %s\n", printable.Text(hint))
	}
}

// A usageError is a mistake in the command line.
type usageError struct {
	text string
	hint string // what to do about it, or ""
}

func (e *usageError) Error() string { return e.text }

// A hintedError is an error of which we know what to do about it.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }
