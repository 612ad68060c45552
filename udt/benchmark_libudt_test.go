//go:build libudt && unix

package udt_test

import (
	"net"
	"testing"

	"github.com/chunkget/chunkget/internal/libudt"
	"github.com/chunkget/chunkget/udt"
)

// BenchmarkPeers measures one flow over loopback from each library to the other,
// and between two of ours. Two C++ ends need a process each: bench has them.
func BenchmarkPeers(b *testing.B) {
	type end struct {
		listen func() (net.Listener, error)
		dial   func(address string) (net.Conn, error)
	}
	ends := map[string]end{
		"go": {
			func() (net.Listener, error) { return udt.Listen("udt4", "127.0.0.1:0") },
			func(address string) (net.Conn, error) { return udt.Dial("udt4", address) },
		},
		"cpp": {
			func() (net.Listener, error) { return libudt.Listen("127.0.0.1:0", nil) },
			func(address string) (net.Conn, error) { return libudt.Dial(address, nil) },
		},
	}
	for _, tt := range [][2]string{{"go", "cpp"}, {"cpp", "go"}, {"go", "go"}} {
		b.Run(tt[0]+" to "+tt[1], func(b *testing.B) {
			l, err := ends[tt[0]].listen()
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			client, err := ends[tt[1]].dial(l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			benchmarkBetween(b, server, client)
		})
	}
}
