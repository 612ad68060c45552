package udt

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"
)

// An Ask is what the receiver of data wants of its sender. The zero value leaves
// everything to the sender. Only peers of our kind can be asked.
type Ask struct {
	// Controller is a name out of ControllerNames, "" = the sender's own choice.
	Controller string
	// Rate in bit/s is that of fixed, MinRate to MaxRate, and 0 for the others.
	Rate float64
	// Share is the number of flows that the connections may weigh as together,
	// MinShare to MaxShare, in steps of 0.01; 0 = the sender's default.
	Share float64
}

// MinShare and MaxShare bound Ask.Share.
const (
	MinShare = 1
	MaxShare = 100
)

func (a Ask) check() error {
	if a.Controller != "" {
		if _, err := ControllerByName(a.Controller, a.Rate); err != nil {
			return err
		}
	} else if a.Rate != 0 {
		return fmt.Errorf("a rate needs the controller %s", fixedName)
	}
	if a.Share != 0 && !(a.Share >= MinShare && a.Share <= MaxShare) {
		return fmt.Errorf("a share of %g flows is not between %d and %d", a.Share, MinShare, MaxShare)
	}
	return nil
}

// A Path is what is remembered of a path from earlier connections. The zero
// value is nothing.
type Path struct {
	Rate   float64       // of delivery, in bit/s of payload
	MinRTT time.Duration // the shortest round trip
}

// fits reports whether a path whose first round trip took rtt may be the one
// that is remembered. What waits in a queue already makes it another one.
func (p Path) fits(rtt time.Duration) bool {
	return p.Rate > 0 && p.MinRTT > 0 &&
		rtt >= p.MinRTT*3/4-time.Millisecond && rtt <= p.MinRTT*3/2+5*time.Millisecond
}

// An AskPolicy says what the peers of an endpoint may ask for.
type AskPolicy struct {
	// Controllers are the names that may be asked for; nil stands for all. What
	// the endpoint takes by itself may always be asked for.
	Controllers []string
	// MaxRate is the highest rate in bit/s that fixed may be asked for, by each
	// client's endpoint. 0 refuses fixed: it takes no notice of congestion.
	MaxRate float64
	// MaxShare is the highest share that may be asked for. The default is 8.
	MaxShare float64
}

const defaultMaxShare = 8

// judge decides on what a peer asks for.
func (p *AskPolicy) judge(a askPacket) Verdict {
	name := controllerName(a.code)
	switch {
	case a.code != 0 && name == "":
		return RefusedUnknown
	case a.code != 0 && p.Controllers != nil && !slices.Contains(p.Controllers, name):
		return RefusedController
	case name == fixedName && !(a.rate >= MinRate && float64(a.rate) <= min(p.MaxRate, MaxRate)):
		return RefusedRate
	case name != fixedName && a.rate != 0:
		return RefusedRate
	case a.share != 0 && (a.share < MinShare*100 || float64(a.share)/100 > cmpOr(p.MaxShare, defaultMaxShare)):
		return RefusedShare
	}
	return Accepted
}

func cmpOr(v, def float64) float64 {
	if v == 0 {
		return def
	}
	return v
}

// A Verdict is what became of an Ask. The values up to RefusedShare travel in
// answers and never change their meaning.
type Verdict uint32

const (
	Accepted          Verdict = iota
	RefusedUnknown            // the sender knows no such controller
	RefusedController         // its operator does not allow the controller
	RefusedRate               // the rate is higher than its operator allows, or makes no sense
	RefusedShare              // the same of the share

	NotAsked   Verdict = iota + 0xFFFF // there is nothing to ask for
	Asking                             // no answer yet
	Unanswered                         // the peer knows no such requests; it sends as it likes
)

// Refused reports whether the sender has declined.
func (v Verdict) Refused() bool { return v > Accepted && v < NotAsked }

func (v Verdict) String() string {
	switch v {
	case Accepted:
		return "accepted"
	case RefusedUnknown:
		return "refused: the sender does not know the controller"
	case RefusedController:
		return "refused: the sender does not allow the controller"
	case RefusedRate:
		return "refused: the sender does not allow the rate"
	case RefusedShare:
		return "refused: the sender does not allow the share"
	case NotAsked:
		return "not asked"
	case Asking:
		return "asking"
	case Unanswered:
		return "the sender cannot be asked"
	}
	return fmt.Sprintf("refused for the unknown reason %d", uint32(v))
}

// An AskStatus says what has become of an Ask. Controller, Rate and Share are
// what the sender says it sends with, known once it has answered.
type AskStatus struct {
	Verdict    Verdict
	Controller string  // "" = unknown, or a controller without a code
	Rate       float64 // bit/s, of fixed only
	Share      float64 // flows
}

// An ask travels in a user-defined control packet of extended type askType;
// word 1 of the header numbers it. Its payload:
//
//	0     code of the controller (cc_names.go), 0 = the sender's own choice
//	1, 2  rate in bit/s for fixed, upper half first, else 0
//	3     share in hundredths of a flow, 0 = the sender's default
//	4, 5  delivery rate remembered of the path, bit/s of payload, 0 = none
//	6     the round trip of this connection's handshake, µs
//
// The answer is of extended type answerType with the same number. Its payload:
//
//	0     verdict, 0 = accepted
//	1     code of the controller in force, 0 = one without a code
//	2, 3  its rate in bit/s if it is fixed, else 0
//	4     its share in hundredths of a flow
//
// Further words are ignored in both.
const (
	askType     = 0x4641
	answerType  = 0x4652
	askWords    = 7
	answerWords = 5
)

type askPacket struct {
	code     uint32
	rate     uint64 // bit/s
	share    uint32 // hundredths
	pathRate uint64 // bit/s of payload
	pathRTT  time.Duration
}

// packet returns the form of a in which it travels.
func (a Ask) packet(p Path) askPacket {
	return askPacket{
		code: controllerCode(a.Controller), rate: uint64(a.Rate), share: uint32(math.Round(a.Share * 100)),
		pathRate: uint64(min(max(p.Rate, 0), MaxRate)), pathRTT: p.MinRTT,
	}
}

func (a askPacket) words() []uint32 {
	return []uint32{
		a.code, uint32(a.rate >> 32), uint32(a.rate), a.share,
		uint32(a.pathRate >> 32), uint32(a.pathRate), uint32(min(a.pathRTT.Microseconds(), math.MaxUint32)),
	}
}

func parseAsk(p []byte) (a askPacket, ok bool) {
	if len(p) < 4*askWords {
		return a, false
	}
	a = askPacket{
		code: binary.BigEndian.Uint32(p), rate: binary.BigEndian.Uint64(p[4:]), share: binary.BigEndian.Uint32(p[12:]),
		pathRate: binary.BigEndian.Uint64(p[16:]), pathRTT: time.Duration(binary.BigEndian.Uint32(p[24:])) * time.Microsecond,
	}
	if a.pathRate > MaxRate || a.pathRTT == 0 {
		a.pathRate, a.pathRTT = 0, 0
	}
	return a, true
}

type answerPacket struct {
	verdict Verdict
	code    uint32
	rate    uint64 // bit/s
	share   uint32 // hundredths
}

func (a answerPacket) words() []uint32 {
	return []uint32{uint32(a.verdict), a.code, uint32(a.rate >> 32), uint32(a.rate), a.share}
}

func parseAnswer(p []byte) (a answerPacket, ok bool) {
	if len(p) < 4*answerWords {
		return a, false
	}
	a = answerPacket{
		verdict: Verdict(binary.BigEndian.Uint32(p)), code: binary.BigEndian.Uint32(p[4:]),
		rate: binary.BigEndian.Uint64(p[8:]), share: binary.BigEndian.Uint32(p[16:]),
	}
	return a, a.verdict < NotAsked
}

func (a answerPacket) status() AskStatus {
	return AskStatus{Verdict: a.verdict, Controller: controllerName(a.code), Rate: float64(a.rate), Share: float64(a.share) / 100}
}
