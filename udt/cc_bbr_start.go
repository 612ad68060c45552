package udt

import "time"

const (
	// bbrStartGain is the growth per round trip while the start has no better
	// guess: the least that doubles what is delivered (BBR: 4·ln 2).
	bbrStartGain = 2.77
	bbrMaxJump   = 32 // growth in one round trip at most
	// bbrTrainTrust is the share of the rate of the first flight at the receiver
	// that the second one is sent at.
	bbrTrainTrust = 0.9
	// bbrRemembered is the share of a remembered rate at which the rest of the
	// first round trip is sent, behind the first flight.
	bbrRemembered = 0.5
	// bbrTrainTime is the least time that the first flight is taken to last at
	// the receiver: readings of clocks in shorter ones are mostly noise.
	bbrTrainTime = time.Millisecond
)

// stepStart raises the rate until the path carries no more.
func (b *bbr) stepStart(now time.Duration, newRound, limited bool) {
	if b.round == 0 {
		return
	}
	pressed := b.recent-b.minRTT > max(b.minRTT/8, 4*time.Millisecond) && b.round > 1
	if pressed {
		b.enter(now, bbrDrain)
		return
	}
	grown := b.rate / (1 - b.compensation()) * bbrStartGain
	if promised := b.train.rate * bbrTrainTrust; promised > 0 && b.rate < b.train.rate*1.1 {
		switch {
		case b.round == 1 && newRound && b.hint > 0:
			// The first flight has shown whether the path may still carry it.
			b.target = min(promised, max(b.hint, b.rate*bbrMaxJump))
		case b.round == 1 && newRound:
			b.target = max(b.target, min(promised, b.rate*bbrMaxJump))
		case b.rate > promised*0.75 || b.rate > b.target*0.9:
			// The path carries what the first flight promised. A little more tells
			// whether that was all.
			b.target = max(b.rate/(1-b.random)*bbrProbeUp, min(promised, grown))
		case b.round > 2:
			b.target = grown
		}
	} else {
		b.target = grown
	}
	if !newRound || limited {
		return
	}
	if b.rate > b.full*1.25 {
		b.full, b.fullRounds = b.rate, 0
	} else if b.fullRounds++; b.fullRounds >= 2 {
		b.enter(now, bbrDrain)
	}
}

// trainMeter measures the rate at which the first flight arrived: its packets
// left together, so that their spacing is that of the narrowest link. Silence
// between parts of the flight does not count: the highest rate up to any point
// does.
type trainMeter struct {
	begun  bool
	first  time.Duration // when it began to arrive
	before int64         // delivered by then
	rate   float64       // packets/s, 0 if too few packets came
}

func (t *trainMeter) arrived(delivered int64, at time.Duration) {
	if !t.begun {
		t.begun, t.first, t.before = true, at, delivered
		return
	}
	if n := delivered - t.before; n >= bbrInitialWindow/4 {
		t.rate = max(t.rate, float64(n)/max(at-t.first, bbrTrainTime).Seconds())
	}
}
