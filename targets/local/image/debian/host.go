package debian

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/sudo"
)

// hostPackage is a package that the host must have, and how to see that it does.
type hostPackage struct {
	name    string
	present func() error
}

var (
	needDpkg    = hostPackage{"dpkg", command("dpkg-deb")}
	needKeyring = hostPackage{"debian-archive-keyring", func() error { _, err := os.Stat(keyring); return err }}
)

func command(name string) func() error {
	return func() error { _, err := exec.LookPath(name); return err }
}

// keyringHint goes with errors about a release that is signed with a key this host does not know.
const keyringHint = "\nthis host's debian-archive-keyring is older than the release: apt-get update, then apt-get install --only-upgrade debian-archive-keyring"

// unknownKey reports whether that is what apt's output complains about.
func unknownKey(output string) bool {
	for _, sign := range []string{"unknown key", "NO_PUBKEY", "Invalid Release signature", "Missing key"} {
		if strings.Contains(output, sign) {
			return true
		}
	}
	return false
}

// ensureInstalled installs the packages that the host lacks, from its own distribution. That takes root, or sudo
// without a password; with neither, the error says what to install.
func ensureInstalled(ctx context.Context, progress console.Progress, packages ...hostPackage) error {
	var missing []string
	for _, p := range packages {
		if p.present() != nil {
			missing = append(missing, p.name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return fmt.Errorf("this host lacks %s and has no apt-get: install it with the host's package manager", names)
	}
	root, ok := sudo.Prefix(ctx)
	if !ok {
		return fmt.Errorf("this host lacks %s: apt-get install %s as root", names, names)
	}
	progress.Step("install %s on this host", names)
	return install(ctx, progress, root, apt, missing)
}

// install installs packages with apt-get behind the prefix that makes it root's.
func install(ctx context.Context, progress console.Progress, root []string, apt string, packages []string) error {
	command := []string{apt}
	if len(root) > 0 {
		// sudo hands no variables on.
		command = append(append([]string{}, root...), "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", apt)
	}
	var tries []error
	// The lists may be absent or old: only then is updating them worth the time.
	for _, update := range []bool{false, true} {
		if update {
			if err := Run(ctx, progress, "apt-get update", "", append(command[:len(command):len(command)], "update", "-q")...); err != nil {
				return errors.Join(append(tries, err)...)
			}
		}
		args := append(command[:len(command):len(command)], "install", "-q", "-y", "--no-install-recommends")
		err := Run(ctx, progress, "apt-get install "+strings.Join(packages, " "), "", append(args, packages...)...)
		if err == nil {
			return nil
		}
		tries = append(tries, err)
	}
	return errors.Join(tries...)
}

// Run runs a program of the host in a directory and shows, under the name of what it does, the last line that it has
// printed; the error has the last 25.
func Run(ctx context.Context, progress console.Progress, what, dir string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	output := &lastLines{keep: 25}
	cmd.Stdout, cmd.Stderr = output, output
	end := progress.Watch(what, func() console.State { return console.State{Detail: output.last()} })
	err := cmd.Run()
	end(err)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, output.text())
	}
	return nil
}

// InstallPrograms installs what of the programs the host lacks: the package of each by its name. It takes root, as
// [Get] does for what it needs itself.
func InstallPrograms(ctx context.Context, progress console.Progress, packageOf map[string]string) error {
	var wanted []hostPackage
	for _, program := range slices.Sorted(maps.Keys(packageOf)) {
		wanted = append(wanted, hostPackage{packageOf[program], command(program)})
	}
	return ensureInstalled(ctx, progress, wanted...)
}
