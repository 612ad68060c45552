package fetch

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/chunkget/chunkget/merkle"
)

// maxRecordBytes bounds the file of a putRecord.
const maxRecordBytes = 64 << 10

// A putRecord remembers which upload is of which version of a local file. It says
// nothing of what has arrived; that is for the server.
type putRecord struct {
	URL     string    `json:"url"`    // of the file to be, as RedactURL writes it
	Upload  string    `json:"upload"` // of the upload, likewise
	Size    int64     `json:"size"`   // of the local file
	ModTime time.Time `json:"mod_time"`
	Root    string    `json:"root"` // of its hash tree, in hexadecimal

	root merkle.Hash
}

// readPutRecord returns the record in a file, nil if there is none that can be
// used.
func readPutRecord(path string) *putRecord {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err != nil || info.Size() > maxRecordBytes {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	r, err := parsePutRecord(b)
	if err != nil {
		return nil
	}
	return r
}

func parsePutRecord(b []byte) (*putRecord, error) {
	r := new(putRecord)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	root, err := hex.DecodeString(r.Root)
	if err != nil || len(root) != len(r.root) || r.URL == "" || r.Upload == "" || r.Size < 0 {
		return nil, errors.New("no record of an upload")
	}
	copy(r.root[:], root)
	return r, nil
}

// write replaces the file of that name, which nobody else reads.
func (r *putRecord) write(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// A torn record is none, and costs hashing the file again.
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

func removePutRecord(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError("remove the record of the upload", err)
	}
	return nil
}
