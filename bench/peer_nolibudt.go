//go:build !libudt

package main

import (
	"context"
	"errors"
)

const buildTags = ""

var errNoLibudt = errors.New(libudtMissing())

func libudtMissing() string { return "the bench is built without -tags libudt" }

func serveOverLibudt(context.Context, *peerOptions, func()) (farewell, error) {
	return farewell{}, errNoLibudt
}

func fetchOverLibudt(context.Context, *peerOptions) error { return errNoLibudt }
