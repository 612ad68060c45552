package main

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseWAN(t *testing.T) {
	o, err := parseWAN(strings.Fields("-profiles transatlantic -n 1,8 -quick"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(o.profiles, []string{"transatlantic"}) || !reflect.DeepEqual(o.connections, []int{1, 8}) ||
		!o.quick || o.size != 16<<20 || o.reps != 3 || o.bound != 10*time.Second || o.budget != 140*time.Second ||
		!reflect.DeepEqual(o.contenders, quickContenders) {
		t.Errorf("quick: %+v", o)
	}

	o, err = parseWAN(strings.Fields("--rate 100M --rtt 200ms --loss 3% --queue 0.5 --size 2GiB --reps 5 --contenders http3,libudt"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := freeLink{rate: 100e6, rtt: 200 * time.Millisecond, loss: 0.03, queue: 0.5}
	if o.link != want || o.size != 2<<30 || o.reps != 5 || !reflect.DeepEqual(o.contenders, []string{"http3", "libudt"}) {
		t.Errorf("own link: %+v", o)
	}
	links, err := o.links()
	if err != nil || len(links) != 1 || rowLink(links[0].Link) != (Link{Rate: 100e6, RTT: 0.2, Loss: 0.03, Queue: 0.5}) {
		t.Errorf("own link: %+v, %v", links, err)
	}

	o, err = parseWAN(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.size != 64<<20 || o.bound != 20*time.Second || o.budget != 45*time.Minute || !reflect.DeepEqual(o.connections, []int{1, 2, 4, 8, 16, 32}) || o.contenders != nil {
		t.Errorf("full: %+v", o)
	}
	if links, err := o.links(); err != nil || len(links) < 7 {
		t.Errorf("full: %d links, %v", len(links), err)
	}
}

func TestMistakesInFlags(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-n 0", "number of connections"},
		{"-n 1,", "number of connections"},
		{"-n 257", "number of connections"},
		{"-size 64MB", "no size"},
		{"-size 1", "less than 64 KiB"},
		{"-size 9999999TiB", "no size"},
		{"-reps 0", "-reps"},
		{"-reps -1 -fairness 1s", "-reps"},
		{"-rate 100", "no rate"},
		{"-rate fast", "no rate"},
		{"-rate 100M -loss 1", "no share"},
		{"-rate 100M -loss -1%", "no share"},
		{"-rate 100M -rtt -1s", "negative"},
		{"-rate 100M -profiles lan", "exclude"},
		{"-rtt 1s", "needs -rate"},
		{"-contenders nobody", "no contender"},
		{"stray", "unexpected"},
		{"-unknown", "not defined"},
	} {
		_, err := parseWAN(strings.Fields(tt.args), io.Discard)
		if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want a usage error with %q", tt.args, err, tt.want)
		}
	}
	o, err := parseWAN([]string{"-profiles", "mars"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.links(); err == nil || !strings.Contains(err.Error(), "transatlantic") {
		t.Errorf("unknown profile: error %v, want one that lists the known ones", err)
	}
	if _, err := parseWAN([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: error %v", err)
	}
	if _, err := parseLoopback([]string{"-rate", "1G"}, io.Discard); err == nil {
		t.Error("loopback takes a link")
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		args string
		want int
	}{{"", 2}, {"fly", 2}, {"-h", 0}, {"wan -h", 0}, {"wan -n x", 2}, {"report", 2}, {"report /does/not/exist", 1}, {"peer", 2}, {"peer nobody", 2}, {"veth -h", 0}, {"veth -mtu 5", 2}, {"veth -frames=false -join", 2}} {
		var stderr strings.Builder
		if got := run(t.Context(), strings.Fields(tt.args), io.Discard, &stderr); got != tt.want {
			t.Errorf("bench %s: exit code %d, want %d; %s", tt.args, got, tt.want, stderr.String())
		}
	}
}

func TestParseShare(t *testing.T) {
	for s, want := range map[string]float64{"0": 0, "0.01": 0.01, "1%": 0.01, "0.5%": 0.005} {
		if got, err := parseShare(s); err != nil || !near(got, want) {
			t.Errorf("share %s: %v, %v; want %v", s, got, err, want)
		}
	}
}
