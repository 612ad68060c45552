package credentials

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkInterval is the least time between two looks at whether the file has
// changed.
const checkInterval = time.Second

// Tokens are those of a file, which is read again when it has changed.
type Tokens struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex  // guards the fields below
	grants []grant     // of the last version without mistakes
	tried  fs.FileInfo // of the version read last, whatever became of it
	looked time.Time
}

// OpenTokens reads a token file. What is wrong with later versions goes to log;
// they leave the tokens as they are.
func OpenTokens(path string, log *slog.Logger, now time.Time) (*Tokens, error) {
	t := &Tokens{path: path, log: log, looked: now}
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutOp(path, err)
	}
	if err := t.load(info); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Tokens) load(info fs.FileInfo) error {
	t.tried = info
	data, err := ReadFile(t.path)
	if err != nil {
		return err
	}
	grants, err := parseTokens(data)
	if err != nil {
		return fmt.Errorf("%q: %w", t.path, err)
	}
	t.grants = grants
	return nil
}

// Check says what token is good for at a path.
func (t *Tokens) Check(token, urlPath string, now time.Time) Verdict {
	return check(t.current(now), token, urlPath)
}

func (t *Tokens) current(now time.Time) []grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.looked) < checkInterval {
		return t.grants
	}
	t.looked = now
	info, err := os.Stat(t.path)
	if err != nil {
		if t.tried != nil {
			t.log.Warn("token file cannot be read; the tokens stay as they were", "err", withoutOp(t.path, err))
		}
		t.tried = nil // it is news when it is there again
		return t.grants
	}
	if t.tried != nil && SameVersion(t.tried, info) {
		return t.grants
	}
	if err := t.load(info); err != nil {
		t.log.Warn("token file is wrong; the tokens stay as they were", "err", err)
	} else {
		t.log.Info("tokens read again", "tokens", len(t.grants))
	}
	return t.grants
}

// SameVersion reports whether two looks at a file saw the same content, as far as
// that can be known without reading it.
func SameVersion(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}
