package fetch

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fallbackName is the name of a file for which neither server nor URL has a
// usable one.
const fallbackName = "download"

// maxName bounds a name so that the suffixes of its partial files still fit
// into the 255 bytes of common file systems.
const maxName = 200 // bytes

// suggestedName returns the file name that Content-Disposition proposes
// (RFC 6266, with filename* of RFC 8187 before filename), made safe, or "".
func suggestedName(h http.Header) string {
	v := h.Get("Content-Disposition")
	if v == "" {
		return ""
	}
	// mime decodes filename* into filename and prefers it.
	_, params, err := mime.ParseMediaType(v)
	if err != nil {
		return ""
	}
	return safeName(params["filename"])
}

// nameFromURL returns the last element of the path of u, made safe.
func nameFromURL(u *url.URL) string {
	// Cut before unescaping, so that an escaped slash stays within the element
	// and is dealt with by safeName.
	last := path.Base(strings.TrimRight(u.EscapedPath(), "/"))
	if s, err := url.PathUnescape(last); err == nil {
		last = s
	}
	if name := safeName(last); name != "" {
		return name
	}
	return fallbackName
}

// safeName makes one plain file name out of a foreign string, or "" when
// nothing is left. The result has no separator of any system, no control or
// formatting character, does not begin with a dot, is not the name of a
// Windows device, and does not look like our own partial files.
func safeName(s string) string {
	// Directories are dropped, whatever the system they were written for.
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Co, r),
			unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return -1
		case strings.ContainsRune(`<>:"|?*`, r): // not allowed, or special, on Windows
			return '_'
		}
		return r
	}, s)
	s = strings.TrimLeft(s, ". ~-")
	s = strings.TrimRight(s, ". ")
	for len(s) > maxName {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	s = strings.TrimRight(s, ". ")
	if s == "" {
		return ""
	}
	if isDevice(s) || strings.HasSuffix(s, partSuffix) || strings.HasSuffix(s, journalSuffix) {
		s = "_" + s + "_"
	}
	return s
}

// isDevice reports whether Windows takes s for a device, with any extension.
func isDevice(s string) bool {
	base, _, _ := strings.Cut(s, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	if rest, ok := strings.CutPrefix(base, "COM"); ok || strings.HasPrefix(base, "LPT") {
		if !ok {
			rest = base[3:]
		}
		return len([]rune(rest)) == 1 && strings.ContainsAny(rest, "0123456789¹²³")
	}
	return false
}
