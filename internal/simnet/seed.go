package simnet

import (
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// FixedSeed returns a seed that depends on the test's name only, or the number
// in CHUNKGET_SEED if that is set. It is for tests that measure: a result that
// differs from yesterday's is then the doing of the code, not of the dice.
func FixedSeed(t testing.TB) uint64 {
	t.Helper()
	if os.Getenv("CHUNKGET_SEED") != "" {
		return SeedFromTest(t)
	}
	h := fnv.New64a()
	h.Write([]byte(t.Name()))
	return h.Sum64()
}

// SeedFromTest returns the seed for a test's network: the number in the
// environment variable CHUNKGET_SEED if that is set, otherwise a random one.
// If the test fails, the log tells the seed to run it with again.
func SeedFromTest(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("CHUNKGET_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatalf("CHUNKGET_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("network seed: run again with CHUNKGET_SEED=%d", seed)
		}
	})
	return seed
}
