//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

const toggleHelp = "; SIGUSR1 switches this on and off while it runs"

// notifyToggle delivers the signal that toggles the background.
func notifyToggle(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR1) }
