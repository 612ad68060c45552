package main

import "fmt"

// farLine in seconds is more than a cache line takes between processors that share a
// cache; see lineTime.
const farLine = 100e-9

// distance tells of processors that are far apart.
func distance(line float64) string {
	if line < farLine {
		return ""
	}
	return fmt.Sprintf(", processors %.0f ns apart", line*1e9)
}
