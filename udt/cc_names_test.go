package udt

import "testing"

func TestControllerByName(t *testing.T) {
	for _, name := range ControllerNames() {
		rate := 0.0
		if name == fixedName {
			rate = 1e6
		}
		cc, err := ControllerByName(name, rate)
		if err != nil {
			t.Fatal(err)
		}
		if got := cc().Name(); got != name {
			t.Errorf("%s makes %s", name, got)
		}
		if got := controllerName(controllerCode(name)); got != name {
			t.Errorf("%s has the code of %q", name, got)
		}
	}
	for _, tt := range []struct {
		name string
		rate float64
	}{{"", 0}, {"BBR", 0}, {"vegas", 0}, {"bbr", 1e6}, {"fixed", 0}, {"fixed", -1}, {"fixed", MinRate - 1}, {"fixed", 2 * MaxRate}} {
		if _, err := ControllerByName(tt.name, tt.rate); err == nil {
			t.Errorf("%q at %g bit/s was accepted", tt.name, tt.rate)
		}
	}
	if controllerCode("vegas") != 0 || controllerName(0) != "" || controllerName(99) != "" {
		t.Error("a code was given to what has none")
	}
}
