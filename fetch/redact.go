package fetch

import (
	"net/url"
	"slices"
	"strings"
)

// hidden takes the place of what nobody else should read.
const hidden = "REDACTED"

// RedactURL returns u for events, journals and logs: without user information and
// fragment, and without the values of query parameters that look like secrets. A
// signed URL and its renewal are therefore the same.
func RedactURL(u *url.URL) string {
	c := withoutFragment(u)
	c.User, c.RawQuery = nil, RedactQuery(c.RawQuery)
	return c.String()
}

// RedactQuery hides the values of parameters whose names say that they are
// secrets. Everything else stays as it is written.
func RedactQuery(raw string) string {
	if raw == "" {
		return ""
	}
	params := strings.Split(raw, "&")
	for i, p := range params {
		name, value, _ := strings.Cut(p, "=")
		if secretParameter(name, value) {
			params[i] = name + "=" + hidden
		}
	}
	return strings.Join(params, "&")
}

// secretParameter tells by the name of a parameter, as it is written, whether its value
// is a secret.
func secretParameter(name, value string) bool {
	plain, err := url.QueryUnescape(name)
	return value != "" && (err != nil || secretName(plain) || plain == "key" && !objectKey(value))
}

// Names of secrets, and what occurs in them, in lower case and without - and _.
var (
	secretNames = []string{"auth", "hmac", "jwt", "otp", "pass", "pwd", "sid", "sig", "ticket"}
	secretParts = []string{"accesskey", "apikey", "authorization", "credential", "oauth", "passw", "privatekey", "secret", "session", "signature", "token"}
)

// joined leaves the separators out of a name.
var joined = strings.NewReplacer("-", "", "_", "")

func secretName(name string) bool {
	name = strings.ToLower(joined.Replace(name))
	return slices.Contains(secretNames, name) ||
		slices.ContainsFunc(secretParts, func(part string) bool { return strings.Contains(name, part) })
}

// objectKey tells the key of an object in a store, which says what the file is,
// from a key that opens a door: those are long and of letters and digits.
func objectKey(value string) bool { return len(value) < 16 || strings.ContainsAny(value, "./%") }

// redact returns u for people to read, without user information and query,
// which may be secrets.
func redact(u *url.URL) string {
	c := *u
	c.User, c.RawQuery, c.Fragment = nil, "", ""
	return c.String()
}
