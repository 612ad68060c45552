package serve

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
)

const (
	// codedPerClient is how many responses to one client are compressed at a
	// time. A client asks for one on each of its connections.
	codedPerClient = 16

	// codedInAll is the same for all clients together. Each holds an encoder,
	// about 4 MiB.
	codedInAll = 64
)

// A budget bounds what compressing costs: the number of responses, and with them
// memory, and the cores that are busy with them, in all and for each client. It
// owns clients, which has entries only while their responses last.
type budget struct {
	cores chan struct{} // one element for each core that compresses now

	mu      sync.Mutex
	clients map[netip.Addr]*client
	open    int // responses
}

type client struct {
	cores chan struct{}
	open  int
}

func newBudget() *budget {
	return &budget{cores: make(chan struct{}, runtime.GOMAXPROCS(0)), clients: map[netip.Addr]*client{}}
}

// A ticket allows to compress one response.
type ticket struct {
	budget *budget
	addr   netip.Addr
	client *client
}

// enter returns a ticket for a client, or nil if its budget or that of all is
// used up. The ticket must be given back with leave.
func (b *budget) enter(remote string) *ticket {
	addr := clientOf(remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.clients[addr]
	if b.open >= codedInAll || c != nil && c.open >= codedPerClient {
		return nil
	}
	if c == nil {
		// Half of the cores, so that one client never takes what all others need.
		c = &client{cores: make(chan struct{}, max(1, cap(b.cores)/2))}
		b.clients[addr] = c
	}
	b.open++
	c.open++
	return &ticket{b, addr, c}
}

func (t *ticket) leave() {
	b := t.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if t.client.open--; t.client.open == 0 {
		delete(b.clients, t.addr)
	}
}

// work runs f, which must not wait for the network, when a core is free for it.
func (t *ticket) work(ctx context.Context, f func() error) error {
	for _, cores := range []chan struct{}{t.client.cores, t.budget.cores} {
		select {
		case cores <- struct{}{}:
			defer func() { <-cores }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f()
}
