package serve

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

const (
	// bodyBuffer is how much of a body is in memory, in bytes: whole leaves.
	bodyBuffer = 256 << 10

	// reserveStep is in what steps room is reserved for a body of unknown length,
	// in bytes.
	reserveStep = 1 << 20

	// maxFormFiles is how many files one form may send.
	maxFormFiles = 1000
)

// put takes the whole body of a PUT for the file target.
func (s *uploads) put(w *response, r *http.Request, target string) error {
	if r.Header.Get("Content-Range") != "" {
		return &uploadError{http.StatusBadRequest, "PUT takes whole files (RFC 9110, 14.5); POST a hash tree to upload in parts"}
	}
	if r.Header.Get("If-Match") != "" {
		return &uploadError{http.StatusPreconditionFailed, errExists.text}
	}
	if err := s.checkFree(target); err != nil {
		return err
	}
	digests, err := bodyDigests(r.Header)
	if err != nil {
		return err
	}
	n, err := s.store(r.Body, r.ContentLength, target, digests)
	if err != nil {
		return err
	}
	s.created(w, r.URL.Path, target)
	fmt.Fprintf(w, "stored %d bytes\n", n)
	return nil
}

// created begins the answer that a file has appeared at urlPath.
func (s *uploads) created(w *response, urlPath, target string) {
	header := w.Header()
	header.Set("Location", (&url.URL{Path: urlPath}).EscapedPath())
	header.Set(uploadComplete, isComplete)
	header.Set("Content-Type", "text/plain; charset=utf-8")
	if f, err := openIn(s.root, target); err == nil {
		header.Set("ETag", f.version.etag())
		f.Close()
	}
	w.WriteHeader(http.StatusCreated)
}

// store writes body to a partial file, syncs it, and makes it target. size is
// that of the body, -1 if it is not known. It returns the number of bytes.
func (s *uploads) store(body io.Reader, size int64, target string, digests []bodyDigest) (n int64, err error) {
	if size > s.o.MaxSize {
		return 0, errTooLarge
	}
	key := "put-" + randomName()
	if err := s.quota.take(key, blocks(max(size, 0)), time.Now()); err != nil {
		return 0, err
	}
	defer s.quota.release(key)
	name := key + ".part"
	f, err := s.dir.Open(name, true)
	if err != nil {
		return 0, inFolder(err)
	}
	n, err = s.receive(f, body, size, key, digests)
	if err == nil {
		err = inFolder(f.Sync())
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		var placed bool
		if placed, err = s.dir.Place(name, target); placed {
			s.quota.stored(key, blocks(n))
			s.stored.Add(1)
		}
	}
	if rerr := removeIfThere(s.dir, name); rerr != nil {
		s.log.Warn("a partial upload is left", "name", name, "err", rerr)
	}
	return n, err
}

// receive copies body to f and checks its digests.
func (s *uploads) receive(f io.WriterAt, body io.Reader, size int64, key string, digests []bodyDigest) (n int64, err error) {
	buf := make([]byte, bodyBuffer)
	reserved := max(size, 0)
	for {
		k, err := body.Read(buf)
		s.received.Add(int64(k))
		if n+int64(k) > s.o.MaxSize {
			return n, errTooLarge
		}
		if n+int64(k) > reserved {
			step := min(reserveStep, s.o.MaxSize-reserved)
			if err := s.quota.take(key, step, time.Now()); err != nil {
				return n, err
			}
			reserved += step
		}
		if _, err := f.WriteAt(buf[:k], n); err != nil {
			return n, inFolder(err)
		}
		for _, d := range digests {
			d.hash.Write(buf[:k])
		}
		n += int64(k)
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, bodyError(err)
		}
	}
	for _, d := range digests {
		if subtle.ConstantTimeCompare(d.hash.Sum(nil), d.want) != 1 {
			return n, &uploadError{http.StatusUnprocessableEntity, "the body does not have the digest that its header says"}
		}
	}
	return n, nil
}

// inFolder keeps an error of the folder of partial files from being taken for one
// of the name that the client wants.
func inFolder(err error) error {
	if err == nil || isFull(err) {
		return err
	}
	return fmt.Errorf("write partial file: %v", err)
}

// bodyError is why a body could not be read to its end.
func bodyError(err error) error {
	if told := toldOf(err); told == errSlowBody {
		return told
	}
	return errShortBody
}

// A bodyDigest is what a body must have.
type bodyDigest struct {
	hash hash.Hash
	want []byte
}

// bodyDigests reads Repr-Digest and Content-Digest (RFC 9530), which say the same
// of a whole body without a coding: dictionaries of byte sequences (RFC 9651). Of
// algorithms that we do not know nothing is checked.
func bodyDigests(h http.Header) (digests []bodyDigest, err error) {
	for _, field := range []string{"Repr-Digest", "Content-Digest"} {
		for _, line := range h.Values(field) {
			for member := range strings.SplitSeq(line, ",") {
				name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
				d := bodyDigest{}
				switch name {
				case "sha-256":
					d.hash = sha256.New()
				case "sha-512":
					d.hash = sha512.New()
				default:
					continue
				}
				value, ok := strings.CutPrefix(value, ":")
				value, ended := strings.CutSuffix(value, ":")
				d.want, err = base64.StdEncoding.DecodeString(value)
				if !ok || !ended || err != nil || len(d.want) != d.hash.Size() {
					return nil, &uploadError{http.StatusBadRequest, field + " is malformed"}
				}
				if digests = append(digests, d); len(digests) > 4 {
					return nil, &uploadError{http.StatusBadRequest, "too many digests"}
				}
			}
		}
	}
	return digests, nil
}

// form takes the files that a form sends (RFC 7578) into the folder name. Those
// before the first that fails stay. Browsers read no answer before all is sent, so
// what follows that one is read, as far as a file may be long.
func (s *uploads) form(w *response, r *http.Request, name string) error {
	if info, err := s.root.Stat(name); err != nil || !info.IsDir() {
		return errNoFolder
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return &uploadError{http.StatusUnsupportedMediaType, "a folder takes forms: multipart/form-data with the files in it"}
	}
	if err := s.formFiles(w, r, parts, name); err != nil {
		io.Copy(io.Discard, io.LimitReader(r.Body, s.o.MaxSize))
		return err
	}
	return nil
}

func (s *uploads) formFiles(w *response, r *http.Request, parts *multipart.Reader, name string) error {
	var done strings.Builder
	for files := 0; ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return bodyError(err)
		}
		if part.FileName() == "" {
			continue // no file, or one that nobody has chosen
		}
		if files++; files > maxFormFiles {
			return &uploadError{http.StatusRequestEntityTooLarge, done.String() + fmt.Sprintf("more than %d files in one form", maxFormFiles)}
		}
		line, err := s.formFile(part, name)
		if err != nil {
			told := toldOf(err)
			if told.status == http.StatusInternalServerError {
				s.log.Error("upload failed", "path", r.URL.EscapedPath(), "err", err)
			}
			return &uploadError{told.status, fmt.Sprintf("%s%q: %s", done.String(), part.FileName(), told.text)}
		}
		done.WriteString(line)
	}
	if done.Len() == 0 {
		return &uploadError{http.StatusBadRequest, "the form has no file"}
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") { // a browser
		w.Header().Set("Location", (&url.URL{Path: r.URL.Path}).EscapedPath())
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	io.WriteString(w, done.String())
	return nil
}

// formFile stores one file of a form and says so in a line.
func (s *uploads) formFile(part *multipart.Part, folder string) (string, error) {
	name, err := formName(part.FileName(), s.dotFiles)
	if err != nil {
		return "", err
	}
	target := filepath.Join(folder, name)
	if err := s.checkFree(target); err != nil {
		return "", err
	}
	n, err := s.store(part, -1, target, nil)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("stored %q, %d bytes\n", name, n), nil
}
