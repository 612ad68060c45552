//go:build linux

package e2e

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
)

var hostileProfile = flag.String("hostile-profile", "", "write heap profiles of the servers into this folder")

// profiling returns the arguments of go build that make testdata/profile.go a part
// of chunkserve, none unless profiles are wanted.
func profiling(dir string) ([]string, error) {
	if *hostileProfile == "" {
		return nil, nil
	}
	to, err := filepath.Abs(*hostileProfile)
	if err != nil {
		return nil, err
	}
	extra, err := filepath.Abs("../../cmd/chunkserve/profile_e2e.go")
	if err != nil {
		return nil, err
	}
	source, err := filepath.Abs("testdata/profile.go")
	if err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {extra: source}})
	if err != nil {
		return nil, err
	}
	os.Setenv("CHUNKSERVE_PROFILE", to)
	name := filepath.Join(dir, "overlay.json")
	return []string{"-overlay", name}, os.WriteFile(name, overlay, 0o666)
}
