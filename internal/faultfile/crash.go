package faultfile

import (
	"math/rand/v2"
)

// sector is the unit that a disk writes whole or not at all, in bytes.
const sector = 512

// CrashClone returns what a crash now would leave, one of the possible
// outcomes for each seed. The original stays as it is.
func (d *Dir) CrashClone(seed uint64) *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	rng := rand.New(rand.NewPCG(seed, 0x6661756c74))
	names := map[string]*inode{}
	for name, n := range d.durable {
		names[name] = n
	}
	kept := 0
	if len(d.pending) > 0 {
		kept = rng.IntN(len(d.pending) + 1)
	}
	for _, c := range d.pending[:kept] {
		c.apply(names)
	}
	c := New()
	copies := map[*inode]*inode{}
	for _, name := range sortedKeys(names) {
		n := names[name]
		if copies[n] == nil {
			after := n.afterCrash(rng)
			copies[n] = &inode{data: after, durable: after.clone()}
		}
		c.names[name] = copies[n]
		c.durable[name] = copies[n]
	}
	return c
}

// KillClone returns what is left when only the process is killed: everything
// it wrote, and no locks.
func (d *Dir) KillClone() *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := New()
	copies := map[*inode]*inode{}
	for name, n := range d.names {
		if copies[n] == nil {
			copies[n] = &inode{data: n.data.clone(), durable: n.data.clone()}
		}
		c.names[name], c.durable[name] = copies[n], copies[n]
	}
	return c
}

// afterCrash returns one content that a crash may leave.
func (n *inode) afterCrash(rng *rand.Rand) content {
	c := n.durable.clone()
	for _, w := range n.pending {
		if w.data == nil {
			if rng.IntN(2) == 0 {
				c.resize(w.off)
			}
			continue
		}
		switch rng.IntN(4) {
		case 0: // lost
		case 1: // the size arrived, the bytes did not
			c.resize(max(c.size, w.off+int64(len(w.data))))
		case 2: // all of it
			c.write(w.off, w.data)
		case 3: // some sectors of it
			for at := int64(0); at < int64(len(w.data)); {
				end := min((w.off+at)/sector*sector+sector-w.off, int64(len(w.data)))
				if rng.IntN(2) == 0 {
					c.write(w.off+at, w.data[at:end])
				}
				at = end
			}
		}
	}
	return c
}
