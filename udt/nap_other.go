//go:build !linux

package udt

import "time"

// nap waits for d, or longer.
func nap(d time.Duration) { time.Sleep(d) }
