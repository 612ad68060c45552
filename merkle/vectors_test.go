package merkle

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// What libtorrent 2.0.8 writes into a v2-only torrent of testFile(size): the
// "pieces root", and the SHA-256 of its "piece layers" entry, which only files of
// several pieces have.
func TestAgainstLibtorrent(t *testing.T) {
	for _, tt := range []struct {
		size, pieceSize   int
		root, layerSHA256 string
	}{
		{1, LeafSize, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", ""},
		{LeafSize, LeafSize, "806ed65b0a89ce738a1ed9808140abcc2431539934486d24539274398a66e7ba", ""},
		{LeafSize + 1, LeafSize, "08a9dd6dcb653d9a94d3ba626b8de9c10c70df3bad9f9c1199db7d73452be333", "08a9dd6dcb653d9a94d3ba626b8de9c10c70df3bad9f9c1199db7d73452be333"},
		{3 * LeafSize, 4 * LeafSize, "2c548c32e3528fe19d5772503ca95c84b502bea816973a35c09f5ef9036e851f", ""},
		{4*LeafSize + 1, 2 * LeafSize, "f215bd3eb0066d74e3b19885ae2e11c12583a11da202862df54902615ce12f04", "96bfccee4ac37f7b56ca301c468c934148f9fc1bf1bc1501456320d8ccd8be72"},
		{7*LeafSize + 5, 2 * LeafSize, "3fa35c73250986cf58007a04c54927dc40d01814523f58e2ef307b404ce294c8", "b91e48db6f47d73a915909d8dc6a2d61c40bc8f78b231251ea48038a26af25fb"},
		{33*LeafSize + 7, 4 * LeafSize, "0dbe252225da4956a8f8c5911132344798da4b7e82c67e95567db1f715b66f5b", "85d8eaa8e56ada1a4ae65ffe521450c6a4264d6ccfafb742f85ba19e330e6327"},
		{33*LeafSize + 7, 16 * LeafSize, "0dbe252225da4956a8f8c5911132344798da4b7e82c67e95567db1f715b66f5b", "3c5fc36f0b038a81798230899e3db9b83404626380889d7e0467fca406664c11"},
		{33*LeafSize + 7, 64 * LeafSize, "0dbe252225da4956a8f8c5911132344798da4b7e82c67e95567db1f715b66f5b", ""},
	} {
		l := mustLayout(t, int64(tt.size), int64(tt.pieceSize))
		pieces, root := treeOf(l, testFile(tt.size))
		if root.String() != tt.root {
			t.Errorf("%+v: root %v, want %v", l, root, tt.root)
		}
		if tt.layerSHA256 == "" {
			continue
		}
		layer := sha256.New()
		for _, h := range pieces {
			layer.Write(h[:])
		}
		if got := hex.EncodeToString(layer.Sum(nil)); got != tt.layerSHA256 {
			t.Errorf("%+v: piece layer %v, want %v", l, got, tt.layerSHA256)
		}
	}
}
