// Package vm runs a target of this project in a virtual machine: with a kernel, a cgroup version, a security module and a
// Docker engine that this machine may not have.
//
// The machines are Debian's releases, put together of Debian's packages on this host. What the host has compiled and
// downloaded is shared with them under the same paths, read-only, so that little is compiled in emulation.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Options are where a machine is made, and of what.
type Options struct {
	// Home is the project's directory; the machines are in its subdirectory "machines", their disks' originals in "build".
	Home string
	// Name is the machine's: there is one of a name at a time.
	Name string
	// Release is one of [Releases].
	Release string
	// Memory in GiB.
	Memory int
	// Root is the repository's directory. The guest sees it under the same path.
	Root string
	// Program is what runs the targets, in a directory that the guest sees.
	Program string
	// Artifacts is where the guest's artifacts are put; the directory is made.
	Artifacts string
	// Env is `KEY=value` for the target.
	Env []string
	// Scale is E2E_TIMEOUT_SCALE for the target. 0 is for what the guest is slower than the host, as measured when it is up.
	Scale float64
	// Progress is where the guest's output goes, its standard output to the data.
	Progress *console.Console
}

// artifacts is the guest's directory for them.
const artifacts = "/var/lib/cedana-e2e-artifacts"

// Run makes the machine, runs the target in it as root, fetches the artifacts and removes the machine. The error is the
// target's where it ends with an exit status.
func Run(ctx context.Context, o Options, target string) (err error) {
	dir := Dir(o.Home, o.Name)
	unlock, err := filelock.Lock(ctx, o.Progress, filepath.Join(o.build(), o.Name+".lock"), "runs a machine called "+o.Name)
	if err != nil {
		return err
	}
	defer unlock()
	var original disk
	if err := o.Progress.Run(ctx, "make the disk of "+o.Release, func(ctx context.Context, step *console.Step) (err error) {
		original, err = ensureDisk(ctx, o, step)
		return err
	}); err != nil {
		return fmt.Errorf("make the disk of %s: %w", o.Release, err)
	}
	q, err := findQEMU(ctx, o)
	if err != nil {
		return fmt.Errorf("get QEMU: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove what is left of machine %s: %w", o.Name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	shares, err := sharesOf(ctx, o)
	if err != nil {
		return err
	}
	toolchain, err := goSettings(ctx, o.Root)
	if err != nil {
		return err
	}
	o.Env = append(o.Env, toolchain...)
	var guest *guest
	var machine *machine
	err = o.Progress.Run(ctx, "start the machine", func(ctx context.Context, step *console.Step) (err error) {
		machine, guest, err = start(ctx, q, o, original, dir, shares, step)
		return err
	})
	if err != nil {
		return fmt.Errorf("start machine %s: %w", o.Name, err)
	}
	defer machine.stop()
	defer guest.close()
	if o.Scale == 0 {
		if o.Scale, err = guest.slowness(ctx); err != nil {
			return err
		}
	}
	o.Progress.Step("machine %s: %s, limits times %.3g", o.Name, machine.accelerator, o.Scale)
	stretch.Set(o.Scale) // of this process's own limits from here on
	began := time.Now()
	err = guest.run(ctx, o, target, shares)
	o.Progress.Step("mage %s in %s took %s", target, o.Release, time.Since(began).Round(time.Second))
	// A red run's artifacts are what one wants most.
	fetch, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(time.Minute))
	defer cancel()
	if failed := guest.fetch(fetch, artifacts, o.Artifacts); failed != nil {
		err = errors.Join(err, fmt.Errorf("fetch the artifacts: %w", failed))
	} else {
		o.Progress.Step("the machine's artifacts are in %s", o.Artifacts)
	}
	return err
}

// Dir is a machine's directory.
func Dir(home, name string) string { return filepath.Join(home, "machines", name) }

// start tries the accelerators one after the other: a /dev/kvm may be there that starts no ordinary kernel.
func start(ctx context.Context, q qemu, o Options, d disk, dir string, shares []share, step *console.Step) (*machine, *guest, error) {
	var tried []error
	for _, accelerator := range accelerators(o.refused()) {
		step.Set("with %s", accelerator)
		m, err := q.start(o, d, dir, shares, accelerator)
		if err != nil {
			return nil, nil, err
		}
		limit := bootLimit[accelerator]
		up, cancel := context.WithTimeoutCause(ctx, stretch.Limit(limit), fmt.Errorf("no answer by SSH within %s", stretch.Limit(limit)))
		g, err := m.connect(up, d)
		cancel()
		if err == nil {
			step.Note("%s, %s", o.Release, accelerator)
			return m, g, nil
		}
		m.stop()
		if accelerator == kvm && ctx.Err() == nil {
			if err := os.WriteFile(o.refused(), bootID(), 0o644); err != nil {
				return nil, nil, err
			}
		}
		tried = append(tried, fmt.Errorf("with %s: %w; the end of its console:\n%s", accelerator, err, tail(filepath.Join(dir, consoleFile))))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, nil, errors.Join(tried...)
}

// bootLimit is how long a machine may take until it can be logged in to.
var bootLimit = map[string]time.Duration{kvm: time.Minute, tcg: 15 * time.Minute}

// The two that QEMU has on Linux: the processor's own, and emulation.
const (
	kvm = "kvm"
	tcg = "tcg"
)

// refused is the file that says in which boot of this host no machine started with /dev/kvm: a minute is waited for that
// once a boot.
func (o Options) refused() string { return filepath.Join(o.build(), "kvm-refused") }

// bootID is another after each boot of this host; empty where the kernel does not tell.
func bootID() []byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil
	}
	return id
}

func accelerators(refused string) []string {
	if in, err := os.ReadFile(refused); err == nil && len(in) > 0 && bytes.Equal(in, bootID()) {
		return []string{tcg}
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return []string{tcg}
	}
	device.Close()
	return []string{kvm, tcg}
}

// tail is the last of a file, for an error.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-1500):])
}

// Remove ends the machine of that name, or every one where it is empty, and removes its disk. It names what it removed.
func Remove(home, name string) (removed []string, err error) {
	names := []string{name}
	if name == "" {
		entries, err := os.ReadDir(filepath.Join(home, "machines"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("look for machines: %w", err)
		}
		names = nil
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	var failed []error
	for _, name := range names {
		dir := Dir(home, name)
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(kill(dir), os.RemoveAll(dir)); err != nil {
			failed = append(failed, fmt.Errorf("machine %s (%s): %w", name, dir, err))
			continue
		}
		removed = append(removed, "virtual machine "+name)
	}
	return removed, errors.Join(failed...)
}

// supported says why there can be no machine here.
func supported() error {
	switch {
	case runtime.GOOS != "linux" || runtime.GOARCH != "amd64":
		return fmt.Errorf("this is %s/%s, and machines are made on linux/amd64 alone", runtime.GOOS, runtime.GOARCH)
	case os.Geteuid() != 0:
		return errors.New("a disk is put together by root: run this as root, or with sudo")
	}
	return nil
}
