package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
)

// Bounds of a list of URLs. It is read before the first download, so that a
// mistake in its last line is found at once.
const (
	maxInputLine = 64 << 10 // bytes
	maxInputURLs = 1 << 20
)

// openInput reads the list of -i: a file, or stdin for "-".
func openInput(name string, stdin io.Reader) ([]*url.URL, error) {
	if name == "-" {
		return readInput(stdin, "stdin")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("read list of URLs: %v", err), "name a file with one URL per line, or - for stdin"}
	}
	defer f.Close()
	return readInput(f, name)
}

// readInput reads one URL per line. Empty lines, and lines that begin with #, do
// not count. Its errors name the line, by the name of the list and its number.
func readInput(r io.Reader, name string) (urls []*url.URL, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxInputLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // as some editors begin a file
		}
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseURL(line)
		if err != nil {
			ue := new(usageError)
			errors.As(err, &ue)
			return nil, &usageError{fmt.Sprintf("%s, line %d: %s", name, n, ue.msg), ue.hint}
		}
		if len(urls) == maxInputURLs {
			return nil, &usageError{fmt.Sprintf("%s, line %d: more than %d URLs", name, n, maxInputURLs), "split the list"}
		}
		urls = append(urls, u)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, &usageError{fmt.Sprintf("%s, line %d: longer than %d bytes", name, n+1, maxInputLine), "a list has one URL per line"}
	case err != nil:
		return nil, fmt.Errorf("read list of URLs: %w", err)
	case len(urls) == 0:
		return nil, &usageError{fmt.Sprintf("%s holds no URL", name), "a list has one URL per line"}
	}
	return urls, nil
}
