// Package shim is the stand-in under the name cedana-shim-runc-v2: containerd's own runc shim, which finds the runtime
// wrapper before the node's runc.
package shim

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
)

// containerdShim is what this binary turns into.
const containerdShim = "containerd-shim-runc-v2"

// Main replaces the process; it returns only when that failed. containerd's shim starts itself again as a server from
// /proc/self/exe with the environment it was given, so the PATH set here lasts.
func Main(_ context.Context, args []string) error {
	path := layout.FindExecutable(containerdShim)
	if path == "" {
		return fmt.Errorf("find %s: not in PATH nor in %s", containerdShim, strings.Join(layout.SearchPath, ", "))
	}
	err := syscall.Exec(path, append([]string{path}, args...), withRuntimeFirst(os.Environ(), layout.RuntimeDir))
	return fmt.Errorf("execute %s: %w", path, err)
}

// withRuntimeFirst puts dir at the head of PATH, once.
func withRuntimeFirst(environ []string, dir string) []string {
	out := make([]string, 0, len(environ)+1)
	found := false
	for _, entry := range environ {
		if list, ok := strings.CutPrefix(entry, "PATH="); ok {
			found = true
			if list != dir && !strings.HasPrefix(list, dir+":") {
				entry = "PATH=" + dir + ":" + list
			}
		}
		out = append(out, entry)
	}
	if !found {
		out = append(out, "PATH="+dir+":"+strings.Join(layout.SearchPath, ":"))
	}
	return out
}
