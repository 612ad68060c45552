package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/chunkget/chunkget/merkle"
)

// A kind says what a hash job computes.
type kind uint8

// The kinds are written to disk: never renumber them.
const (
	kindTree   kind = 1 // hash tree and SHA-256 of the whole file
	kindPieces kind = 2 // SHA-256 of each piece, as a Metalink wants them
)

func (k kind) String() string {
	switch k {
	case kindTree:
		return "tree"
	case kindPieces:
		return "pieces"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A key names what a hash job computes, and its result.
type key struct {
	kind    kind
	name    string // path inside the root
	version version
}

// layout returns how the file is cut into pieces.
func (k key) layout() merkle.Layout {
	size := k.version.size
	l := merkle.Layout{Size: size, PieceSize: merkle.DefaultPieceSize(size)}
	if k.kind == kindPieces {
		// A Metalink names each piece in about 90 bytes of XML, which clients read
		// whole before they begin: 1.5 MB for 16384 pieces is enough to ask.
		for l.Pieces() > 1<<14 {
			l.PieceSize *= 2
		}
	}
	return l
}

// digests are the result of a hash job. They do not change once published.
type digests struct {
	hashes []merkle.Hash     // of each piece: nodes of the tree, or plain SHA-256
	root   merkle.Hash       // kindTree only: root of the tree
	sha256 [sha256.Size]byte // kindTree only: SHA-256 of the whole file
}

// size returns about how many bytes of memory d takes.
func (d *digests) size() int64 { return 256 + int64(len(d.hashes))*merkle.HashSize }

// On disk, digests are a byte of format, a byte of kind, then
// kindTree: the SHA-256 (32 bytes) and the tree in its wire form,
// kindPieces: the piece size (8 bytes, big-endian) and the hashes, 32 bytes each,
// and at the end a CRC-32C (4 bytes, big-endian) of all before it.
const digestsFormat = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that digests on disk cannot be used.
var errDamaged = errors.New("damaged record")

func (d *digests) encode(k key) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(d.hashes)*merkle.HashSize + 128)
	b.Write([]byte{digestsFormat, byte(k.kind)})
	l := k.layout()
	switch k.kind {
	case kindTree:
		b.Write(d.sha256[:])
		e, err := merkle.NewEncoder(&b, l)
		if err != nil {
			return nil, err
		}
		for _, h := range d.hashes {
			if err := e.WritePiece(h); err != nil {
				return nil, err
			}
		}
		if err := e.Finish(d.root); err != nil {
			return nil, err
		}
	case kindPieces:
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(l.PieceSize)))
		for _, h := range d.hashes {
			b.Write(h[:])
		}
	default:
		panic("BUG: encode digests of " + k.kind.String())
	}
	return binary.BigEndian.AppendUint32(b.Bytes(), crc32.Checksum(b.Bytes(), castagnoli)), nil
}

// decodeDigests reads what encode wrote for k. All its errors wrap errDamaged.
func decodeDigests(k key, data []byte) (*digests, error) {
	if len(data) < 6 {
		return nil, fmt.Errorf("%w: %d bytes", errDamaged, len(data))
	}
	body, crc := data[:len(data)-4], binary.BigEndian.Uint32(data[len(data)-4:])
	if crc32.Checksum(body, castagnoli) != crc {
		return nil, fmt.Errorf("%w: checksum", errDamaged)
	}
	if body[0] != digestsFormat || kind(body[1]) != k.kind {
		return nil, fmt.Errorf("%w: format %d, kind %d", errDamaged, body[0], body[1])
	}
	body = body[2:]
	l := k.layout()
	d := new(digests)
	switch k.kind {
	case kindTree:
		if len(body) < len(d.sha256) {
			return nil, fmt.Errorf("%w: no sha-256", errDamaged)
		}
		tree := body[copy(d.sha256[:], body):]
		if int64(len(tree)) != merkle.StreamSize(l) {
			return nil, fmt.Errorf("%w: tree of %d bytes", errDamaged, len(tree))
		}
		dec, err := merkle.NewDecoder(bytes.NewReader(tree))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
		if dec.Layout() != l {
			return nil, fmt.Errorf("%w: tree of another file", errDamaged)
		}
		d.hashes = make([]merkle.Hash, 0, l.Pieces())
		for {
			h, err := dec.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%w: %w", errDamaged, err)
			}
			d.hashes = append(d.hashes, h)
		}
		if d.root, err = dec.Root(); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	case kindPieces:
		if len(body) != 8+l.Pieces()*merkle.HashSize || binary.BigEndian.Uint64(body) != uint64(l.PieceSize) {
			return nil, fmt.Errorf("%w: pieces of another file", errDamaged)
		}
		d.hashes = make([]merkle.Hash, l.Pieces())
		for i := range d.hashes {
			copy(d.hashes[i][:], body[8+i*merkle.HashSize:])
		}
	default:
		return nil, fmt.Errorf("%w: kind %d", errDamaged, k.kind)
	}
	return d, nil
}
