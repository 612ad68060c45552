package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The layout is in README.md. All integers are big-endian.
const (
	magic = "\x8aCGJRNL\x01" // the last byte is the version of the format

	fixedHeader = len(magic) + 8 + 8 + 2 + 2 // bytes before the ETag
	crcSize     = 4
	recordHead  = 4 // type and payload length
	runSize     = 8 // first piece, number of pieces

	maxETag    = 4 << 10  // bytes
	maxURL     = 32 << 10 // bytes
	maxDigest  = 256      // bytes of an expected digest
	maxPayload = 64 << 10 // bytes of one record
)

// Types of record.
const (
	recordVerified = 1 // runs of pieces that were checked against the tree
	recordRoot     = 2 // root of the tree
	recordDigests  = 3 // consecutive pieces with the SHA-256 of each
	recordExpected = 4 // digest that the whole file is expected to have
)

// MaxPieces is the largest number of pieces of a file. It bounds what replaying
// any journal may allocate: a bit per piece, and 32 bytes where a digest is
// recorded.
const MaxPieces = 1 << 20

// DigestSize is the length of a root or a digest in bytes (SHA-256).
const DigestSize = 32

// ErrDamaged is wrapped by errors about a journal whose header is not good.
var ErrDamaged = errors.New("damaged journal")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Header binds a journal to one version of one file.
type Header struct {
	Size      int64  // of the file in bytes
	PieceSize int64  // in bytes; the last piece may be shorter
	ETag      string // strong entity tag with its quotes, "" if there was none
	URL       string // without user information and secrets; of an upload, where it goes
}

// Pieces returns the number of pieces of the file.
func (h Header) Pieces() int {
	if h.Size == 0 {
		return 0
	}
	return int((h.Size-1)/h.PieceSize) + 1
}

func (h Header) validate() error {
	switch {
	case h.Size < 0:
		return fmt.Errorf("negative size %d", h.Size)
	case h.PieceSize <= 0:
		return fmt.Errorf("piece size %d", h.PieceSize)
	case h.Size > 0 && (h.Size-1)/h.PieceSize >= MaxPieces:
		return fmt.Errorf("more than %d pieces", MaxPieces)
	case len(h.ETag) > maxETag:
		return fmt.Errorf("ETag of %d bytes", len(h.ETag))
	case len(h.URL) > maxURL:
		return fmt.Errorf("URL of %d bytes", len(h.URL))
	}
	return nil
}

// appendHeader appends the header and returns its checksum, too.
func appendHeader(b []byte, h Header) ([]byte, uint32) {
	start := len(b)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(h.PieceSize))
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.ETag)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.URL)))
	b = append(b, h.ETag...)
	b = append(b, h.URL...)
	crc := crc32.Checksum(b[start:], castagnoli)
	return binary.BigEndian.AppendUint32(b, crc), crc
}

// headerLength returns the length of the variable part that follows fixed.
func headerLength(fixed []byte) (etag, url int, err error) {
	if string(fixed[:len(magic)]) != magic {
		return 0, 0, errors.New("not a journal, or of another version")
	}
	p := fixed[len(magic)+16:]
	etag, url = int(binary.BigEndian.Uint16(p)), int(binary.BigEndian.Uint16(p[2:]))
	if etag > maxETag || url > maxURL {
		return 0, 0, errors.New("a length is out of bounds")
	}
	return etag, url, nil
}

// parseHeader parses a whole header, whose lengths headerLength has checked.
func parseHeader(b []byte, etag int) (Header, uint32, error) {
	body, sum := b[:len(b)-crcSize], binary.BigEndian.Uint32(b[len(b)-crcSize:])
	if crc32.Checksum(body, castagnoli) != sum {
		return Header{}, 0, errors.New("the checksum of the header is wrong")
	}
	p := body[len(magic):]
	h := Header{
		Size:      int64(binary.BigEndian.Uint64(p)),
		PieceSize: int64(binary.BigEndian.Uint64(p[8:])),
		ETag:      string(p[20 : 20+etag]),
		URL:       string(p[20+etag:]),
	}
	return h, sum, h.validate()
}

// recordCRC covers the checksum of what precedes the record, so that a record
// is good only in the place it was written to.
func recordCRC(previous uint32, headAndPayload []byte) uint32 {
	var p [4]byte
	binary.BigEndian.PutUint32(p[:], previous)
	return crc32.Update(crc32.Checksum(p[:], castagnoli), castagnoli, headAndPayload)
}

// appendRecord appends a record and returns its checksum, too.
func appendRecord(b []byte, previous uint32, kind byte, payload []byte) ([]byte, uint32) {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(kind)<<24|uint32(len(payload)))
	b = append(b, payload...)
	crc := recordCRC(previous, b[start:])
	return binary.BigEndian.AppendUint32(b, crc), crc
}

// parseRecordHead returns the type and the payload length of a record.
func parseRecordHead(b []byte) (kind byte, length int, err error) {
	v := binary.BigEndian.Uint32(b)
	kind, length = byte(v>>24), int(v&0xffffff)
	if length > maxPayload {
		return 0, 0, fmt.Errorf("record of %d bytes", length)
	}
	return kind, length, nil
}
