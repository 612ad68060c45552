package main

import (
	"fmt"
	"runtime/debug"
)

// versionText describes this program from what the build left in it.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "chunkget, built without module information"
	}
	text := fmt.Sprintf("chunkget %s", info.Main.Version)
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
	return fmt.Sprintf("%s, %s %s/%s", text, info.GoVersion, settings["GOOS"], settings["GOARCH"])
}
