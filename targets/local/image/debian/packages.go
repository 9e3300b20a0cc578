package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/cedana/cedana-e2e/targets/console"
)

// Unpack puts the files of single packages, without what they depend on and without running their scripts, into dir.
// apt works in the directory scratch with lists and caches of its own: the host's are not touched. It needs no root
// where the host has apt and Debian's keys. An empty mirror is the host's own, see [Mirror].
func Unpack(ctx context.Context, progress console.Progress, mirror, scratch, dir string, packages []string) error {
	if err := ensureInstalled(ctx, progress, needDpkg, needKeyring); err != nil {
		return err
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("get Debian packages: %w: this needs a host with apt, such as Debian or Ubuntu", err)
	}
	if mirror, err = mirrorOr(ctx, progress, mirror); err != nil {
		return err
	}
	settings, err := aptSettings(scratch, mirror)
	if err != nil {
		return fmt.Errorf("set up apt in %s: %w", scratch, err)
	}
	progress.Step("get %d packages of Debian %s from %s", len(packages), Suite, mirror)
	if err := run(ctx, progress, apt, "-c", settings, "-q", "update"); err != nil {
		if unknownKey(err.Error()) {
			return fmt.Errorf("%w%s", err, keyringHint)
		}
		return err
	}
	// apt-get download writes to its working directory.
	archives := filepath.Join(scratch, "archives")
	if err := os.Mkdir(archives, 0o755); err != nil {
		return err
	}
	download := append([]string{"-c", settings, "-q", "download"}, packages...)
	if err := runIn(ctx, progress, archives, apt, download...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	if len(debs) != len(packages) {
		return fmt.Errorf("get Debian packages: asked for %d, got %d: %v", len(packages), len(debs), debs)
	}
	slices.Sort(debs)
	for _, deb := range debs {
		if err := run(ctx, progress, "dpkg-deb", "-x", deb, dir); err != nil {
			return err
		}
	}
	return nil
}

// aptSettings writes a configuration for apt that keeps it in dir. The host's own is read first, for its proxy; its
// hooks are taken out, since they work on the host's caches.
func aptSettings(dir, mirror string) (string, error) {
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return "", err
		}
	}
	files := map[string]string{
		"status":       "",
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, Suite),
		"apt.conf": fmt.Sprintf(`#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Architecture "%[2]s";
APT::Architectures { "%[2]s"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "%[1]s/empty";
Dir::Etc::preferences "%[1]s/empty/none";
Dir::Etc::preferencesparts "%[1]s/empty";
`, dir, runtime.GOARCH), // Debian and Go agree on amd64 and arm64
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "apt.conf"), nil
}
