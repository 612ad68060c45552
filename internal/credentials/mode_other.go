//go:build !unix

package credentials

import "io/fs"

// exposed knows nothing of access control lists.
func exposed(fs.FileMode) bool { return false }
