package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// A source is a file being hashed.
type source interface {
	io.ReadCloser
	// current returns the version that the file has now.
	current() (version, error)
}

// errChanged says that a file is no longer the version that was to be read.
var errChanged = errors.New("the file changed while it was read")

const (
	passBuffer  = 1 << 20 // bytes in one buffer of a pass
	passBuffers = 4       // buffers of a pass: one filling, one in each sink, one to spare
	passCheck   = 64      // buffers between two looks at whether the file changed
)

// A block is one buffer of a pass on its way through the sinks.
type block struct {
	data []byte
	refs atomic.Int32 // sinks that still read data
}

// readPass reads src once, from its beginning to its end, and gives its bytes in
// order to all sinks, each of which runs on a goroutine of its own. It returns
// when all sinks have returned. It fails with errChanged unless src is version v
// before, while and after it is read.
func readPass(ctx context.Context, src source, v version, sinks ...func([]byte)) error {
	var wg sync.WaitGroup
	free := make(chan *block, passBuffers)
	for range passBuffers {
		free <- &block{data: make([]byte, min(passBuffer, max(1, v.size)))}
	}
	queues := make([]chan *block, len(sinks))
	for i, sink := range sinks {
		queue := make(chan *block, passBuffers) // never blocks: no more blocks exist
		queues[i] = queue
		wg.Go(func() {
			for b := range queue {
				sink(b.data)
				if b.refs.Add(-1) == 0 {
					free <- b
				}
			}
		})
	}
	err := feed(ctx, src, v, free, queues)
	for _, queue := range queues {
		close(queue)
	}
	wg.Wait()
	if err != nil {
		return err
	}
	return checkVersion(src, v)
}

// feed reads all of src into blocks from free and queues each block everywhere.
func feed(ctx context.Context, src source, v version, free chan *block, queues []chan *block) error {
	left := v.size
	for n := 0; left > 0; n++ {
		if n%passCheck == 0 {
			if err := checkVersion(src, v); err != nil {
				return err
			}
		}
		var b *block
		select {
		case b = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		b.data = b.data[:min(int64(cap(b.data)), left)]
		if _, err := io.ReadFull(src, b.data); err == io.EOF || err == io.ErrUnexpectedEOF {
			return errChanged
		} else if err != nil {
			return fmt.Errorf("read file: %w", err)
		}
		left -= int64(len(b.data))
		b.refs.Store(int32(len(queues)))
		for _, queue := range queues {
			queue <- b
		}
	}
	return nil
}

func checkVersion(src source, v version) error {
	now, err := src.current()
	if err != nil {
		return err
	}
	if now != v {
		return errChanged
	}
	return nil
}
