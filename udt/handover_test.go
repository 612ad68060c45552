package udt

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// Random long writes, some of which end early, compared with what was sent. What a
// writer has back may change.
func TestHandoverAgainstStream(t *testing.T) {
	const payload, limit = 1000, 3000
	r := rand.New(rand.NewPCG(1, 2))
	b := newSendBuffer(payload)
	var stream, sent []byte
	acked, sealed := int64(0), int64(0)
	seal := func() bool {
		p, i, ok := b.seal()
		if ok {
			sent = append(sent, p[headerSize:]...)
			sealed = i + 1
		}
		return ok
	}
	for round := range byte(40) {
		p := randomBytes(longWrite+r.IntN(4*longWrite), round)
		n, wake, err := b.write(p, limit)
		if n != 0 || err != nil || wake != b.resting {
			t.Fatalf("a long write: %d, wake %v, %v", n, wake, err)
		}
		leaveAfter := 1 + r.IntN(40)
		for range leaveAfter {
			b.mu.Lock()
			b.resting = false
			ahead := 1 + r.Int64N(200)
			b.fetchLocked(ahead)
			if b.unsentLocked() < ahead && len(b.from) > 0 && b.freeLocked() > 0 {
				t.Errorf("%d packets wait, %d were asked for", b.unsentLocked(), ahead)
			}
			if len(b.from) > 0 && len(b.from) <= lastPart && b.freeLocked() > 0 {
				t.Errorf("the writer waits for its last %d bytes to be taken", len(b.from))
			}
			done := len(b.from) == 0
			b.mu.Unlock()
			for range r.IntN(200) {
				seal()
			}
			if r.IntN(8) == 0 {
				b.rest()
				done = wakes(b)
			}
			acked += r.Int64N(sealed - acked + 1)
			b.ack(acked)
			if done {
				break
			}
		}
		n = b.leave()
		stream = append(stream, p[:n]...)
		clear(p)
		if b.leave() != 0 {
			t.Error("taken twice")
		}
		for wakes(b) {
		}
	}
	for seal() {
	}
	if !bytes.Equal(sent, stream) {
		t.Errorf("%d bytes were sent that are not the %d taken", len(sent), len(stream))
	}
	if len(stream) < 10*longWrite {
		t.Errorf("only %d bytes were taken", len(stream))
	}
}

// A long write ends when its deadline does, and what it says to have written is what
// arrives. The loop was idle before, or at work.
func TestLongWriteEndsEarly(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 10 * time.Millisecond, Rate: 100e6}, nil, func(l *lab) {
		client, server := l.connect()
		got := make(chan []byte, 1)
		go func() {
			b, err := io.ReadAll(client)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		var want []byte
		for i := range byte(3) {
			p := randomBytes(16<<20, i)
			server.SetWriteDeadline(time.Now().Add(time.Duration(i+1) * 100 * time.Millisecond))
			n, err := server.Write(p)
			if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == len(p) {
				t.Errorf("%d bytes, %v", n, err)
			}
			want = append(want, p[:n]...)
			clear(p)
		}
		server.SetWriteDeadline(time.Time{})
		if n, err := server.Write(nil); n != 0 || err != nil {
			t.Error(n, err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if b := <-got; !bytes.Equal(b, want) {
			t.Errorf("%d bytes arrived, not the %d written", len(b), len(want))
		}
	})
}

// What the buffer has room for is written at once, however slow the path is.
func TestLongWriteIsBuffered(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 100 * time.Millisecond, Rate: 1e6}, nil, func(l *lab) {
		client, server := l.connect()
		go io.Copy(io.Discard, client)
		for _, size := range []int{aheadBytes - 64<<10, longWrite} {
			start := time.Now()
			if n, err := server.Write(make([]byte, size)); n != size || err != nil {
				t.Error(n, err)
			}
			if took := time.Since(start); took > time.Millisecond {
				t.Errorf("%d bytes were written in %v", size, took)
			}
			time.Sleep(3 * time.Second)
		}
	})
}
