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

	// largePerClient and largeInAll are how many large answers may be composed and
	// on their way at a time: a client that takes one slowly keeps it in memory.
	// Listings and Metalinks are large from more than smallAnswer entries on, about
	// half a MiB.
	largePerClient = 8
	largeInAll     = 16
	smallAnswer    = 1000
)

// A budget bounds what responses of a costly kind take: their number, and with
// it memory, and the cores that are busy with them, in all and for each client.
// It owns clients, which has entries only while their responses last.
type budget struct {
	inAll, perClient int           // responses; immutable
	cores            chan struct{} // one element for each core that is busy now

	mu      sync.Mutex
	clients map[netip.Addr]*client
	open    int // responses
}

type client struct {
	cores chan struct{}
	open  int
}

func newBudget(inAll, perClient int) *budget {
	return &budget{
		inAll: inAll, perClient: perClient,
		cores: make(chan struct{}, runtime.GOMAXPROCS(0)), clients: map[netip.Addr]*client{},
	}
}

// A ticket allows one response.
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
	if b.open >= b.inAll || c != nil && c.open >= b.perClient {
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

// leave gives the ticket back; nil is none.
func (t *ticket) leave() {
	if t == nil {
		return
	}
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
