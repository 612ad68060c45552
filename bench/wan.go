package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/chunkget/chunkget/bench/wan"
)

// benchWAN measures over emulated links, one after the other.
func benchWAN(ctx context.Context, o *options, log io.Writer) (err error) {
	links, err := o.links()
	if err != nil {
		return err
	}
	s, err := newSession(ctx, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var planned []Link
	for _, p := range links {
		planned = append(planned, rowLink(p.Link))
	}
	if err := s.plan(place{emulated: true, ownTCP: true}, planned); err != nil {
		return err
	}
	for i, p := range links {
		fmt.Fprintf(log, "bench: %s: %v; %d of %d measured, about %v left\n", p.Name, p.Link, s.progress.done, s.progress.total, s.progress.left(time.Since(s.start)).Round(time.Second))
		s.allot(i)
		if err := s.overLink(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return s.finish()
}

// overLink opens the link, measures and closes it.
func (s *session) overLink(ctx context.Context, p wan.Profile) (err error) {
	lab, err := wan.Open(ctx, p.Link, slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	at := wanSite(lab, p)
	if err := s.matrix(ctx, at); err != nil || s.o.fairness == 0 {
		return err
	}
	return s.fairness(ctx, at)
}

// links returns the links that the user asked for.
func (o *options) links() ([]wan.Profile, error) {
	if o.link.rate > 0 {
		p, err := o.link.profile()
		return []wan.Profile{p}, err
	}
	if o.profiles == nil {
		return wan.Profiles(), nil
	}
	var out []wan.Profile
	for _, name := range o.profiles {
		p, err := wan.ProfileByName(name)
		if err != nil {
			return nil, &usageError{err.Error()}
		}
		out = append(out, p)
	}
	return out, nil
}

// reorderDelay holds packets of a link of the user's own back, as a share of its
// RTT, so that they are overtaken.
const reorderDelay = 0.05

// profile returns the link of the user's own.
func (f *freeLink) profile() (wan.Profile, error) {
	l := wan.Link{Rate: int64(f.rate), RTT: f.rtt, Jitter: f.jitter, Queue: f.queue}
	if f.burst > 1 {
		b, err := wan.BurstLoss(f.loss, f.burst)
		if err != nil {
			return wan.Profile{}, &usageError{err.Error()}
		}
		l.Burst = b
	} else {
		l.Loss = f.loss
	}
	if f.reorder > 0 {
		l.Reorder = wan.Reorder{Probability: f.reorder, ExtraDelay: time.Duration(reorderDelay * float64(f.rtt))}
	}
	if err := l.Validate(); err != nil {
		return wan.Profile{}, &usageError{err.Error()}
	}
	return wan.Profile{Name: "own", Description: "A link of the user's own.", Link: l}, nil
}

// wanSite is an emulated link with its two namespaces.
func wanSite(lab *wan.Lab, p wan.Profile) *site {
	client, server := lab.Client(), lab.Server()
	return &site{
		place:    place{emulated: true, ownTCP: true},
		scenario: scenarioWAN,
		profile:  p.Name,
		link:     rowLink(p.Link),
		client:   end{addr: client.Addr.String(), command: client.Command},
		server:   end{addr: server.Addr.String(), port: "9000", command: server.Command},
		setTCP:   setTCP(client, server),
		reset:    lab.ResetCounters,
		count: func() linkCount {
			c := lab.Counters()
			n := linkCount{toClient: rowDirection(c.ToClient), toServer: rowDirection(c.ToServer), lateP99: c.Lateness.P99.Seconds()}
			if ok, why := c.KeptSchedule(); !ok {
				n.late = why
			}
			return n
		},
	}
}

// setTCP returns a function that chooses the congestion control of both hosts.
func setTCP(client, server wan.Host) func(ctx context.Context, name string) error {
	return func(ctx context.Context, name string) error {
		return errors.Join(server.SetCongestionControl(ctx, name), client.SetCongestionControl(ctx, name))
	}
}

// rowLink describes a link for a row.
func rowLink(l wan.Link) Link {
	out := Link{
		Rate: float64(l.Rate), RTT: l.RTT.Seconds(), Jitter: l.Jitter.Seconds(),
		Loss: l.Loss, Reorder: l.Reorder.Probability, Queue: l.Queue,
	}
	if l.Burst.LossShare() > 0 {
		out.Burst, out.Loss = 1/l.Burst.Leave, l.LossShare()
	}
	if out.Queue == 0 {
		out.Queue = 1
	}
	return out
}

func rowDirection(d wan.Direction) Direction {
	return Direction{
		Packets: d.Sent.Packets, Bytes: d.Sent.Bytes, Delivered: d.Delivered.Packets, Lost: d.Lost.Packets,
		Overflowed: d.Overflow.Packets, Reordered: d.Reordered.Packets, Refused: d.Refused.Packets, Missed: d.Missed,
	}
}
