// Package fetch downloads one file over HTTP in several range requests at a
// time, checks each piece of it against a hash tree, and keeps a journal of
// what is safely on disk, so that an interrupted download goes on where it was.
//
// It meets the network only as an http.RoundTripper.
package fetch
