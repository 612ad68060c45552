package udt

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// cookieJar makes and checks the cookies of a listener. A cookie is a keyed
// MAC over everything in a request that the connection will be made from, so
// a client cannot make one up for an address that is not its own, and the
// listener remembers nothing until it comes back.
type cookieJar struct{ key [32]byte }

// cookieEpoch is the time after which a new cookie is handed out; one of the
// epoch before is still accepted, so each lives for one epoch at least.
const cookieEpoch = time.Minute

func newCookieJar() *cookieJar {
	j := new(cookieJar)
	rand.Read(j.key[:]) // never fails
	return j
}

func (j *cookieJar) make(now time.Duration, from netip.AddrPort, h handshake) uint32 {
	return j.at(uint64(now/cookieEpoch), from, h)
}

func (j *cookieJar) valid(now time.Duration, from netip.AddrPort, h handshake) bool {
	epoch := uint64(now / cookieEpoch)
	return h.cookie == j.at(epoch, from, h) || epoch > 0 && h.cookie == j.at(epoch-1, from, h)
}

func (j *cookieJar) at(epoch uint64, from netip.AddrPort, h handshake) uint32 {
	var b [18 + 8 + 6*4]byte
	ip := from.Addr().As16()
	copy(b[:], ip[:])
	binary.BigEndian.PutUint16(b[16:], from.Port())
	binary.BigEndian.PutUint64(b[18:], epoch)
	for i, w := range [...]uint32{h.version, h.sockType, uint32(h.isn), h.mss, h.window, uint32(h.id)} {
		binary.BigEndian.PutUint32(b[26+4*i:], w)
	}
	mac := hmac.New(sha256.New, j.key[:])
	mac.Write(b[:])
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint32(mac.Sum(sum[:0]))
}

// socketID returns the id of the connection that a request with this cookie
// will become, so that a client of our kind can send data along with it. It is
// as unpredictable as the cookie.
func (j *cookieJar) socketID(from netip.AddrPort, h handshake) socketID {
	var b [18 + 3*4 + 1]byte
	ip := from.Addr().As16()
	copy(b[:], ip[:])
	binary.BigEndian.PutUint16(b[16:], from.Port())
	for i, w := range [...]uint32{uint32(h.isn), uint32(h.id), h.cookie} {
		binary.BigEndian.PutUint32(b[18+4*i:], w)
	}
	b[30] = 1 // cookies are made of messages of another length
	mac := hmac.New(sha256.New, j.key[:])
	mac.Write(b[:])
	var sum [sha256.Size]byte
	return socketID(binary.BigEndian.Uint32(mac.Sum(sum[:0]))%maxSocketID) + 1
}
