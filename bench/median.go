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

// jain returns the fairness index of R. Jain: (Σx)² / (n · Σx²), from 1/n when
// one has everything to 1 when all have the same.
func jain(values []float64) float64 {
	var sum, squares float64
	for _, x := range values {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(values)) * squares)
}
