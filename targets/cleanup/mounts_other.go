//go:build !linux

package cleanup

import "errors"

// mountsBelow is empty: root file systems are built, and mounted, on Linux only.
func mountsBelow(string) ([]string, error) { return nil, nil }

func unmount(string) error { return errors.ErrUnsupported }
