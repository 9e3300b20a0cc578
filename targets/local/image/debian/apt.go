package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
)

// Suite is the Debian release that packages come from: the first with CRIU 4.2. By its code name, so that it stays
// the same release when it is no longer Debian's testing.
const Suite = "forky"

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// Selection says which packages to get.
type Selection struct {
	Packages []string
	// Dependencies says that everything is wanted that the packages depend on, too. Essential packages, on which none
	// declares to depend, are not among that.
	Dependencies bool
}

// Source says where packages come from.
type Source struct {
	// Mirror of Debian; empty is the host's own, see [Mirror].
	Mirror string
	// Home is the project's directory. The mirror's index is kept there: with it, asking again takes a second.
	Home string
}

// Get downloads packages into the directory dir, which it makes. It needs no root where the host has apt and Debian's
// keys. apt works with lists, a cache and settings of its own: the host's are not touched.
func Get(ctx context.Context, progress console.Progress, source Source, dir string, s Selection) ([]Package, error) {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return nil, fmt.Errorf("get Debian packages: %w: this needs a host with apt, such as Debian or Ubuntu", err)
	}
	if err := ensureInstalled(ctx, progress, needDpkg, needKeyring); err != nil {
		return nil, err
	}
	mirror := source.Mirror
	if mirror == "" {
		if mirror, err = Mirror(os.DirFS("/etc")); err != nil {
			return nil, err
		}
	}
	lists := filepath.Join(source.Home, "build", "apt-"+Suite)
	unlock, err := filelock.Lock(ctx, progress, lists+".lock", "gets packages of Debian")
	if err != nil {
		return nil, err
	}
	defer unlock()
	settings, err := aptSettings(lists, mirror)
	if err != nil {
		return nil, fmt.Errorf("set up apt in %s: %w", lists, err)
	}
	progress.Step("get %s of Debian %s from %s", s, Suite, mirror)
	if err := Run(ctx, progress, "apt-get update", "", apt, "-c", settings, "-q", "update"); err != nil {
		if unknownKey(err.Error()) {
			return nil, fmt.Errorf("%w%s", err, keyringHint)
		}
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "partial"), 0o755); err != nil {
		return nil, err
	}
	command := append([]string{apt, "-c", settings, "-q", "-o", "Dir::Cache::archives=" + dir}, s.command()...)
	if err := Run(ctx, progress, "download packages with apt-get", dir, command...); err != nil {
		return nil, err
	}
	return downloaded(dir, s)
}

func (s Selection) String() string {
	if s.Dependencies {
		return fmt.Sprintf("%d packages and what they need", len(s.Packages))
	}
	return fmt.Sprintf("%d packages", len(s.Packages))
}

// command of apt-get. The first writes to its working directory, the second to Dir::Cache::archives.
func (s Selection) command() []string {
	if !s.Dependencies {
		return append([]string{"download"}, s.Packages...)
	}
	return append([]string{"install", "--download-only", "--no-install-recommends", "-y"}, s.Packages...)
}

// aptSettings writes a configuration for apt that keeps it in dir, where nothing is installed. The host's own is read
// first, for its proxy; its hooks are taken out, since they work on the host's caches.
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
#clear DPkg::Pre-Install-Pkgs;
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
