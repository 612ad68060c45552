package main

import (
	"strconv"
	"testing"
)

func TestAlternativePort(t *testing.T) {
	for in, want := range map[string]string{
		`udt=":9000"`:                           "9000",
		`h3=":443"; ma=60, udt=":9000"; ma=600`: "9000",
		`x="a,udt=\":1\"", udt=":2"`:            "2",
		`udt=":09000"`:                          "9000",
		``:                                      "",
		`clear`:                                 "",
		`h3=":443"`:                             "",
		`udt="other.example:9000"`:              "",
		`udt=":0"`:                              "",
		`udt=":65536"`:                          "",
		`udt=":-1"`:                             "",
		`udt=:9000`:                             "",
		`udt="`:                                 "",
		`udt=`:                                  "",
		`UDT=":9000"`:                           "",
	} {
		if got, ok := alternativePort([]string{in}, "udt"); got != want || ok != (want != "") {
			t.Errorf("alternativePort(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
	if got, _ := alternativePort([]string{"clear", `udts=":8", udt=":7"`}, "udt"); got != "7" {
		t.Errorf("of two fields: %q", got)
	}
}

func FuzzAlternativePort(f *testing.F) {
	f.Add(`h3=":443"; ma=60, udt=":9000"; ma=600`)
	f.Add(`a="\`)
	f.Fuzz(func(t *testing.T, s string) {
		port, ok := alternativePort([]string{s}, "udt")
		if n, err := strconv.Atoi(port); ok != (port != "") || ok && (err != nil || n < 1 || n > 65535) {
			t.Fatalf("%q, %v", port, ok)
		}
	})
}
