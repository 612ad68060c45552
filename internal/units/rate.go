package units

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is a number of bit/s. As text it may have a decimal unit: 200M.
type Rate float64

// rateUnits are the units a rate may have, the largest first.
var rateUnits = []struct {
	name string
	bits float64
}{
	{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3},
}

// Bounds of a rate that can be given, in bit/s. Less is taken for a forgotten
// unit.
const (
	MinRate = 1e3
	MaxRate = 1e12
)

// ParseRate reads a rate such as 500k, 200M or 2.5G bit/s.
func ParseRate(s string) (Rate, error) {
	number, factor := s, 1.0
	for _, u := range rateUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = n, u.bits
			break
		}
	}
	bad := fmt.Errorf("%q is no rate such as 500k, 200M or 1.5G (bit/s), between 1k and 1T", s)
	if strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	f, err := strconv.ParseFloat(number, 64)
	if r := f * factor; err == nil && r >= MinRate && r <= MaxRate {
		return Rate(r), nil
	}
	return 0, bad
}

// String writes the rate so that ParseRate reads the same value back; 0, which
// stands for no rate, is empty.
func (r *Rate) String() string {
	for _, u := range rateUnits {
		if x := float64(*r) / u.bits; x >= 1 && x*u.bits == float64(*r) {
			return strconv.FormatFloat(x, 'f', -1, 64) + u.name
		}
	}
	if *r == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*r), 'f', -1, 64)
}

// Set implements flag.Value.
func (r *Rate) Set(s string) error {
	v, err := ParseRate(s)
	if err == nil {
		*r = v
	}
	return err
}

// Type implements pflag.Value.
func (r *Rate) Type() string { return "RATE" }
