package fetch

import (
	"cmp"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

const (
	// maxDuplicates is how many of the addresses that an answer names are used.
	maxDuplicates = 8

	// lastPriority is the priority of an address without one (RFC 6249, section 3.1).
	lastPriority = 999999
)

// duplicates returns the other addresses of the file that the answer, or a redirect to
// it, names with rel=duplicate in Link (RFC 6249), the preferred ones first. An answer
// that came encrypted can name none that is not, and nothing that is told to the server
// that named an address goes there.
func duplicates(resp *http.Response) (urls []*url.URL) {
	type duplicate struct {
		u   *url.URL
		pri int
	}
	var found []duplicate
	for a := range answers(resp) {
		for l := range links(a) {
			if !l.hasRelation("duplicate") {
				continue
			}
			u, ok := named(a, l.target)
			if !ok {
				continue
			}
			if slices.ContainsFunc(found, func(d duplicate) bool { return d.u.String() == u.String() }) {
				continue
			}
			pri, err := strconv.Atoi(l.params["pri"])
			if err != nil || pri < 1 || pri > lastPriority {
				pri = lastPriority
			}
			found = append(found, duplicate{u, pri})
		}
	}
	slices.SortStableFunc(found, func(a, b duplicate) int { return cmp.Compare(a.pri, b.pri) })
	for _, d := range found[:min(len(found), maxDuplicates)] {
		urls = append(urls, d.u)
	}
	return urls
}

// answers returns an answer and the redirects that led to it, the latest first: who
// knows the mirrors of a file often has only them (RFC 6249, section 7).
func answers(resp *http.Response) iter.Seq[*http.Response] {
	return func(yield func(*http.Response) bool) {
		for resp != nil && resp.Request != nil && yield(resp) {
			resp = resp.Request.Response
		}
	}
}

// named returns the address that the answer a means with target, if it is one that
// it may name.
func named(a *http.Response, target string) (u *url.URL, ok bool) {
	base := a.Request.URL
	u, err := base.Parse(target)
	if err != nil || !fetchable(u) || u.User != nil || secure(base.Scheme) && !secure(u.Scheme) {
		return nil, false
	}
	return withoutFragment(u), true
}

// fetchable reports whether u has a scheme of ours and a host.
func fetchable(u *url.URL) bool {
	switch u.Scheme {
	case "http", "https", "udt", "udts":
		return u.Hostname() != ""
	}
	return false
}
