// Package merkle builds and checks the hash tree of a file as BitTorrent v2
// defines it (BEP 52), so that a root computed here is the "pieces root" that
// other tools compute for the same file.
//
// # The tree
//
// The file is cut into leaves of 16 KiB; a leaf's hash is the SHA-256 of its
// bytes, the last leaf being hashed at its real length. The leaf layer is
// padded with all-zero hashes to a power of two, and each node above is the
// SHA-256 of its two children side by side.
//
// A piece is a power-of-two number of leaves, and the piece layer is the layer
// of the tree whose nodes cover one piece each. In a file of several pieces,
// the last piece's subtree is as tall as the others (padded with zero leaves),
// and the piece layer is padded to a power of two with the root of a subtree
// of zero leaves only. A file of one piece has a tree only as tall as its
// leaves need, and its one piece hash is the root. An empty file has no tree;
// its root is written as the zero Hash.
//
// # The tree on the wire
//
// A server sends the piece layer in the order of the file, while it is being
// computed, and the root last ([Encoder], [Decoder], media type [MediaType]).
// All integers are big-endian.
//
//	offset     bytes  field
//	0          7      magic: 0x89 'C' 'G' 'T' 'R' 'E' 'E'
//	7          1      version: 1 (SHA-256, 16 KiB leaves)
//	8          8      size of the file in bytes, at most 2^63-1
//	16         8      piece size in bytes: a power of two, at least 16384
//	24         32*n   n = ceil(size / piece size) piece hashes
//	24+32*n    32     root
//
// A stream that ends before the root is incomplete: its piece hashes are
// consistent with nothing yet. A stream says what its sender believes; whether
// that is the wanted file is decided by a root obtained elsewhere, or by trust
// in the server that sent it.
package merkle
