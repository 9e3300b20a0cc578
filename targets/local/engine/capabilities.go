package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
)

// missingCapabilities names the capabilities up to last that a bounding set, in hexadecimal, does not have.
func missingCapabilities(bounding string, last int) ([]string, error) {
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

// hostMissingCapabilities names those that the kernel knows but this process, and so an engine that it starts, cannot
// have.
func hostMissingCapabilities() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, fmt.Errorf("read capabilities of this host: %w", err)
	}
	last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return nil, fmt.Errorf("read capabilities of this host: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil {
		return nil, fmt.Errorf("read capabilities of this host: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			return missingCapabilities(strings.TrimSpace(value), n)
		}
	}
	return nil, fmt.Errorf("read capabilities of this host: no line CapBnd in /proc/self/status")
}
