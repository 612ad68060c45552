//go:build race

package udt

// raceEnabled: sync.Pool drops things at random, which allocates.
const raceEnabled = true
