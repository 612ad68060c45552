//go:build !unix

package serve

const openFlags = 0
