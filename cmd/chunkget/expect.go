package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/metalink"
)

// checksumHelp is the help of --checksum.
const checksumHelp = "require this digest of the whole file, as `sha256:HEX` or sha512:HEX"

// metalinkHelp is the help of --metalink.
const metalinkHelp = "require what the Metalink 4 document in `FILE` says about the file"

// parseChecksum reads the value of --checksum.
func parseChecksum(s string) (fetch.Digest, error) {
	d, err := fetch.ParseDigest(s)
	if err != nil {
		return d, &usageError{fmt.Sprintf("--checksum: %v", err), "a checksum looks like sha256:0123456789abcdef... with 64 digits"}
	}
	return d, nil
}

// readMetalink returns the file of that name, or the only one, from the document
// at path.
func readMetalink(document, name string) (*metalink.File, error) {
	r, err := os.Open(document)
	if err != nil {
		return nil, &fetch.Error{Kind: fetch.KindDisk, Op: "read the Metalink", Err: err}
	}
	defer r.Close()
	files, err := metalink.Parse(r)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("--metalink %s: %v", quote(document), err), "a Metalink 4 document begins with <metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">"}
	}
	f, ok := metalink.Find(files, name)
	if !ok {
		return nil, &usageError{fmt.Sprintf("--metalink %s names %d files, none of them %s", quote(document), len(files), quote(name)), ""}
	}
	return f, nil
}

// metalinkDigest returns the best digest of the whole file that f has.
func metalinkDigest(f *metalink.File) (fetch.Digest, error) {
	for _, a := range []string{"sha-256", "sha-512"} {
		if sum := f.Hash(a); sum != nil {
			return fetch.NewDigest(a, sum)
		}
	}
	return fetch.Digest{}, errors.New("it has no SHA-256 or SHA-512 of the whole file")
}

// expectMetalink takes the digest of the file at u from the document.
func (o *options) expectMetalink(u *url.URL) error {
	name := path.Base(u.Path)
	f, err := readMetalink(o.metalink, name)
	if err != nil {
		return err
	}
	if o.digest, err = metalinkDigest(f); err != nil {
		return &usageError{fmt.Sprintf("--metalink %s: %v", quote(o.metalink), err), ""}
	}
	return nil
}
