package main

import (
	"errors"

	"github.com/chunkget/chunkget/fetch"
)

// Exit codes. Scripts rely on them; they never change their meaning.
const (
	exitOK               = 0
	exitOther            = 1
	exitUsage            = 2
	exitNetwork          = 3
	exitTimeout          = 4
	exitHTTPStatus       = 5
	exitAuth             = 6
	exitDisk             = 7
	exitIntegrity        = 8
	exitRemoteChanged    = 9
	exitRangeUnsupported = 10
	exitInterrupted      = 130
)

const exitHelp = `Exit codes:
    0  all files are complete
    1  other error
    2  wrong usage
    3  network: no such host, no connection, or connection lost
    4  timeout: connected, but the server was silent or too slow for too long
    5  HTTP status other than success
    6  authentication required or refused
    7  disk: full, not writable, or the file exists
    8  integrity: data contradicts its hash
    9  the remote file has changed since the download began
   10  the server cannot send ranges where one was needed
  130  interrupted; the same command resumes
With several URLs the first failure in their order counts.`

// usageError is a command line that makes no sense.
type usageError struct {
	msg  string
	hint string
}

func (e *usageError) Error() string { return e.msg }

// reportedError is an error that the user has been told about.
type reportedError struct{ error }

func (e reportedError) Unwrap() error { return e.error }

// exitCode maps an error to the exit code of the contract.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	switch kindOf(err) {
	case fetch.KindUsage:
		return exitUsage
	case fetch.KindNetwork:
		return exitNetwork
	case fetch.KindTimeout:
		return exitTimeout
	case fetch.KindHTTPStatus:
		return exitHTTPStatus
	case fetch.KindAuth:
		return exitAuth
	case fetch.KindDisk:
		return exitDisk
	case fetch.KindIntegrity:
		return exitIntegrity
	case fetch.KindRemoteChanged:
		return exitRemoteChanged
	case fetch.KindRangeUnsupported:
		return exitRangeUnsupported
	case fetch.KindInterrupted:
		return exitInterrupted
	case fetch.KindOther:
		return exitOther
	}
	return exitOther
}

// kindOf classifies an error of any part of this program.
func kindOf(err error) fetch.Kind {
	if _, ok := errors.AsType[*usageError](err); ok {
		return fetch.KindUsage
	}
	fe, ok := errors.AsType[*fetch.Error](err)
	if !ok {
		return fetch.KindOther
	}
	return fe.Kind
}
