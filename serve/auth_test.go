package serve

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/credentials"
)

func TestRequireToken(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(name, []byte("tok-all\ntok-pub /pub\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	tokens, err := credentials.OpenTokens(name, log, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := RequireToken(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in") }), tokens, log)
	for _, tt := range []struct {
		path      string
		auth      []string
		status    int
		challenge string
	}{
		{"/x", []string{"Bearer tok-all"}, 200, ""},
		{"/x", []string{"bearer  tok-all"}, 200, ""},
		{"/pub/x?digest=tree", []string{"Bearer tok-pub"}, 200, ""},
		{"/pub/x", nil, 401, `Bearer realm="chunkserve"`},
		{"/x", []string{"Bearer tok-pub"}, 403, "insufficient_scope"},
		{"/pub/%2e%2e/x", []string{"Bearer tok-pub"}, 403, "insufficient_scope"},
		{"/x", []string{"Bearer tok"}, 401, "invalid_token"},
		{"/x", []string{"Bearer "}, 401, "invalid_token"},
		{"/x", []string{"Bearer"}, 401, "Bearer realm"},
		{"/x", []string{"Basic tok-all"}, 401, "Bearer realm"},
		{"/x", []string{"Bearer tok-all", "Bearer tok-all"}, 401, "Bearer realm"},
	} {
		r := httptest.NewRequest("GET", tt.path, nil)
		r.Header["Authorization"] = tt.auth
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		got := w.Result()
		if got.StatusCode != tt.status || !strings.Contains(got.Header.Get("WWW-Authenticate"), tt.challenge) || (w.Body.String() == "in") != (tt.status == 200) {
			t.Errorf("%s with %q: %d, %q, %q", tt.path, tt.auth, got.StatusCode, got.Header.Get("WWW-Authenticate"), w.Body)
		}
	}
	if strings.Contains(out.String(), "tok-") {
		t.Errorf("a token is in the log: %s", &out)
	}
}
