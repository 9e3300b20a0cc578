package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cedana/cedana-e2e/targets/local/standin/criu"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// tools are the node's own runc and criu.
type tools struct {
	Runc, CRIU               string
	RuncVersion, CRIUVersion string
	Kernel, Arch             string
}

// findTools looks for runc and criu on the node and refuses those that are known not to work.
func findTools(ctx context.Context) (tools, error) {
	var t tools
	var errs []error
	var err error
	t.Runc, t.RuncVersion, err = findTool(ctx, "runc", criu.OldestRunc)
	errs = append(errs, err)
	t.CRIU, t.CRIUVersion, err = findTool(ctx, "criu", criu.OldestCRIU)
	errs = append(errs, err)
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		errs = append(errs, fmt.Errorf("read kernel version: %w", err))
	}
	t.Kernel, t.Arch = unix.ByteSliceToString(uname.Release[:]), unix.ByteSliceToString(uname.Machine[:])
	return t, errors.Join(errs...)
}

func findTool(ctx context.Context, name string, oldest criu.Version) (path, version string, err error) {
	path = layout.FindExecutable(name)
	if path == "" {
		return "", "", fmt.Errorf("this node has no %s (%s or newer is needed) in PATH nor in %s", name, oldest, strings.Join(layout.SearchPath, ", "))
	}
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(10*time.Second))
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if err != nil {
		return path, "", fmt.Errorf("run %s --version: %w: %s", path, err, bytes.TrimSpace(output))
	}
	v, err := criu.ParseVersion(string(output))
	if err != nil {
		return path, "", fmt.Errorf("read version of %s: %w", path, err)
	}
	if v.Before(oldest) {
		return path, v.String(), fmt.Errorf("this node's %s (%s) is version %s, and %s or newer is needed", name, path, v, oldest)
	}
	return path, v.String(), nil
}

// warm makes CRIU find out what the kernel can do, which it then keeps in /run/criu.kdat: the first pod to be dumped
// should not stand still for that.
func (t tools) warm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(30*time.Second))
	defer cancel()
	output, err := exec.CommandContext(ctx, t.CRIU, "check").CombinedOutput()
	if err != nil {
		return fmt.Errorf("criu check: %w: %s", err, criu.Reason(bytes.NewReader(output)))
	}
	return nil
}

// environment for a node's tool: runc looks for criu in PATH, and the helper's own settings, the token among them, are
// none of its business.
func (t tools) environment() []string {
	return []string{"PATH=" + strings.Join(layout.SearchPath, ":"), "HOME=/root", "LANG=C"}
}
