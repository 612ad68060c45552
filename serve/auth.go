package serve

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/chunkget/chunkget/internal/credentials"
)

// RequireToken lets requests through to h that bear a token for their path
// (RFC 6750). Others are answered with 401, or with 403 if the token is for other
// paths, whether there is anything at the path or not. log gets those at level
// Info.
func RequireToken(h http.Handler, tokens *credentials.Tokens, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, challenge, text := http.StatusUnauthorized, `Bearer realm="chunkserve"`, "a token is required"
		if token, ok := bearer(r.Header); ok {
			switch tokens.Check(token, r.URL.Path, time.Now()) {
			case credentials.Granted:
				h.ServeHTTP(w, r)
				return
			case credentials.Elsewhere:
				status, text = http.StatusForbidden, "the token is not for this path"
				challenge += `, error="insufficient_scope"`
			case credentials.Unknown:
				text = "the token is not known"
				challenge += `, error="invalid_token"`
			}
		}
		log.LogAttrs(r.Context(), slog.LevelInfo, "request refused",
			slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()), slog.Int("status", status),
			slog.String("why", text), slog.String("remote", r.RemoteAddr))
		w.Header().Set("WWW-Authenticate", challenge)
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, text, status)
	})
}

// bearer returns the token of a request with exactly one Authorization field. The
// name of the scheme has no case (RFC 9110, section 11.1).
func bearer(h http.Header) (token string, ok bool) {
	fields := h.Values("Authorization")
	if len(fields) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(fields[0], " ")
	return strings.TrimLeft(token, " "), ok && strings.EqualFold(scheme, "Bearer")
}
