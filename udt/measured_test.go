package udt

import (
	"fmt"
	"runtime"
	"testing"
)

// A measurement is a test whose figures depend on the order in which goroutines run,
// which no seed fixes: it decides who loses a packet, and a few lost packets decide
// who has two thirds of a link half a minute later.
type measurement struct {
	*testing.T
	wrong []string
}

// Errorf notes what would fail the test.
func (m *measurement) Errorf(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

// measure fails unless a measurement holds, or, after one that does not, three of the next
// four. What goes wrong once in twenty times fails less than one test in a thousand, what
// goes wrong nine times in ten about nine tests in ten.
func measure(t *testing.T, f func(t *measurement)) {
	t.Helper()
	for held, failed := 0, 0; held < 3; {
		m := &measurement{T: t}
		f(m)
		switch {
		case len(m.wrong) > 0:
			failed++
		case failed == 0:
			return
		default:
			held++
		}
		if failed == 3 {
			for _, w := range m.wrong {
				t.Error(w)
			}
			return
		}
		if len(m.wrong) > 0 {
			t.Logf("measured again, for: %q", m.wrong)
		}
	}
}

// oneProcessor lets goroutines run one at a time until the test ends: a simulation
// in virtual time has nothing to gain from a second processor but wake-ups, and
// takes half the time without.
func oneProcessor(t *testing.T) {
	procs := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(procs) })
}
