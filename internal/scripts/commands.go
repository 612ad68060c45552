// Package scripts has the commands that the test scripts of both programs know.
package scripts

import (
	"errors"
	"os"
	"os/exec"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// Need fails a script that does not call a command as usage says, with at least so
// many arguments and without a negation.
func Need(ts *testscript.TestScript, neg bool, args []string, least int, usage string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", usage)
	}
}

// Exits runs a program and checks its exit code.
func Exits(ts *testscript.TestScript, neg bool, args []string) {
	Need(ts, neg, args, 2, "exits CODE COMMAND...")
	CheckCode(ts, ts.Exec(args[1], args[2:]...), args[0])
}

// CheckCode fails a script unless the program that ended with err had the exit code.
func CheckCode(ts *testscript.TestScript, err error, want string) {
	code := 0
	if err != nil {
		ee, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = ee.ExitCode()
	}
	if strconv.Itoa(code) != want {
		ts.Fatalf("exit code %d, want %s", code, want)
	}
}

// Mode sets the mode of a file.
func Mode(ts *testscript.TestScript, neg bool, args []string) {
	Need(ts, neg, args, 2, "mode OCTAL FILE")
	mode, err := strconv.ParseUint(args[0], 8, 12)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[1]), os.FileMode(mode)))
}
