package wan

import (
	"fmt"
	"strings"
	"time"
)

// Profile is a link with a name, so that results of different people and days
// can be compared.
type Profile struct {
	Name        string
	Description string // one sentence
	Link        Link
}

// Profiles returns the fixed set of links, from the easiest to the hardest. A
// profile never changes under its name.
func Profiles() []Profile {
	return []Profile{
		// One bandwidth-delay product is 25 packets here, less than the bursts
		// that hosts send; a switch has room for a few hundred.
		{"lan", "Two machines in one building: hardly any delay, no loss, the queue of a switch.",
			Link{Rate: 300e6, RTT: time.Millisecond, Queue: 8}},
		{"continental", "A clean path across a continent.",
			Link{Rate: 300e6, RTT: 40 * time.Millisecond}},
		{"transatlantic", "A good path across the Atlantic, with the occasional loss.",
			Link{Rate: 300e6, RTT: 100 * time.Millisecond, Loss: 0.001}},
		{"transpacific", "A long path across the Pacific with some loss, where loss-based congestion control starves.",
			Link{Rate: 200e6, RTT: 180 * time.Millisecond, Loss: 0.005}},
		{"satellite", "A geostationary satellite: a long delay and radio losses.",
			Link{Rate: 50e6, RTT: 600 * time.Millisecond, Loss: 0.01}},
		{"wifi", "A far corner of a wireless network: 2 % loss in bursts of 8 packets, and jitter.",
			Link{Rate: 100e6, RTT: 30 * time.Millisecond, Jitter: 5 * time.Millisecond, Burst: burst(0.02, 8)}},
		{"congested", "An overloaded exchange: a queue of a quarter of the usual size, 1 % loss in bursts of 4 packets, jitter and some reordering.",
			Link{Rate: 100e6, RTT: 80 * time.Millisecond, Jitter: 10 * time.Millisecond, Burst: burst(0.01, 4), Queue: 0.25,
				Reorder: Reorder{Probability: 0.001, ExtraDelay: 2 * time.Millisecond}}},
	}
}

// ProfileByName returns the profile of that name; an unknown one is an error
// that lists those there are.
func ProfileByName(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("no profile %q; there are %s", name, strings.Join(names, ", "))
}

// BurstLoss returns the model that loses the given share of packets (0..1,
// exclusive) in bursts of mean length packets (at least 1).
//
// In the two-state model with loss 1 in the bad state, length = 1/Leave and
// share = Enter/(Enter+Leave), so Enter = Leave · share/(1 − share).
func BurstLoss(share, length float64) (Burst, error) {
	if !(share >= 0 && share < 1) || !(length >= 1) {
		return Burst{}, fmt.Errorf("loss share %v is not in 0..1 or burst length %v below 1 packet", share, length)
	}
	b := burst(share, length)
	if b.Enter > 1 {
		return Burst{}, fmt.Errorf("bursts of %v packets cannot make up a loss of %v", length, share)
	}
	return b, nil
}

func burst(share, length float64) Burst {
	leave := 1 / length
	return Burst{Enter: leave * share / (1 - share), Leave: leave}
}
