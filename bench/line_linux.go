package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lineRounds = 200 // in one measurement
	lineSpins  = 1000
	lineBound  = 50 * time.Millisecond
)

// lineTime returns how long a cache line takes from one processor to another, of the
// first two that the bench may use: the least of many measurements, 0 where there are
// not two, or they were busy all the time.
//
// It is 30 ns between processors that share a cache, and several times that between those
// that do not. The host of a virtual machine may change which it is at any time, and
// everything that goes through the kernel from one process to another is a line that
// the other has written.
func lineTime() time.Duration {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0
	}
	var pair []int
	for cpu := 0; len(pair) < 2; cpu++ {
		if cpu == len(allowed)*64 {
			return 0
		}
		if allowed.IsSet(cpu) {
			pair = append(pair, cpu)
		}
	}
	var line struct {
		_    [128]byte
		turn atomic.Int64 // even: of the first; -1 ends
		_    [128]byte
	}
	least := time.Duration(0)
	var ends sync.WaitGroup
	ends.Go(func() { // the second
		if !stayOn(pair[1]) {
			return
		}
		for {
			switch turn := line.turn.Load(); {
			case turn < 0:
				return
			case turn%2 == 1:
				line.turn.CompareAndSwap(turn, turn+1)
			}
		}
	})
	ends.Go(func() { // the first
		defer line.turn.Store(-1)
		if !stayOn(pair[0]) {
			return
		}
		for start := time.Now(); time.Since(start) < lineBound; {
			began := time.Now()
			for range lineRounds {
				turn := line.turn.Add(1)
				for spins := 1; line.turn.Load() == turn; spins++ {
					// The clock would take as long as the line.
					if spins%lineSpins == 0 && time.Since(start) > lineBound {
						return
					}
				}
			}
			if took := time.Since(began) / (2 * lineRounds); least == 0 || took < least {
				least = took
			}
		}
	})
	ends.Wait()
	return least
}

// stayOn binds the thread to a processor. It ends with the goroutine.
func stayOn(cpu int) bool {
	runtime.LockOSThread()
	var one unix.CPUSet
	one.Set(cpu)
	return unix.SchedSetaffinity(0, &one) == nil
}
