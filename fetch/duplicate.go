package fetch

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxDuplicates is how many of the addresses that an answer names are used.
	maxDuplicates = 8

	// lastPriority is the priority of an address without one (RFC 6249, section 3.1).
	lastPriority = 999999
)

// duplicates returns the other addresses of the file that the answer names, with
// rel=duplicate in Link (RFC 6249), the preferred ones first. An answer that came
// encrypted can name none that is not, and nothing that is told to the server that
// named an address goes there.
func duplicates(resp *http.Response) (urls []*url.URL) {
	type duplicate struct {
		u   *url.URL
		pri int
	}
	var found []duplicate
	base := resp.Request.URL
	for _, v := range resp.Header.Values("Link") {
		for _, l := range parseLinks(v) {
			if _, other := l.params["anchor"]; other || !hasRelation(l.params["rel"], "duplicate") {
				continue
			}
			u, err := base.Parse(l.target)
			if err != nil || !fetchable(u) || u.User != nil || secure(base.Scheme) && !secure(u.Scheme) {
				continue
			}
			u = withoutFragment(u)
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

// hasRelation reports whether a value of rel, which is a list (RFC 8288, section
// 3.3), has a relation.
func hasRelation(rel, want string) bool {
	return slices.ContainsFunc(strings.Fields(rel), func(r string) bool { return strings.EqualFold(r, want) })
}

// fetchable reports whether u has a scheme of ours and a host.
func fetchable(u *url.URL) bool {
	switch u.Scheme {
	case "http", "https", "udt", "udts":
		return u.Hostname() != ""
	}
	return false
}
