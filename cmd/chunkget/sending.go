package main

import (
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"sync"

	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/udt"
	"github.com/chunkget/chunkget/udtpool"
	"github.com/spf13/pflag"
)

// sending is how the user wants servers to send.
type sending struct {
	background bool
	rate       units.Rate
	share      float64
}

// defaultShare is what servers do by themselves.
const defaultShare = 2

func (s *sending) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&s.background, "background", false, "have the server give way to all other traffic on the path"+toggleHelp)
	f.Var(rateValue{&s.rate, "10k"}, "rate", "have the server send at this `RATE` in bit/s, such as 200M, whatever the path loses: for paths that are yours alone; chunkserve must allow it")
	f.Float64Var(&s.share, "share", defaultShare, "have all connections weigh as `N` flows beside others, 1 to 100; chunkserve allows 8")
}

func (s *sending) validate() error {
	if s.background && s.rate != 0 {
		return &usageError{"--background and --rate exclude each other", "a rate takes no notice of others, the background gives way to them"}
	}
	if !(s.share >= udt.MinShare && s.share <= udt.MaxShare) {
		return &usageError{fmt.Sprintf("--share %g is not between %d and %d", s.share, udt.MinShare, udt.MaxShare), ""}
	}
	if s.rate != 0 && float64(s.rate) < udt.MinRate {
		return &usageError{fmt.Sprintf("--rate %s is less than 10k bit/s", &s.rate), "rates look like 500k, 200M or 1.5G"}
	}
	return nil
}

// ask is s as a request to a server.
func (s *sending) ask() (a udt.Ask) {
	switch {
	case s.background:
		a.Controller = "ledbat"
	case s.rate != 0:
		a.Controller, a.Rate = "fixed", float64(s.rate)
	}
	if s.share != defaultShare {
		a.Share = s.share
	}
	return a
}

// noteOverTCP tells, once, that what is asked for cannot be had over TCP.
func (s *sending) noteOverTCP(u *ui, scheme string, told *sync.Once) {
	if scheme != "udt" && scheme != "udts" && s.ask() != (udt.Ask{}) {
		told.Do(func() {
			u.note("--background, --rate and --share have no effect over TCP: there the server's system decides how it sends")
		})
	}
}

// answerNotes returns what tells the user about requests that came to nothing.
func answerNotes(u *ui) func(netip.AddrPort, udt.AskStatus) {
	return func(_ netip.AddrPort, s udt.AskStatus) {
		if s.Verdict == udt.Accepted {
			return
		}
		text := "the server does not send as asked: " + s.Verdict.String()
		if s.Controller != "" {
			text += "; it sends with " + s.Controller
		}
		u.note("%s", text)
	}
}

// toggleOnSignal moves downloads between foreground and background at each
// signal meant for that, until stop is called, which waits for those that came
// before.
func toggleOnSignal(u *ui, s sending, pool *udtpool.Pool) (stop func()) {
	signals := make(chan os.Signal, 8)
	notifyToggle(signals)
	var running sync.WaitGroup
	running.Go(func() {
		for range signals {
			s.background = !s.background
			if err := pool.Ask(s.ask()); err != nil {
				u.note("cannot ask the server to send in another way: %v", err)
				continue
			}
			if s.background {
				u.note("in the background from now on: gives way to all other traffic")
			} else {
				u.note("in the foreground from now on")
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(signals)
		running.Wait()
	}
}
