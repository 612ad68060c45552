package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

// With -hostile-profile this file becomes a part of chunkserve. It writes what
// memory there is twice a second, and a profile whenever the heap in use is larger
// by 20 MiB than it ever was.
func init() {
	dir := os.Getenv("CHUNKSERVE_PROFILE")
	if dir == "" {
		return
	}
	log, err := os.Create(filepath.Join(dir, "memory.log"))
	if err != nil {
		panic(err)
	}
	go func() {
		start, most := time.Now(), uint64(0)
		for range time.Tick(500 * time.Millisecond) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Fprintf(log, "%5.1f s: MiB: heap %d, in use %d, idle %d, released %d, next collection %d, stacks %d; %d collections, %d goroutines; %s\n",
				time.Since(start).Seconds(), m.HeapAlloc>>20, m.HeapInuse>>20, m.HeapIdle>>20, m.HeapReleased>>20, m.NextGC>>20, m.StackInuse>>20,
				m.NumGC, runtime.NumGoroutine(), resident())
			if m.HeapInuse > most+20<<20 {
				most = m.HeapInuse
				writeProfile(filepath.Join(dir, fmt.Sprintf("heap-%04d-MiB.pprof", most>>20)))
			}
		}
	}()
}

// resident returns the sizes in memory that the kernel tells.
func resident() (text string) {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmHWM") || strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "RssFile") {
			text += strings.Join(strings.Fields(line), " ") + " "
		}
	}
	return text
}

func writeProfile(name string) {
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	pprof.Lookup("heap").WriteTo(f, 0)
}
