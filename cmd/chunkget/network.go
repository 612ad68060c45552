package main

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// network is how a command reaches servers.
type network struct {
	rt    *transports
	paths *pathMemory
	log   *slog.Logger
	close func() error
}

// openNetwork makes room for so many requests for data at a time, and one more.
func openNetwork(u *ui, o *options, requests int) (*network, error) {
	o.draw(u)
	log := logger(u)
	conns, err := observe(u, o.trace)
	if err != nil {
		return nil, err
	}
	paths, err := recallPaths(pathsFile(), time.Now())
	if err != nil {
		u.note("%v", err)
	}
	rt := newTransports(requests, o.dialTimeout(), o.answers.maxHeader(), o.security.trusted(), o.sending.ask(), paths, u, log, conns)
	rt.route.mode = cmp.Or(o.transport, transportAuto)
	rt.limit, rt.route.paced = newReadLimit(float64(o.limitRate)), o.paced()
	if o.proxyURL != nil {
		rt.tcp.Proxy = http.ProxyURL(o.proxyURL)
	}
	o.security.noteUntold(u)
	stop := toggleOnSignal(u, o.sending, rt.udt)
	return &network{rt, paths, log, func() error {
		err := conns.close()
		stop()
		rt.Close()
		return err
	}}, nil
}

// silentNetwork is that of a command that sends nothing.
func silentNetwork() *network { return &network{close: func() error { return nil }} }
