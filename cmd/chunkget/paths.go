package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/chunkget/chunkget/udt"
)

// pathMemory keeps what downloads over UDT have learnt of the way to each
// server, in a file of the user's, so that the next one starts near it. Nothing
// depends on it: what cannot be read or written is told and done without.
type pathMemory struct {
	file string // "" = nowhere

	mu    sync.Mutex
	paths map[string]rememberedPath // guarded by mu; by host:port
}

// rememberedPath is an entry of the file.
type rememberedPath struct {
	Rate    float64   `json:"rate,omitempty"`       // over UDT, bit/s of payload
	MinRTT  float64   `json:"min_rtt_ms,omitempty"` // shortest round trip
	RateAt  time.Time `json:"rate_at,omitzero"`     // when it was that
	Long    bool      `json:"long,omitempty"`       // it is that of leastCompared at least
	TCPRate float64   `json:"tcp_rate,omitempty"`   // over TCP to the same server, bit/s of payload
	TCPAt   time.Time `json:"tcp_at,omitzero"`      // when it was that
	NoUDP   time.Time `json:"no_udp,omitzero"`      // when UDP did not get through and TCP did
	SlowUDT time.Time `json:"slow_udt,omitzero"`    // when requests over TCP brought more than others over UDT
	NoTCP   time.Time `json:"no_tcp,omitzero"`      // when the file was not to be had over TCP
	SlowTCP time.Time `json:"slow_tcp,omitzero"`    // when requests over TCP brought no more than others over UDT
	At      time.Time `json:"at"`
}

// fasterOverTCP reports whether TCP was clearly faster than UDT.
func (p rememberedPath) fasterOverTCP() bool {
	return p.Long && p.Rate > 0 && p.TCPRate > clearlyFaster*p.Rate
}

// tcpIsBetter reports whether TCP brought more, in whole downloads or side by side.
func (p rememberedPath) tcpIsBetter() bool { return p.fasterOverTCP() || !p.SlowUDT.IsZero() }

// fresh returns what of p is not too old. What is written anew leaves the rest of an
// entry as old as it is.
func (p rememberedPath) fresh(now time.Time) rememberedPath {
	old := func(at time.Time) bool { age := now.Sub(at); return age <= -time.Minute || age >= pathLife }
	if old(p.RateAt) {
		p.Rate, p.MinRTT, p.RateAt, p.Long = 0, 0, time.Time{}, false
	}
	if old(p.TCPAt) {
		p.TCPRate, p.TCPAt = 0, time.Time{}
	}
	for _, at := range p.events() {
		if old(*at) {
			*at = time.Time{}
		}
	}
	return p
}

// events are the times at which something has shown itself, zero if it has not.
func (p *rememberedPath) events() []*time.Time {
	return []*time.Time{&p.NoUDP, &p.SlowUDT, &p.NoTCP, &p.SlowTCP}
}

// good reports whether p says something, and nothing impossible.
func (p rememberedPath) good() bool {
	valid := func(rate float64) bool { return rate >= 0 && rate <= udt.MaxRate }
	if !valid(p.Rate) || !valid(p.TCPRate) || (p.Rate > 0) != (p.MinRTT > 0) || !(p.MinRTT >= 0 && p.MinRTT < 1e5) {
		return false
	}
	return p.Rate > 0 || p.TCPRate > 0 || slices.ContainsFunc(p.events(), func(at *time.Time) bool { return !at.IsZero() })
}

const (
	pathLife = 24 * time.Hour
	// leastRemembered is what a download must have fetched for its rate to say
	// something about the path, bytes.
	leastRemembered = 4 << 20
	// leastCompared is what it must have fetched for its rate to be compared with
	// another one: of less, the start has too large a part. In bytes.
	leastCompared = 32 << 20
	maxPaths      = 256
	maxPathsFile  = 1 << 20 // bytes
)

// pathsFile returns the name of the file, "" if the system has no place for it.
func pathsFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "chunkget", "paths.json")
}

// recallPaths reads what is remembered. An error concerns the file; what is
// returned beside it is an empty memory.
func recallPaths(file string, now time.Time) (*pathMemory, error) {
	m := &pathMemory{file: file, paths: make(map[string]rememberedPath)}
	if file == "" {
		return m, nil
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, nil
	case err == nil && info.Size() > maxPathsFile:
		err = fmt.Errorf("%d bytes are too many", info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(file)
	}
	if err == nil {
		var paths map[string]rememberedPath
		if err = json.Unmarshal(b, &paths); err == nil {
			m.keepLocked(paths, now)
			return m, nil
		}
	}
	return m, fmt.Errorf("what is remembered of servers in %s is of no use: %w", file, err)
}

// keepLocked takes over the entries that are good and not too old, the latest
// of them if there are too many.
func (m *pathMemory) keepLocked(paths map[string]rememberedPath, now time.Time) {
	clear(m.paths)
	var hosts []string
	for host, p := range paths {
		if p = p.fresh(now); p.good() {
			paths[host] = p
			hosts = append(hosts, host)
		}
	}
	slices.SortFunc(hosts, func(a, b string) int {
		return cmp.Or(paths[b].At.Compare(paths[a].At), cmp.Compare(a, b))
	})
	for _, host := range hosts[:min(len(hosts), maxPaths)] {
		m.paths[host] = paths[host]
	}
}

// entry returns what is remembered of the way to host:port.
func (m *pathMemory) entry(address string) rememberedPath {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paths[address]
}

// path returns what is remembered of the way over UDT to host:port.
func (m *pathMemory) path(address string) udt.Path {
	p := m.entry(address)
	return udt.Path{Rate: p.Rate, MinRTT: time.Duration(p.MinRTT * float64(time.Millisecond))}
}

// remember notes what a download of so many bytes over UDT has achieved.
func (m *pathMemory) remember(address string, p udt.Path, bytes int64, now time.Time) error {
	if p.Rate <= 0 || p.MinRTT <= 0 {
		return nil
	}
	return m.update(address, now, func(e *rememberedPath) {
		e.Rate, e.MinRTT, e.RateAt, e.Long = p.Rate, float64(p.MinRTT)/float64(time.Millisecond), now, bytes >= leastCompared
		e.NoUDP, e.SlowUDT = time.Time{}, time.Time{}
	})
}

// A lesson is what a download has shown of a server that speaks UDT beside what it
// brought over that.
type lesson struct {
	tcpRate float64 // bit/s over TCP, 0 if that says nothing
	noUDP   bool    // UDP did not get through
	slowUDT bool    // requests over UDT brought less than over TCP
	noTCP   bool    // the file was not to be had over TCP
	slowTCP bool    // requests over TCP brought no more than over UDT
}

// learn notes a lesson.
func (m *pathMemory) learn(address string, l lesson, now time.Time) error {
	if l == (lesson{}) {
		return nil
	}
	return m.update(address, now, func(e *rememberedPath) {
		if l.tcpRate > 0 {
			e.TCPRate, e.TCPAt = l.tcpRate, now
		}
		if l.noUDP {
			e.NoUDP = now
		}
		if l.noTCP {
			e.NoTCP = now
		}
		switch {
		case l.slowUDT:
			e.SlowUDT, e.SlowTCP = now, time.Time{}
		case l.slowTCP:
			e.SlowUDT, e.SlowTCP = time.Time{}, now
		}
	})
}

// update changes an entry and writes the file, with what others have written
// meanwhile.
func (m *pathMemory) update(address string, now time.Time, change func(*rememberedPath)) error {
	if m.file == "" {
		return nil
	}
	latest, _ := recallPaths(m.file, now) // a broken file is replaced
	entry := latest.paths[address]
	change(&entry)
	entry.At = now
	latest.paths[address] = entry
	m.mu.Lock()
	m.keepLocked(latest.paths, now)
	b, err := json.MarshalIndent(m.paths, "", "  ")
	m.mu.Unlock()
	if err == nil {
		err = replaceFile(m.file, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("remember the way to %s: %w", address, err)
	}
	return nil
}

// replaceFile writes a file so that nobody ever sees a part of it.
func replaceFile(name string, content []byte) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
