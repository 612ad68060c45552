package units

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. As text it may have a binary unit: 512KiB.
type Size int64

// sizeUnits are the units a size may have, the longer of two first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1},
}

// ParseSize reads a size such as 1048576, 512KiB or 1.5GiB. It is never
// negative.
func ParseSize(s string) (Size, error) {
	number, factor := s, int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, factor = strings.TrimRight(n, " "), u.bytes
			break
		}
	}
	bad := fmt.Errorf("%q is no size such as 512KiB, 256MiB or 1.5GiB", s)
	if strings.Trim(number, "0123456789.") != "" {
		return 0, bad
	}
	// Whole numbers apart, because a float64 does not hold all of them.
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n <= math.MaxInt64/factor {
		return Size(n * factor), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f*float64(factor) >= math.MaxInt64 {
		return 0, bad
	}
	return Size(f * float64(factor)), nil
}

// String writes the size so that ParseSize reads the same value back.
func (b *Size) String() string {
	for i := len(sizeUnits) - 2; i >= 0; i-- {
		if u := sizeUnits[i]; *b != 0 && int64(*b)%u.bytes == 0 {
			return strconv.FormatInt(int64(*b)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*b), 10)
}

// Set implements flag.Value.
func (b *Size) Set(s string) error {
	v, err := ParseSize(s)
	if err == nil {
		*b = v
	}
	return err
}

// Type implements pflag.Value.
func (b *Size) Type() string { return "SIZE" }
