package serve

import (
	"errors"

	"golang.org/x/sys/windows"
)

func isFull(err error) bool { return errors.Is(err, windows.ERROR_DISK_FULL) }

func isBadName(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_NAME) || errors.Is(err, windows.ERROR_FILENAME_EXCED_RANGE)
}
