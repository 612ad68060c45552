package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// samplesMemory says that peaks come from [memoryNow]. What the kernel reports at
// the end of a process includes what the bench itself had in memory when it
// started the process.
const samplesMemory = true

// memoryNow returns the sum of the peak resident sets so far of a process and
// its children, bytes, and 0 if there is no such process.
func memoryNow(pid int) int64 {
	sum := peakOf(pid)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return sum
	}
	for child := range bytes.FieldsSeq(children) {
		if pid, err := strconv.Atoi(string(child)); err == nil {
			sum += peakOf(pid)
		}
	}
	return sum
}

// peakOf reads a line such as "VmHWM:	    2048 kB".
func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == "VmHWM:" {
			n, err := strconv.ParseInt(string(fields[1]), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}
