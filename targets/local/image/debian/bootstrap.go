package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
)

// Suite is the Debian release that packages come from: the first with CRIU 4.2. By its code name, so that it stays
// the same release when it is no longer Debian's testing.
const Suite = "forky"

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Bootstrap installs the essential packages and these into a directory, with mmdebstrap, which takes about twenty seconds
// and root, and returns the directory: it is in scratch, which must be empty. An empty mirror is the host's own, see [Mirror].
func Bootstrap(ctx context.Context, progress console.Progress, mirror, scratch string, packages []string) (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("mmdebstrap needs root; run this command once with sudo -E (what it makes is cached), or allow this user sudo without a password")
	}
	if err := ensureInstalled(ctx, progress, needMmdebstrap, needKeyring); err != nil {
		return "", err
	}
	mirror, err := mirrorOr(ctx, progress, mirror)
	if err != nil {
		return "", err
	}
	settings, err := hostAcquire(ctx)
	if err != nil {
		return "", err
	}
	// A file, and not an argument: a proxy's address may have a password in it.
	conf := filepath.Join(scratch, "apt.conf")
	if err := os.WriteFile(conf, []byte(settings), 0o600); err != nil {
		return "", fmt.Errorf("write apt's settings: %w", err)
	}
	progress.Step("install Debian %s from %s (%d packages and what they need)", Suite, mirror, len(packages))
	root := filepath.Join(scratch, "root")
	return root, mmdebstrap(ctx, progress, mirror, conf, root, packages)
}

// AptSettings is where mmdebstrap leaves the host's settings in what it makes.
const AptSettings = "etc/apt/apt.conf.d/99mmdebstrap"

// acquire are the settings by which this host's apt reaches a mirror, and whether it takes an old copy of one.
var acquire = regexp.MustCompile(`^Acquire::(https?::|Retries |Check-Valid-Until |Max-ValidTime|Min-ValidTime)`)

// hostAcquire is a configuration for another apt with these settings of the host's.
func hostAcquire(ctx context.Context) (string, error) {
	dump, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return "", fmt.Errorf("ask for apt's settings: apt-config dump: %w", err)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(dump)) {
		if acquire.MatchString(line) {
			kept.WriteString(line)
		}
	}
	kept.WriteString("Acquire::Languages \"none\";\n")
	return kept.String(), nil
}

// mmdebstrap runs in a mount namespace of its own: whatever it mounts is gone with it, even when it is killed, so
// that removing the directory never reaches through a mount.
func mmdebstrap(ctx context.Context, progress console.Progress, mirror, conf, root string, packages []string) error {
	// Nothing here needs to survive a power cut half-way, so dpkg need not sync every file.
	cmd := exec.CommandContext(ctx, "mmdebstrap", "--mode=root", "--format=directory", "--variant=essential",
		"--keyring="+keyring, "--aptopt="+conf, "--dpkgopt=force-unsafe-io", "--include="+strings.Join(packages, ","),
		Suite, root, mirror)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
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
	return fmt.Errorf("mmdebstrap %s from %s: %w\n%s%s", Suite, mirror, err, output.text(), hint)
}
