package udt

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/chunkget/chunkget/internal/simnet"
)

// Data that comes at the very moment a Read gives up waiting is not lost: it is read
// then, or by the next Read.
func TestReadDeadlineLosesNothing(t *testing.T) {
	inLab(t, simnet.LinkConfig{Delay: 5 * time.Millisecond}, nil, func(l *lab) {
		client, server := l.connect()
		const writes = 400
		data := randomBytes(writes*100, 1)
		done := make(chan error, 1)
		go func() {
			for p := data; len(p) > 0; p = p[100:] {
				time.Sleep(time.Millisecond)
				if _, err := server.Write(p[:100]); err != nil {
					done <- err
					return
				}
			}
			done <- server.Close()
		}()
		var got []byte
		late := 0
		p := make([]byte, 1000)
		for len(got) < len(data) {
			if err := client.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				l.t.Fatal(err)
			}
			n, err := client.Read(p)
			got = append(got, p[:n]...)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				late++
			} else if err != nil {
				break
			}
		}
		if !bytes.Equal(got, data) {
			l.t.Errorf("%d of %d bytes came, or others", len(got), len(data))
		}
		if late == 0 {
			l.t.Error("no Read ever gave up")
		}
		if err := errors.Join(client.Close(), <-done); err != nil {
			l.t.Error(err)
		}
	})
}
