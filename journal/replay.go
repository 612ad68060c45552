package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Read replays a journal of size bytes. It may be used while a writer appends.
//
// A bad header gives an error that wraps ErrDamaged. A bad record is no error:
// it ends the replay, and State.TornBytes tells how much was left out.
func Read(r io.ReaderAt, size int64) (*State, error) {
	if size == 0 {
		return nil, ErrEmpty
	}
	s, _, err := replay(r, size)
	return s, err
}

// replay returns the checksum of the last good record or header, too.
func replay(r io.ReaderAt, size int64) (*State, uint32, error) {
	br := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)
	h, length, crc, err := readHeader(br)
	if err != nil {
		return nil, 0, fmt.Errorf("read journal header: %w", err)
	}
	s := newState(h)
	s.GoodBytes = int64(length)
	var buf []byte
	for {
		kind, payload, sum, err := readRecord(br, crc, &buf)
		if err == io.EOF {
			break
		}
		var bad badRecord
		if err != nil && !errors.As(err, &bad) {
			return nil, 0, fmt.Errorf("read journal at %d: %w", s.GoodBytes, err)
		}
		if err == nil {
			err = s.apply(kind, payload)
		}
		if err != nil {
			s.TornWhy = err.Error()
			break
		}
		crc = sum
		s.Records++
		s.GoodBytes += int64(recordHead + len(payload) + crcSize)
	}
	s.TornBytes = size - s.GoodBytes
	return s, crc, nil
}

// badRecord is content that no writer finished, as opposed to an input error.
type badRecord struct{ why string }

func (e badRecord) Error() string { return e.why }

// short turns the end of the input within a record into a badRecord.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return badRecord{"it ends within a record"}
	}
	return err
}

func readHeader(r io.Reader) (h Header, length int, crc uint32, err error) {
	damaged := func(err error) error {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errors.New("it ends within the header")
		}
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	fixed := make([]byte, fixedHeader)
	if _, err := io.ReadFull(r, fixed); err != nil {
		return h, 0, 0, damaged(err)
	}
	etag, url, err := headerLength(fixed)
	if err != nil {
		return h, 0, 0, damaged(err)
	}
	whole := append(fixed, make([]byte, etag+url+crcSize)...)
	if _, err := io.ReadFull(r, whole[fixedHeader:]); err != nil {
		return h, 0, 0, damaged(err)
	}
	h, crc, err = parseHeader(whole, etag)
	if err != nil {
		return h, 0, 0, damaged(err)
	}
	return h, len(whole), crc, nil
}

// readRecord reads the next record. The payload is valid until the next call
// with the same buf. The end of the input between two records is io.EOF.
func readRecord(r io.Reader, previous uint32, buf *[]byte) (kind byte, payload []byte, crc uint32, err error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r, head[:]); err == io.EOF {
		return 0, nil, 0, io.EOF
	} else if err != nil {
		return 0, nil, 0, short(err)
	}
	kind, length, err := parseRecordHead(head[:])
	if err != nil {
		return 0, nil, 0, badRecord{err.Error()}
	}
	b := append((*buf)[:0], head[:]...)
	b = append(b, make([]byte, length+crcSize)...)
	*buf = b
	if _, err := io.ReadFull(r, b[recordHead:]); err != nil {
		return 0, nil, 0, short(err)
	}
	body := b[:recordHead+length]
	crc = binary.BigEndian.Uint32(b[len(body):])
	if recordCRC(previous, body) != crc {
		return 0, nil, 0, badRecord{"the checksum of a record is wrong"}
	}
	return kind, body[recordHead:], crc, nil
}
