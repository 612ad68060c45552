package credentials

import (
	"maps"
	"strings"
	"testing"
)

var testPorts = map[string]string{"udt": "9000", "udts": "9000", "http": "80", "https": "443"}

func TestClientTokens(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		one        string
		by         map[string]string
		err        string // part of it
	}{
		{name: "one token", file: "\n# mine\n abc.def== # or so\nsecond\n", one: "abc.def=="},
		{name: "file of a server", file: "first /pub # of the mirror\nsecond\n", one: "first"},
		{name: "origin", file: "https://H.example:8443 tok1\n", by: map[string]string{"https://h.example:8443": "tok1"}},
		{name: "default port", file: "https://h tok1 # for h\nudts://h tok2\n\nHTTP://h tok3", by: map[string]string{"https://h:443": "tok1", "udts://h:9000": "tok2", "http://h:80": "tok3"}},
		{name: "host", file: "h tok", by: map[string]string{"udt://h:9000": "tok", "udts://h:9000": "tok", "http://h:80": "tok", "https://h:443": "tok"}},
		{name: "host and port", file: "h:1 tok", by: map[string]string{"udt://h:1": "tok", "udts://h:1": "tok", "http://h:1": "tok", "https://h:1": "tok"}},
		{name: "addresses", file: "https://192.0.2.1 a\nudts://[2001:DB8::1]:7 b", by: map[string]string{"https://192.0.2.1:443": "a", "udts://[2001:db8::1]:7": "b"}},
		{name: "token like a path", file: "https://h /a/b==", by: map[string]string{"https://h:443": "/a/b=="}},
		{name: "several ports", file: "https://h:1 a\nhttps://h:2 b", by: map[string]string{"https://h:1": "a", "https://h:2": "b"}},

		{name: "empty", file: "", err: "no token in it"},
		{name: "comments", file: "# a\n #b c", err: "no token in it"},
		{name: "garbage", file: "\nsécret", err: "line 2: a token consists of"},
		{name: "origin alone", file: "https://secret-host", err: "line 1: a token consists of"},
		{name: "turned", file: "secret-token https://h", err: "line 1: a token consists of"},
		{name: "three fields", file: "https://h secret more", err: "line 1: more than"},
		{name: "bad token", file: "https://h a\nhttps://i secr\"et", err: "line 2: a token consists of"},
		{name: "same origin", file: "https://h secret1\n\nhttps://h secret2", err: "line 3: a second token for the origin of line 1"},
		{name: "same port", file: "https://h secret1\nhttps://H:443 secret1", err: "line 2: a second token for the origin of line 1"},
		{name: "with and without scheme", file: "h secret1\nudts://h secret2", err: "line 2: a second token for the origin of line 1"},
		{name: "mixed", file: "https://h secret1\nsecret2", err: "line 2: the file has tokens with their origins and others without"},
		{name: "mixed with a prefix", file: "https://h secret1\nsecret2 /pub", err: "line 2: the file has tokens with their origins and others without"},
		{name: "mixed, token first", file: "secret1\nhttps://h secret2", err: "line 2: the file has tokens with their origins and others without"},
		{name: "then garbage", file: "https://h secret1\nsecret2:x", err: "line 2: neither ORIGIN TOKEN nor a token"},
		{name: "scheme", file: "ftp://h secret", err: "line 1: the scheme of the origin is not known"},
		{name: "path", file: "https://h/ secret", err: "line 1: an origin is scheme://host[:port]"},
		{name: "query", file: "https://h? secret", err: "an origin is"},
		{name: "fragment", file: "https://h#pin=sha256:x secret", err: "an origin is"},
		{name: "user", file: "https://secret@h secret", err: "an origin is"},
		{name: "pattern", file: "https://*.h secret", err: "an origin is"},
		{name: "no host", file: "https:// secret", err: "an origin is"},
		{name: "no name", file: "https://:443 secret", err: "an origin is"},
		{name: "empty port", file: "https://h: secret", err: "an origin is"},
		{name: "address without brackets", file: "2001:db8::1 secret", err: "line 1: an origin is"},
		{name: "zone", file: "https://[fe80::1%25secret] secret", err: "an origin is"},
		{name: "port 0", file: "h:0 secret", err: "the port of the origin"},
		{name: "large port", file: "h:65536 secret", err: "the port of the origin"},
		{name: "port with zeros", file: "h:0443 secret", err: "the port of the origin"},
	} {
		got, err := ParseClientTokens([]byte(tt.file), testPorts)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secr") {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
			continue
		}
		if err != nil || got.One != tt.one || !maps.Equal(got.By, tt.by) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
}

func FuzzClientTokens(f *testing.F) {
	f.Add([]byte("https://h:1 tok # x\n[::1]:9000 tok2"))
	f.Add([]byte("tok /pub\nother"))
	f.Add([]byte("h tok\nhttps://h tok"))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := ParseClientTokens(file, testPorts)
		if err != nil {
			return
		}
		if (got.One == "") != (len(got.By) > 0) {
			t.Fatalf("%q has %+v", file, got)
		}
		if got.One != "" && !validToken(got.One) {
			t.Errorf("%q has the token %q", file, got.One)
		}
		for origin, token := range got.By {
			// What it is sent to can be written in the file, and says the same there.
			again, err := ParseClientTokens([]byte(origin+" "+token), testPorts)
			if err != nil || len(again.By) != 1 || again.By[origin] != token {
				t.Errorf("%q has %q for %q, which alone is %+v, %v", file, token, origin, again, err)
			}
			if !strings.Contains(strings.ToLower(string(file)), hostOf(origin)) {
				t.Errorf("%q has a token for %q", file, origin)
			}
		}
	})
}

// hostOf cuts scheme and port off an origin.
func hostOf(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	return host[:strings.LastIndex(host, ":")]
}
