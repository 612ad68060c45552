//go:build !unix

package main

import "os"

const toggleHelp = ""

// notifyToggle does nothing: there is no signal for it.
func notifyToggle(chan<- os.Signal) {}
