// Package capabilities tells what a host's processes can never do: what is not in the bounding set, as in some sandboxes.
package capabilities

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
)

// SysResource is the capability that sandboxes are most often without. CRIU then cannot read the limits of a process of
// another user, containerd cannot lower an oom_score_adj, and Docker 20.10 starts no privileged container.
const SysResource = "CAP_SYS_RESOURCE"

// Missing names the capabilities up to last that a bounding set, in hexadecimal as in /proc/self/status, does not have.
func Missing(bounding string, last int) ([]string, error) {
	set, err := strconv.ParseUint(bounding, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("parse capability set: %w", err)
	}
	var missing []string
	for c := range last + 1 {
		if set&(1<<c) == 0 {
			missing = append(missing, "CAP_"+strings.ToUpper(capability.Cap(c).String()))
		}
	}
	return missing, nil
}

// OfHost names those that the kernel knows but this process, and so an engine that it starts, cannot have. Where there
// is no Linux there are none: the containers are in a machine of their own, which has everything.
func OfHost() ([]string, error) {
	missing, err := read("/proc")
	if err != nil {
		return nil, fmt.Errorf("read capabilities of this host: %w", err)
	}
	return missing, nil
}

func read(proc string) ([]string, error) {
	status, err := os.ReadFile(proc + "/self/status")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	last, err := os.ReadFile(proc + "/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return Missing(strings.TrimSpace(value), n)
		}
	}
	return nil, errors.New("no line CapBnd in /proc/self/status")
}

// HostLacksSysResource reports whether nothing on this host can have CAP_SYS_RESOURCE. Images for such a host run
// everything as root.
func HostLacksSysResource() (bool, error) {
	missing, err := OfHost()
	return slices.Contains(missing, SysResource), err
}
