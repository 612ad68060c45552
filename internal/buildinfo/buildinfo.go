// Package buildinfo tells people which build of a program they have.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version describes a program of that name by what the build left in it.
func Version(program string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return program + ", built without module information"
	}
	text := program + " " + info.Main.Version
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if rev := settings["vcs.revision"]; rev != "" {
		text += fmt.Sprintf(", commit %.12s of %s", rev, settings["vcs.time"])
		if settings["vcs.modified"] == "true" {
			text += ", modified"
		}
	}
	return fmt.Sprintf("%s, %s %s/%s", text, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
