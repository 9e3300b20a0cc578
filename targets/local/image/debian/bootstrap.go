package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
)

// Suite is the Debian release that packages come from: the first with CRIU 4.2. By its code name, so that it stays
// the same release when it is no longer Debian's testing.
const Suite = "forky"

// script is what debootstrap does for a suite. Debian 12's does not know forky yet; for every release since 2005 it
// is the one of sid.
const script = "sid"

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Bootstrap installs the essential packages and these into the empty directory root, with debootstrap, which takes
// half a minute and root. An empty mirror is the host's own, see [Mirror].
func Bootstrap(ctx context.Context, progress console.Progress, mirror, root string, packages []string) error {
	if os.Geteuid() != 0 {
		return errors.New("debootstrap needs root; run this command once with sudo -E (what it makes is cached), or allow this user sudo without a password")
	}
	if err := ensureInstalled(ctx, progress, needDebootstrap, needKeyring); err != nil {
		return err
	}
	mirror, err := mirrorOr(ctx, progress, mirror)
	if err != nil {
		return err
	}
	progress.Step("install Debian %s from %s (%d packages and what they need)", Suite, mirror, len(packages))
	return debootstrap(ctx, progress, mirror, root, packages)
}

// debootstrap runs in a mount namespace of its own: whatever it mounts is gone with it, even when it is killed, so
// that removing the directory never reaches through a mount.
func debootstrap(ctx context.Context, progress console.Progress, mirror, root string, packages []string) error {
	cmd := exec.CommandContext(ctx, "debootstrap", "--variant=minbase", "--keyring="+keyring,
		"--include="+strings.Join(packages, ","), Suite, root, mirror, script)
	// Nothing here needs to survive a power cut half-way, so dpkg need not sync every file.
	cmd.Env = append(os.Environ(), "DPKG_FORCE=unsafe-io", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.SysProcAttr = ownMounts()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	output := &lastLines{keep: 25}
	cmd.Stdout, cmd.Stderr = output, output
	stop := console.Watch(progress, func(elapsed time.Duration) string {
		return fmt.Sprintf("install Debian %s (%s): %s", Suite, elapsed, strings.TrimPrefix(output.last(), "I: "))
	})
	err := cmd.Run()
	stop()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	hint := ""
	if unknownKey(output.text()) {
		hint = keyringHint
	}
	// A failing package's own words are not on debootstrap's output but in this file.
	log, _ := os.ReadFile(filepath.Join(root, "debootstrap/debootstrap.log"))
	if lines := strings.Split(strings.TrimSpace(string(log)), "\n"); len(log) > 0 {
		hint += "\ndebootstrap.log: ..." + strings.Join(lines[max(0, len(lines)-15):], "\n")
	}
	return fmt.Errorf("debootstrap %s from %s: %w\n%s%s", Suite, mirror, err, output.text(), hint)
}
