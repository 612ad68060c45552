package udt

import "time"

// pathHistory is the shortest round trip of the last ten minutes (RFC 6817,
// 3.4.2) and the highest delivery rate of the last three, kept by the minute.
type pathHistory struct {
	rtts  [10]time.Duration // 0 = none
	rates [10]float64       // packets/s
	at    int
	begun time.Duration // of the current minute
}

func (h *pathHistory) add(now, rtt time.Duration, rate float64) {
	if now-h.begun >= time.Minute {
		h.begun = now
		h.at = (h.at + 1) % len(h.rtts)
		h.rtts[h.at], h.rates[h.at] = 0, 0
	}
	if m := &h.rtts[h.at]; *m == 0 || rtt < *m {
		*m = rtt
	}
	h.rates[h.at] = max(h.rates[h.at], rate)
}

func (h *pathHistory) base() time.Duration {
	least := time.Duration(0)
	for _, m := range h.rtts {
		if m != 0 && (least == 0 || m < least) {
			least = m
		}
	}
	return least
}

func (h *pathHistory) peak() (most float64) {
	n := len(h.rates)
	for i := range 3 {
		most = max(most, h.rates[(h.at-i+n)%n])
	}
	return most
}
