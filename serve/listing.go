package serve

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxListed is how many entries a listing holds at most, so that a folder of
// millions does not take the server's memory for one request.
const maxListed = 100_000

// A listing is a folder as a client sees it.
type listing struct {
	Path      string        `json:"path"`                // of the folder, decoded
	Truncated bool          `json:"truncated,omitempty"` // there are more than maxListed entries
	Entries   []listedEntry `json:"entries"`             // folders first, then by name
	Form      bool          `json:"-"`                   // for uploads
}

type listedEntry struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`           // "file" or "dir"
	Href     string    `json:"href"`           // relative to the folder, percent-encoded
	Size     *int64    `json:"size,omitempty"` // in bytes; files only
	Modified time.Time `json:"modified"`
}

// serveListing sends the entries of the folder f that can be opened.
func (h *Handler) serveListing(w *response, r *http.Request, f *file) {
	var t *ticket
	defer func() { t.leave() }()
	l, err := h.list(f, func() bool {
		t = h.large.enter(r.RemoteAddr)
		return t != nil
	})
	if err != nil {
		h.fail(w, r, err)
		return
	}
	l.Path = r.URL.Path
	var body bytes.Buffer
	header := w.Header()
	header.Set("Vary", "Accept")
	header.Set("Cache-Control", "no-cache")
	if prefersJSON(r.Header.Values("Accept")) {
		header.Set("Content-Type", "application/json")
		err = json.NewEncoder(&body).Encode(l)
	} else {
		header.Set("Content-Type", "text/html; charset=utf-8")
		action := "'none'"
		if l.Form = h.uploads != nil && !h.uploads.o.NoForm; l.Form {
			action = "'self'"
		}
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action "+action)
		err = listingPage.Execute(&body, l)
	}
	if err != nil {
		h.fail(w, r, fmt.Errorf("write listing: %w", err))
		return
	}
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method == http.MethodGet {
		w.Write(body.Bytes())
	}
}

// errTooManyLarge says that the answer would be a large one, of which there are
// enough.
var errTooManyLarge = errors.New("too many large answers are being sent")

// list reads the folder f. It calls large once when the listing becomes a large
// one, and fails if that may not be.
func (h *Handler) list(f *file, large func() bool) (*listing, error) {
	l := &listing{Entries: []listedEntry{}}
	asked := false
	for {
		batch, err := f.ReadDir(smallAnswer)
		if len(l.Entries)+len(batch) > smallAnswer && !asked {
			if asked = true; !large() {
				return nil, errTooManyLarge
			}
		}
		for _, e := range batch {
			if len(l.Entries) == h.maxListed {
				l.Truncated = true
				break
			}
			if entry, ok := h.listed(f.name, e); ok {
				l.Entries = append(l.Entries, entry)
			}
		}
		if err == io.EOF || l.Truncated {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read folder %q: %w", f.name, err)
		}
	}
	slices.SortFunc(l.Entries, func(a, b listedEntry) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name)) // "dir" < "file"
	})
	return l, nil
}

// listed describes one entry of dir. It reports false for what a GET would not
// find.
func (h *Handler) listed(dir string, e fs.DirEntry) (listedEntry, bool) {
	// A name that no URL path can stand for (a backslash on Windows) has no link.
	if _, _, err := localName("/"+e.Name(), h.dotFiles); err != nil {
		return listedEntry{}, false
	}
	name := filepath.Join(dir, e.Name())
	// Through the root, so that a link that leads out of it is not followed.
	info, err := h.root.Stat(name)
	if err != nil {
		return listedEntry{}, false
	}
	entry := listedEntry{Name: e.Name(), Href: "./" + url.PathEscape(e.Name()), Modified: info.ModTime().UTC()}
	switch {
	case info.IsDir():
		entry.Type = "dir"
		entry.Href += "/"
	case info.Mode().IsRegular():
		entry.Type = "file"
		size := info.Size()
		entry.Size = &size
	default:
		return listedEntry{}, false
	}
	return entry, true
}

// prefersJSON reports whether Accept ranks JSON above HTML. A client that takes
// either, or says nothing, is a browser or a person with curl: it gets HTML.
func prefersJSON(accept []string) bool {
	jsonQ, htmlQ := 0.0, 0.0
	jsonRank, htmlRank := -1, -1
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, _ := strings.Cut(item, ";")
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if v, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "q="); ok {
				var err error
				if q, err = strconv.ParseFloat(v, 64); err != nil || !(q >= 0 && q <= 1) {
					q = 0
				}
			}
		}
		// The most specific item decides for each type (RFC 9110, 12.5.1).
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/json":
			jsonQ, jsonRank = q, 2
		case "application/*":
			if jsonRank < 1 {
				jsonQ, jsonRank = q, 1
			}
		case "text/html":
			htmlQ, htmlRank = q, 2
		case "text/*":
			if htmlRank < 1 {
				htmlQ, htmlRank = q, 1
			}
		case "*/*":
			if jsonRank < 0 {
				jsonQ, jsonRank = q, 0
			}
			if htmlRank < 0 {
				htmlQ, htmlRank = q, 0
			}
		}
	}
	return jsonQ > htmlQ
}

var listingPage = template.Must(template.New("listing").Funcs(template.FuncMap{"size": humanSize}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Path}}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2em }
td { padding: 0 2em 0 0 }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
</style>
</head>
<body>
<h1>{{.Path}}</h1>
<table>
{{- if ne .Path "/"}}
<tr><td><a href="../">../</a></td><td></td><td></td></tr>
{{- end}}
{{- range .Entries}}
<tr><td><a href="{{.Href}}">{{.Name}}{{if eq .Type "dir"}}/{{end}}</a></td><td class="n">{{with .Size}}{{size .}}{{end}}</td><td class="n">{{.Modified.Format "2006-01-02 15:04:05"}} UTC</td></tr>
{{- end}}
</table>
{{- if .Form}}
<form method="post" enctype="multipart/form-data">
<p><input type="file" name="file" multiple required> <button>Upload</button></p>
</form>
{{- end}}
{{- if .Truncated}}
<p>There is more than this listing shows.</p>
{{- end}}
</body>
</html>
`))

// humanSize writes a number of bytes for people.
func humanSize(n *int64) string {
	if *n < 1024 {
		return strconv.FormatInt(*n, 10) + " B"
	}
	f, unit := float64(*n), 0
	for f >= 1023.95 { // what would print as 1024.0
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", f, " KMGTPE"[unit])
}
