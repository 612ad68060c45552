package main

import "slices"

// A Spread is the middle and the ends of some values.
type Spread struct {
	Median, Min, Max float64
	N                int // number of values
}

// spread returns the spread of values. The median of an even number of values
// is the mean of the two in the middle.
func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1], N: n}
}
