package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	hostArch       = runtime.GOARCH
	installTimeout = 10 * time.Minute
	policyPath     = "/usr/sbin/policy-rc.d"
	policy         = "#!/bin/sh\n# Made by cedana-e2e for the time of one apt-get run: no service may start. Safe to remove.\nexit 101\n"
)

// programs are what a private engine consists of.
type programs struct{ dockerd, containerd string }

// needed are all that must be in the daemons' search path.
var needed = []string{"dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "iptables"}

// searchPath is the caller's with the places of administrators' programs, which users often lack.
func searchPath(path string) string {
	return strings.TrimPrefix(path+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ":")
}

func lookProgram(name string) (string, error) { return lookIn(searchPath(os.Getenv("PATH")), name) }

func lookIn(path, name string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil && filepath.IsAbs(dir) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("program %s not found in %s", name, path)
}

func missingPrograms() []string {
	var missing []string
	for _, name := range needed {
		if _, err := lookProgram(name); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}

// ensureInstalled returns the engine's programs, whoever's packages they are from, and installs the distribution's if
// some are missing.
func ensureInstalled(ctx context.Context, o Options) (p programs, err error) {
	if missing := missingPrograms(); len(missing) > 0 {
		if err := canInstall(); err != nil {
			return p, fmt.Errorf("%s not found, and cannot be installed: %w", strings.Join(missing, ", "), err)
		}
		if err := install(ctx, o); err != nil {
			return p, err
		}
		if missing := missingPrograms(); len(missing) > 0 {
			return p, fmt.Errorf("%s not found although docker.io is installed", strings.Join(missing, ", "))
		}
	}
	if p.dockerd, err = lookProgram("dockerd"); err != nil {
		return p, err
	}
	p.containerd, err = lookProgram("containerd")
	return p, err
}

// canInstall says why Docker cannot be installed here, if so.
func canInstall() error {
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return fmt.Errorf("this system does not say what it is (only Debian and Ubuntu are known): %w", err)
	}
	if name, ok := debianLike(string(release)); !ok {
		return fmt.Errorf("this is %s, not Debian or Ubuntu: install Docker by the distribution's means", name)
	}
	if _, err := lookProgram("apt-get"); err != nil {
		return err
	}
	return nil
}

// debianLike reads the text of /etc/os-release: the system's name, and whether Debian's packages are for it.
func debianLike(release string) (name string, ok bool) {
	name = "an unknown system"
	for line := range strings.Lines(release) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "PRETTY_NAME":
			name = value
		case "ID", "ID_LIKE":
			for _, id := range strings.Fields(value) {
				ok = ok || id == "debian" || id == "ubuntu"
			}
		}
	}
	return name, ok
}

// install installs docker.io without starting its service, which would be an engine beside ours, now and after every
// boot.
func install(ctx context.Context, o Options) (err error) {
	o.Progress.Step("installing docker.io and iptables with apt-get (%s not found)", strings.Join(missingPrograms(), ", "))
	ctx, cancel := context.WithTimeout(ctx, stretch.Limit(installTimeout))
	defer cancel()
	units := map[string][]string{"docker.io": {"docker.service", "docker.socket"}, "containerd": {"containerd.service"}}
	for name := range units {
		if isInstalled(ctx, name) {
			delete(units, name) // its services are the owner's business
		}
	}
	wrap, undo, err := forbidServices(o)
	if err != nil {
		return fmt.Errorf("install docker.io: keep its service from starting: %w", err)
	}
	defer func() { err = errors.Join(err, undo()) }()

	// --no-remove: Docker's own packages conflict with the distribution's, and are not ours to take away.
	args := []string{"install", "-y", "--no-install-recommends", "--no-remove", "docker.io", "iptables"}
	if _, first := apt(ctx, o, wrap, args...); first != nil {
		// The package lists are missing or old.
		updated, err := apt(ctx, o, wrap, "update")
		if err != nil {
			return fmt.Errorf("install docker.io: %w", errors.Join(first, err))
		}
		if _, err := apt(ctx, o, wrap, args...); err != nil {
			// An update that reached no mirror at all is a success to apt-get.
			if said := complaints(updated); said != "" {
				return fmt.Errorf("install docker.io: %w\n  apt-get update before that:\n%s", err, indent(said))
			}
			return fmt.Errorf("install docker.io: %w", err)
		}
	}
	if systemctl, err := lookProgram("systemctl"); err == nil {
		for _, names := range units {
			out, err := exec.CommandContext(ctx, systemctl, append([]string{"--no-reload", "disable"}, names...)...).CombinedOutput()
			if err != nil {
				o.Progress.Step("could not keep %s from starting at the next boot: %s", strings.Join(names, ", "), lastLines(out, 1))
			}
		}
	}
	return nil
}

func isInstalled(ctx context.Context, name string) bool {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", name).Output()
	return err == nil && string(out) == "installed"
}

// forbidServices makes invoke-rc.d and deb-systemd-invoke start nothing. They ask /usr/sbin/policy-rc.d and nothing
// else, no environment variable under systemd. Where an administrator has one, it is left alone and ours lies over it
// in a mount namespace of apt's own. Returned are the command to put before apt's, and how to undo it.
func forbidServices(o Options) (wrap []string, undo func() error, err error) {
	content, err := os.ReadFile(policyPath)
	if err == nil && string(content) != policy {
		ours := o.dir("policy-rc.d")
		if err := atomicfile.Write(ours, []byte(policy), 0o755); err != nil {
			return nil, nil, err
		}
		const over = `mount --bind "$1" "$2" && shift 2 && exec "$@"`
		return []string{"unshare", "--mount", "--propagation", "private", "sh", "-c", over, "sh", ours, policyPath},
			func() error { return os.Remove(ours) }, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	// Not there, or left by an interrupted run of this.
	if err := atomicfile.Write(policyPath, []byte(policy), 0o755); err != nil {
		return nil, nil, err
	}
	return nil, func() error { return os.Remove(policyPath) }, nil
}

// complaints are the last errors and warnings in apt-get's output.
func complaints(out []byte) string {
	var said []byte
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte("W:")) || bytes.HasPrefix(line, []byte("E:")) {
			said = append(said, line...)
		}
	}
	return lastLines(said, 4)
}

// apt runs apt-get to its end and returns its output. The error has the last lines of that.
func apt(ctx context.Context, o Options, wrap []string, args ...string) ([]byte, error) {
	words := append(append([]string{}, wrap...), "apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0")
	words = append(words, args...)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath(os.Getenv("PATH")), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
	// A package manager that is killed leaves packages half configured: Ctrl-C does not reach it through the
	// terminal, and SIGINT lets it end the step that it is at.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 2 * time.Minute

	done := make(chan struct{})
	defer close(done)
	go func() {
		start := time.Now()
		tick := time.NewTicker(8 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				o.Progress.Step("apt-get %s (%s)", args[0], time.Since(start).Round(time.Second))
			}
		}
	}()
	out, err := cmd.CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(ctx.Err(), err)
		}
		return out, fmt.Errorf("apt-get %s: %w; the end of its output:\n%s", args[0], err, indent(lastLines(out, 8)))
	}
	return out, nil
}
