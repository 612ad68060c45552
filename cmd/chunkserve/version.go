package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionText describes this program from what the build left in it.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "chunkserve, built without module information"
	}
	text := "chunkserve " + info.Main.Version
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
