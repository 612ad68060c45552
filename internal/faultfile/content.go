package faultfile

import "slices"

// pageSize is a multiple of sector.
const pageSize = 8 * sector

// content is the bytes of a file in pages. A page is never changed once it is there,
// so that contents may share it, and to copy one costs a table and not the bytes. A
// page that is nil is zeros; the last one has its full size.
type content struct {
	size  int64
	pages [][]byte
}

var zeroPage [pageSize]byte

// newContent returns one with the bytes of data.
func newContent(data []byte) (c content) {
	c.write(0, slices.Clone(data))
	return c
}

func (c content) clone() content { return content{c.size, slices.Clone(c.pages)} }

// page returns page i, for reading.
func (c *content) page(i int64) []byte {
	if p := c.pages[i]; p != nil {
		return p
	}
	return zeroPage[:]
}

func (c *content) readAt(to []byte, off int64) (n int) {
	to = to[:max(0, min(int64(len(to)), c.size-off))]
	for n < len(to) {
		at := off + int64(n)
		n += copy(to[n:], c.page(at / pageSize)[at%pageSize:])
	}
	return n
}

func (c *content) bytes() []byte {
	b := make([]byte, c.size)
	c.readAt(b, 0)
	return b
}

// write takes over data, which must not change any more.
func (c *content) write(off int64, data []byte) {
	c.resize(max(c.size, off+int64(len(data))))
	for len(data) > 0 {
		i, from := off/pageSize, off%pageSize
		n := min(int64(len(data)), pageSize-from)
		if n == pageSize {
			c.pages[i] = data[:n:n]
		} else {
			p := slices.Clone(c.page(i))
			copy(p[from:], data[:n])
			c.pages[i] = p
		}
		data, off = data[n:], off+n
	}
}

// resize cuts off what is behind size, or adds zeros.
func (c *content) resize(size int64) {
	pages := int((size + pageSize - 1) / pageSize)
	if size < c.size {
		clear(c.pages[pages:])
		c.pages = c.pages[:pages]
		if end := size % pageSize; end > 0 && c.pages[pages-1] != nil {
			p := slices.Clone(c.pages[pages-1])
			clear(p[end:])
			c.pages[pages-1] = p
		}
	}
	if more := pages - len(c.pages); more > 0 {
		c.pages = append(c.pages, make([][]byte, more)...)
	}
	c.size = size
}

// hole reports whether the sector of an offset is zeros.
func (c *content) hole(off int64) bool {
	p, from := c.pages[off/pageSize], off%pageSize/sector*sector
	return p == nil || [sector]byte(p[from:from+sector]) == [sector]byte{}
}
