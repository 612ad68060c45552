// Package metalink reads Metalink 4 documents (RFC 5854): names, sizes, hashes
// and addresses of files. Nothing that it returns has been checked against
// anything but the format.
package metalink

import (
	"cmp"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// MaxSize bounds a document, in bytes: the hashes of some 300 000 pieces.
const MaxSize = 32 << 20

// MediaType is the media type of a document.
const MediaType = "application/metalink4+xml"

// A File is one file of a document.
type File struct {
	Name   string   // as written; it may contain anything
	Size   int64    // in bytes, -1 when not told
	Hashes []Hash   // of the whole file
	Pieces []Pieces // of its pieces, by several algorithms
	URLs   []string // of the file, the preferred ones first
}

// A Hash is the hash of a whole file.
type Hash struct {
	Type string // name of the algorithm, as sha-256
	Sum  []byte
}

// Pieces are the hashes of the pieces of a file, in order.
type Pieces struct {
	Type   string // name of the algorithm, as sha-256
	Length int64  // of a piece in bytes; the last one may be shorter
	Sums   [][]byte
}

// ErrFormat is wrapped by errors about documents that are not of the format.
var ErrFormat = errors.New("not a valid Metalink 4 document")

// document is the XML, as far as it is used.
type document struct {
	XMLName xml.Name  `xml:"urn:ietf:params:xml:ns:metalink metalink"`
	Files   []fileXML `xml:"urn:ietf:params:xml:ns:metalink file"`
}

type fileXML struct {
	Name   string      `xml:"name,attr"`
	Size   *int64      `xml:"urn:ietf:params:xml:ns:metalink size"`
	Hashes []hashXML   `xml:"urn:ietf:params:xml:ns:metalink hash"`
	Pieces []piecesXML `xml:"urn:ietf:params:xml:ns:metalink pieces"`
	URLs   []urlXML    `xml:"urn:ietf:params:xml:ns:metalink url"`
}

type hashXML struct {
	Type string `xml:"type,attr"`
	Hex  string `xml:",chardata"`
}

type piecesXML struct {
	Type   string   `xml:"type,attr"`
	Length int64    `xml:"length,attr"`
	Hashes []string `xml:"urn:ietf:params:xml:ns:metalink hash"`
}

type urlXML struct {
	Priority int    `xml:"priority,attr"` // from 1; 0 when not told, which counts as the last
	URL      string `xml:",chardata"`
}

// rank is the priority with 0 as the last one.
func (u urlXML) rank() uint { return uint(u.Priority) - 1 }

// Parse reads a document. Its errors wrap ErrFormat, or are those of r.
func Parse(r io.Reader) ([]File, error) {
	limited := &io.LimitedReader{R: r, N: MaxSize + 1}
	var doc document
	dec := xml.NewDecoder(limited)
	dec.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("encoding %q", charset)
	}
	err := dec.Decode(&doc)
	switch {
	case limited.N <= 0:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrFormat, MaxSize)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	case len(doc.Files) == 0:
		return nil, fmt.Errorf("%w: it names no file", ErrFormat)
	}
	files := make([]File, len(doc.Files))
	for i, x := range doc.Files {
		if files[i], err = x.file(); err != nil {
			return nil, fmt.Errorf("%w: file %d: %w", ErrFormat, i+1, err)
		}
	}
	return files, nil
}

func (x *fileXML) file() (File, error) {
	f := File{Name: x.Name, Size: -1}
	if x.Size != nil {
		if f.Size = *x.Size; f.Size < 0 {
			return f, fmt.Errorf("size %d", f.Size)
		}
	}
	for _, h := range x.Hashes {
		sum, err := parseHash(h.Hex)
		if err != nil {
			return f, err
		}
		f.Hashes = append(f.Hashes, Hash{strings.ToLower(h.Type), sum})
	}
	for _, p := range x.Pieces {
		out := Pieces{Type: strings.ToLower(p.Type), Length: p.Length}
		if p.Length <= 0 {
			return f, fmt.Errorf("pieces of %d bytes", p.Length)
		}
		if f.Size >= 0 {
			want := f.Size / p.Length
			if f.Size%p.Length != 0 {
				want++
			}
			if n := int64(len(p.Hashes)); n != want {
				return f, fmt.Errorf("%d hashes for %d bytes in pieces of %d", n, f.Size, p.Length)
			}
		}
		for _, s := range p.Hashes {
			sum, err := parseHash(s)
			if err != nil {
				return f, err
			}
			out.Sums = append(out.Sums, sum)
		}
		f.Pieces = append(f.Pieces, out)
	}
	urls := slices.Clone(x.URLs)
	slices.SortStableFunc(urls, func(a, b urlXML) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, u := range urls {
		f.URLs = append(f.URLs, strings.TrimSpace(u.URL))
	}
	return f, nil
}

func parseHash(s string) ([]byte, error) {
	sum, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(sum) == 0 {
		return nil, fmt.Errorf("hash %.80q is not hexadecimal", s)
	}
	return sum, nil
}

// Hash returns the hash of the whole file by an algorithm, nil if there is none.
func (f *File) Hash(algorithm string) []byte {
	for _, h := range f.Hashes {
		if h.Type == algorithm {
			return h.Sum
		}
	}
	return nil
}

// Find returns the file of that name, or the only one there is.
func Find(files []File, name string) (*File, bool) {
	for i := range files {
		if files[i].Name == name {
			return &files[i], true
		}
	}
	if len(files) == 1 {
		return &files[0], true
	}
	return nil, false
}
