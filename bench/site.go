package main

import (
	"context"
	"os/exec"
)

// A place is what decides about who can be measured.
type place struct {
	emulated bool // the ends are joined by an emulated link
	ownTCP   bool // the congestion control of TCP can be set
}

// A site is where servers and clients run: two ends and what is known of the
// way between them.
type site struct {
	place
	scenario string
	profile  string
	link     Link
	client   end
	server   end

	// setTCP chooses the congestion control of new TCP connections at both ends.
	// nil without ownTCP: the ends share the settings and counters of the machine.
	setTCP func(ctx context.Context, name string) error

	// reset begins a new count on the emulated link, count returns it. Both are
	// nil where there is no emulator.
	reset func()
	count func() linkCount
}

// linkCount is what an emulated link says about a transfer.
type linkCount struct {
	toClient, toServer Direction
	lateP99            float64 // seconds
	late               string  // why the figures of the transfer mean nothing, "" if the link kept its schedule
}

// An end is one side of a site.
type end struct {
	addr    string // IP address that the other end reaches it at
	port    string // that servers listen on, "" for any that is free
	command func(ctx context.Context, name string, args ...string) *exec.Cmd
}

// loopbackSite has both ends on this machine, with no privileges.
func loopbackSite() *site {
	here := end{addr: "127.0.0.1", command: exec.CommandContext}
	return &site{scenario: scenarioLoopback, profile: "loopback", client: here, server: here}
}
