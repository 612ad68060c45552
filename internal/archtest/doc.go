// Package archtest holds the layers of this module in place. It consists of
// tests: they read the source of every package, whatever its build constraints,
// and fail when one imports what its layer must not know, when a package has no
// documentation, or when its name says nothing.
package archtest
