package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// capSysResource is CAP_SYS_RESOURCE's bit, from linux/capability.h.
const capSysResource = 24

// LacksSysResource reports whether nothing on this host can have CAP_SYS_RESOURCE: it is not in the bounding set, as in
// some sandboxes. CRIU then cannot read the limits of a process of another user, so images for such a host run
// everything as root.
func LacksSysResource() (bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // not Linux: the containers are in a machine of their own, which has everything
	}
	if err != nil {
		return false, fmt.Errorf("see whether this host has CAP_SYS_RESOURCE: %w", err)
	}
	return lacksSysResource(string(status)), nil
}

func lacksSysResource(status string) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			bounding, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && bounding&(1<<capSysResource) == 0
		}
	}
	return false
}
