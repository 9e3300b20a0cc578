package image

import (
	"strconv"
	"strings"
)

// capSysResource is CAP_SYS_RESOURCE's bit, from linux/capability.h.
const capSysResource = 24

// LacksSysResource reports whether a process with this /proc/PID/status can never have CAP_SYS_RESOURCE: it is not in
// the bounding set, as in some sandboxes. CRIU then cannot read the limits of a process of another user, so images
// for such a host run everything as root.
func LacksSysResource(status string) bool {
	for line := range strings.Lines(status) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			bounding, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && bounding&(1<<capSysResource) == 0
		}
	}
	return false
}
