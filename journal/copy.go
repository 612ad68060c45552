package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Copy makes dst, which it empties, a copy of src. Where the system can, the
// copy shares its blocks with the original and costs neither time nor space
// (copy_file_range on Btrfs, XFS, NFS 4.2). It is certain to survive a crash only
// after a Sync of dst. It may move the offsets of both.
func Copy(ctx context.Context, dst, src File) error {
	size, err := src.Size()
	if err == nil {
		err = dst.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	to, ok1 := dst.(rootFile)
	from, ok2 := src.(rootFile)
	if ok1 && ok2 {
		return copyFile(ctx, to.File, from.File)
	}
	return copySteps(ctx, io.NewOffsetWriter(dst, 0), io.NewSectionReader(src, 0, size))
}

func copyFile(ctx context.Context, dst, src *os.File) error {
	_, err1 := src.Seek(0, io.SeekStart)
	_, err2 := dst.Seek(0, io.SeekStart)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("copy file: %w", err)
	}
	return copySteps(ctx, dst, src)
}

// copyStep is how much is copied between two looks at the context, in bytes.
const copyStep = 256 << 20

func copySteps(ctx context.Context, dst io.Writer, src io.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("copy file: %w", err)
		}
		if _, err := io.CopyN(dst, src, copyStep); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("copy file: %w", err)
		}
	}
}
