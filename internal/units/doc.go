// Package units reads and writes the quantities that people type and read in
// command lines: sizes in bytes with binary units, and rates in bit/s with
// decimal ones, as networks are sold. Its types are flag values for package flag
// and for pflag alike.
package units
