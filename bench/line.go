package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// farLine in seconds is more than a cache line takes between processors that share a
// cache; see lineTime.
const farLine = 100e-9

// lineLeast is the size in bytes from which on a transfer takes long enough for it to matter.
// Of shorter ones the looks at the memory of a client may all come too late after it.
const lineLeast = 64 << 20

// distance tells of processors that are far apart.
func distance(line float64) string {
	if line < farLine {
		return ""
	}
	return fmt.Sprintf(", processors %.0f ns apart", line*1e9)
}

const (
	lineRounds = 200 // in one measurement
	lineSpins  = 1000
	lineBound  = 20 * time.Millisecond
)

// lineTime returns how long a cache line takes from one processor to another: the least
// of many measurements, 0 where there is one processor, or the others were busy all the
// time.
//
// It is 30 ns between processors that share a cache, and several times that between those
// that do not. The host of a virtual machine may change which it is at any time, and
// everything that goes through the kernel from one process to another is a line that
// the other has written.
func lineTime() time.Duration {
	if runtime.GOMAXPROCS(0) < 2 {
		return 0
	}
	var line struct {
		_    [128]byte
		turn atomic.Int64 // odd: of the second; -1 ends
		_    [128]byte
	}
	var second sync.WaitGroup
	second.Go(func() {
		for {
			switch turn := line.turn.Load(); {
			case turn < 0:
				return
			case turn%2 == 1:
				line.turn.CompareAndSwap(turn, turn+1)
			}
		}
	})
	defer second.Wait()
	defer line.turn.Store(-1)
	least := time.Duration(0)
	for start := time.Now(); time.Since(start) < lineBound; {
		began := time.Now()
		for range lineRounds {
			turn := line.turn.Add(1)
			for spins := 1; line.turn.Load() == turn; spins++ {
				// The clock would take as long as the line.
				if spins%lineSpins == 0 && time.Since(start) > lineBound {
					return least
				}
			}
		}
		if took := time.Since(began) / (2 * lineRounds); least == 0 || took < least {
			least = took
		}
	}
	return least
}
