//go:build !libudt

package main

import (
	"context"
	"errors"
	"io"
)

const buildTags = ""

var errNoLibudt = errors.New(libudtMissing())

func libudtMissing() string { return "the bench is built without -tags libudt" }

func serveOverLibudt(context.Context, *peerOptions, func()) (farewell, error) {
	return farewell{}, errNoLibudt
}

func libudtStreams() streams {
	return streams{
		serve: func(context.Context, string, func(), func(io.ReadWriter) error) error { return errNoLibudt },
		dial:  func(context.Context, string) (io.ReadWriteCloser, error) { return nil, errNoLibudt },
	}
}

func fetchOverLibudt(context.Context, *peerOptions) error { return errNoLibudt }
