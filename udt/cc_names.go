package udt

import (
	"fmt"
	"strings"
)

// controllerEntry is a controller that can be asked for by name. code stands for
// the name on the wire and is never given to another one.
type controllerEntry struct {
	name  string
	code  uint32
	rated bool // needs a rate
	make  func(rate float64) Congestion
}

var controllers = []controllerEntry{
	{bbrName, 1, false, func(float64) Congestion { return NewBBR() }},
	{ledbatName, 2, false, func(float64) Congestion { return NewLEDBAT() }},
	{fixedName, 3, true, NewFixed},
	{nativeName, 4, false, func(float64) Congestion { return NewNative() }},
}

// MinRate and MaxRate bound the rate of NewFixed where it is asked for by name,
// in bit/s.
const (
	MinRate = 10e3
	MaxRate = 1e12
)

// ControllerNames returns the names that ControllerByName knows, the default
// first.
func ControllerNames() []string {
	names := make([]string, len(controllers))
	for i, c := range controllers {
		names[i] = c.name
	}
	return names
}

// ControllerByName returns what makes the controller of the given name, for
// Config.Congestion. The rate in bit/s is that of fixed, and 0 for the others.
func ControllerByName(name string, rate float64) (func() Congestion, error) {
	for _, c := range controllers {
		switch {
		case c.name != name:
			continue
		case c.rated && !(rate >= MinRate && rate <= MaxRate):
			return nil, fmt.Errorf("controller %s needs a rate between %g and %g bit/s, not %g", name, MinRate, MaxRate, rate)
		case !c.rated && rate != 0:
			return nil, fmt.Errorf("controller %s takes no rate", name)
		}
		return func() Congestion { return c.make(rate) }, nil
	}
	return nil, fmt.Errorf("no controller is named %q; there are %s", name, strings.Join(ControllerNames(), ", "))
}

// controllerCode returns the code of a name, 0 if it has none.
func controllerCode(name string) uint32 {
	for _, c := range controllers {
		if c.name == name {
			return c.code
		}
	}
	return 0
}

// controllerByCode returns what a code stands for, nil if that is nothing.
func controllerByCode(code uint32) *controllerEntry {
	for i, c := range controllers {
		if c.code == code {
			return &controllers[i]
		}
	}
	return nil
}

// controllerName returns the name of a code, "" if it has none.
func controllerName(code uint32) string {
	if c := controllerByCode(code); c != nil {
		return c.name
	}
	return ""
}
