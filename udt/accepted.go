package udt

import "net/netip"

// acceptedConns are the connections that were made of clients' requests and are
// not over, whether the user has accepted them yet or not. They belong to the
// endpoint and are guarded by its mu. Both maps hold open connections only, of
// which the Config bounds the number.
type acceptedConns struct {
	byKey  map[peerKey]*Conn  // to recognise repeated requests
	byHost map[netip.Addr]int // how many, none is 0
}

// hostOf returns the address by which hosts are told apart. Whoever has one
// address of an IPv6 /64 usually has them all.
func hostOf(a netip.Addr) netip.Addr {
	a = a.WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// room reports whether cfg allows one more from the address.
func (t *acceptedConns) room(cfg *Config, from netip.Addr) bool {
	return len(t.byKey) < cfg.maxAccepted() && (cfg.MaxAcceptedPerAddr <= 0 || t.byHost[hostOf(from)] < cfg.MaxAcceptedPerAddr)
}

func (t *acceptedConns) add(key peerKey, c *Conn) {
	if t.byKey == nil {
		t.byKey, t.byHost = make(map[peerKey]*Conn), make(map[netip.Addr]int)
	}
	t.byKey[key] = c
	t.byHost[hostOf(key.addr.Addr())]++
}

// remove takes c out, if it is there.
func (t *acceptedConns) remove(c *Conn) {
	key := peerKey{c.remote, c.peerID, c.isn}
	if t.byKey[key] != c {
		return
	}
	delete(t.byKey, key)
	host := hostOf(key.addr.Addr())
	if t.byHost[host]--; t.byHost[host] == 0 {
		delete(t.byHost, host)
	}
}
