//go:build !linux

package main

import "time"

// lineTime returns 0: here it is not known how to stay on a processor.
func lineTime() time.Duration { return 0 }
