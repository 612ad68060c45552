package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"

	"github.com/chunkget/chunkget/fetch"
	"github.com/chunkget/chunkget/metalink"
	"github.com/spf13/pflag"
)

// addExpected adds what says what the file has to be.
func (o *options) addExpected(f *pflag.FlagSet) {
	f.StringVar(&o.checksum, "checksum", "", "require this digest of the whole file, as `sha256:HEX` or sha512:HEX")
	f.StringVar(&o.metalink, "metalink", "", "require what the Metalink 4 document in `FILE` says about the file")
}

// expect reads what the file of that name has to be. It returns what the Metalink
// says, nil without one.
func (o *options) expect(name string) (*metalink.File, error) {
	var err error
	switch {
	case o.checksum != "" && o.metalink != "":
		return nil, &usageError{"--checksum and --metalink exclude each other", ""}
	case o.checksum != "":
		if o.digest, err = fetch.ParseDigest(o.checksum); err != nil {
			return nil, &usageError{fmt.Sprintf("--checksum: %v", err), "a checksum looks like sha256:0123456789abcdef... with 64 digits"}
		}
	case o.metalink != "":
		f, err := readMetalink(o.metalink, name)
		if err != nil {
			return nil, err
		}
		if o.digest, err = metalinkDigest(f); err != nil {
			return nil, &usageError{fmt.Sprintf("--metalink %s: %v", quote(o.metalink), err), ""}
		}
		return f, nil
	}
	return nil, nil
}

// nameOf returns the name of the file at u.
func nameOf(u *url.URL) string { return path.Base(u.Path) }

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
