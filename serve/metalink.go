package serve

import (
	"encoding/hex"
	"encoding/xml"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"

	"github.com/chunkget/chunkget/merkle"
)

const metalinkType = "application/metalink4+xml"

// metalink is a Metalink 4 document (RFC 5854) of one file.
type metalink struct {
	XMLName   xml.Name       `xml:"urn:ietf:params:xml:ns:metalink metalink"`
	Generator string         `xml:"generator"`
	Origin    metalinkOrigin `xml:"origin"`
	File      metalinkFile   `xml:"file"`
}

type metalinkOrigin struct {
	Dynamic bool   `xml:"dynamic,attr"` // the document at URL follows the file
	URL     string `xml:",chardata"`
}

type metalinkFile struct {
	Name   string          `xml:"name,attr"`
	Size   int64           `xml:"size"`
	Hash   metalinkHash    `xml:"hash"`
	Pieces *metalinkPieces `xml:"pieces,omitempty"` // nil for an empty file
	URL    string          `xml:"url"`
}

type metalinkHash struct {
	Type string `xml:"type,attr"`
	Hex  string `xml:",chardata"`
}

type metalinkPieces struct {
	Length int64    `xml:"length,attr"` // bytes in a piece, the last one excepted
	Type   string   `xml:"type,attr"`
	Hashes []string `xml:"hash"` // of the bytes of each piece, in hexadecimal
}

// serveMetalink sends the Metalink of f when its digests are known. Its pieces
// are plain SHA-256 and no nodes of the tree, so they take a pass of their own
// over the file, once for each version of it.
func (h *Handler) serveMetalink(w *response, r *http.Request, f *file) {
	treeKey := key{kindTree, f.name, f.version}
	piecesKey := key{kindPieces, f.name, f.version}
	w.Header().Set("Content-Type", metalinkType)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment",
		map[string]string{"filename": path.Base(r.URL.Path) + ".meta4"}))
	if r.Method == http.MethodHead {
		return
	}
	tree, pieces, err := h.bothDigests(r, treeKey, piecesKey)
	if r.Context().Err() != nil {
		w.err = r.Context().Err() // Nobody is there to be answered.
		return
	}
	if err != nil {
		w.Header().Del("Content-Disposition")
		h.fail(w, r, err)
		return
	}
	here := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && here.Host == "" {
		here.Host = local.String() // HTTP/1.0
	}
	if r.TLS != nil {
		here.Scheme = "https"
	}
	self := here
	self.RawQuery = "digest=" + digestMeta4
	doc := metalink{
		Generator: "chunkserve",
		Origin:    metalinkOrigin{Dynamic: true, URL: self.String()},
		File: metalinkFile{
			Name: path.Base(r.URL.Path),
			Size: f.version.size,
			Hash: metalinkHash{Type: "sha-256", Hex: hex.EncodeToString(tree.sha256[:])},
			URL:  here.String(),
		},
	}
	if len(pieces.hashes) > smallAnswer {
		t := h.large.enter(r.RemoteAddr)
		if t == nil {
			w.Header().Del("Content-Disposition")
			h.fail(w, r, errTooManyLarge)
			return
		}
		defer t.leave()
	}
	if len(pieces.hashes) > 0 {
		doc.File.Pieces = &metalinkPieces{
			Length: piecesKey.layout().PieceSize, Type: "sha-256", Hashes: hexes(pieces.hashes),
		}
	}
	body, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Write([]byte(xml.Header))
	w.Write(body)
}

// bothDigests waits for the digests of both keys.
func (h *Handler) bothDigests(r *http.Request, treeKey, piecesKey key) (tree, pieces *digests, err error) {
	treeJob, err := h.hasher.want(treeKey)
	if err != nil {
		return nil, nil, err
	}
	piecesJob, err := h.hasher.want(piecesKey)
	if err != nil {
		return nil, nil, err
	}
	if tree, err = treeJob.wait(r.Context()); err != nil {
		return nil, nil, err
	}
	if pieces, err = piecesJob.wait(r.Context()); err != nil {
		return nil, nil, err
	}
	return tree, pieces, nil
}

func hexes(hashes []merkle.Hash) []string {
	s := make([]string, len(hashes))
	for i, h := range hashes {
		s[i] = h.String()
	}
	return s
}
