//go:build libudt

package main

import (
	"strings"
	"testing"
)

// Without the tag the C++ library is skipped, in every other test too.
func TestLibudt(t *testing.T) {
	rows := smoke(t, strings.Fields("loopback -size 1MiB -reps 1 -contenders libudt,memory-libudt,memory-libudt-to-udt,memory-udt-to-libudt")...)
	checkSmoke(t, rows, 5)
	for _, r := range rows {
		if !r.ok() {
			t.Errorf("%s ×%d: %s: %s", r.Contender, r.Connections, r.Status, r.Reason)
		}
	}
}
