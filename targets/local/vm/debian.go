package vm

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// suites are the releases by name. Those of testing change every day: its disk is as old as it was made.
var suites = map[string]string{"debian-12": "bookworm", "debian-13": "trixie", "debian-testing": "forky"}

// Releases are those that a machine can be of.
func Releases() []string { return []string{"debian-12", "debian-13", "debian-testing"} }

// packages are a server as Debian installs it, with Debian's own Docker.
var packages = []string{
	"apparmor", "ca-certificates", "dbus", "docker.io", "e2fsprogs", "git", "iproute2", "iptables", "kmod",
	"linux-image-amd64", "netbase", "openssh-server", "procps", "systemd", "systemd-sysv", "udev",
}

// scripts are debootstrap's, one for each release that it knows.
const scripts = "/usr/share/debootstrap/scripts"

// diskRecipe is raised when a disk is made in another way than before.
const diskRecipe = "1"

// diskSize is in GiB. The file has holes: an unused disk takes 2.
const diskSize = 30

// disk is what a release's machines start from.
type disk struct {
	image, kernel, initrd string
	// key is the private one that root can be logged in with.
	key string
}

// ensureDisk makes the disk of a release, unless it is there.
func ensureDisk(ctx context.Context, o Options, step *console.Step) (disk, error) {
	if err := supported(); err != nil {
		return disk{}, err
	}
	dir := filepath.Join(o.build(), o.Release+"-"+diskRecipe)
	d := disk{image: filepath.Join(dir, "disk.img"), kernel: filepath.Join(dir, "vmlinuz"), initrd: filepath.Join(dir, "initrd.img"), key: filepath.Join(dir, "key")}
	made, err := once(ctx, o, dir, "makes a disk of "+o.Release, func(work string) error { return makeDisk(ctx, o, work, step) })
	if err == nil && !made {
		step.Note("made before")
	}
	return d, err
}

// build is where everything is kept that outlives a machine.
func (o Options) build() string { return filepath.Join(o.Home, "build", "vm") }

// once has do make a directory, beside its place, unless it is there. What a killed one has left is made anew.
func once(ctx context.Context, o Options, dir, what string, do func(work string) error) (made bool, err error) {
	unlock, err := filelock.Lock(ctx, o.Progress, dir+".lock", what)
	if err != nil {
		return false, err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return false, nil
	}
	work := dir + ".making"
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o755)); err != nil {
		return false, err
	}
	if err := do(work); err != nil {
		return false, errors.Join(err, os.RemoveAll(work))
	}
	return true, os.Rename(work, dir)
}

// makeDisk makes the files of a [disk] in a directory.
func makeDisk(ctx context.Context, o Options, dir string, step *console.Step) error {
	mirror, err := debian.Mirror(os.DirFS("/etc"))
	if err != nil {
		return err
	}
	if err := debian.InstallPrograms(ctx, o.Progress, map[string]string{"debootstrap": "debootstrap", "mkfs.ext4": "e2fsprogs"}); err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	step.Set("debootstrap, from %s", mirror)
	// In a mount namespace of its own: what debootstrap mounts is gone with it, however it ends.
	bootstrap := []string{"debootstrap", "--variant=minbase", "--include=" + strings.Join(packages, ","), suites[o.Release], root, mirror}
	if _, err := os.Stat(filepath.Join(scripts, suites[o.Release])); errors.Is(err, fs.ErrNotExist) {
		bootstrap = append(bootstrap, filepath.Join(scripts, "sid")) // a release that this debootstrap is older than
	}
	if err := debian.Run(ctx, o.Progress, "debootstrap", "", append([]string{"unshare", "--mount", "--propagation", "private"}, bootstrap...)...); err != nil {
		return err
	}
	public, err := writeKey(filepath.Join(dir, "key"))
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	for path, content := range guestFiles(public) {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "root/.ssh"), 0o700); err != nil {
		return err
	}
	for _, args := range [][]string{
		append([]string{"enable"}, "systemd-networkd", "ssh", "docker"),
		// A machine lives for one run.
		append([]string{"mask"}, "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "systemd-networkd-wait-online.service"),
	} {
		if err := debian.Run(ctx, o.Progress, "systemctl "+args[0], "", append([]string{"chroot", root, "systemctl"}, args...)...); err != nil {
			return err
		}
	}
	for name, pattern := range map[string]string{"vmlinuz": "vmlinuz-*", "initrd.img": "initrd.img-*"} {
		if err := moveOne(filepath.Join(root, "boot", pattern), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	step.Set("file system")
	image := filepath.Join(dir, "disk.img")
	if err := makeEmpty(image, diskSize<<30); err != nil {
		return err
	}
	if err := debian.Run(ctx, o.Progress, "mkfs.ext4", "", "mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d", root, image); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

// guestFiles are written into the disk, by path.
func guestFiles(publicKey string) map[string]string {
	return map[string]string{
		"etc/hostname":                        "cedana-e2e\n",
		"etc/hosts":                           "127.0.0.1 localhost cedana-e2e\n::1 localhost\n",
		"etc/fstab":                           "/dev/vda / ext4 defaults 0 1\n",
		"etc/resolv.conf":                     "nameserver 10.0.2.3\n", // QEMU's
		"etc/systemd/network/10-dhcp.network": "[Match]\nType=ether\nName=e*\n[Network]\nDHCP=yes\n",
		"etc/sysctl.d/90-cedana-e2e.conf":     "fs.inotify.max_user_instances=1024\n", // what doctor tells a user to do
		"root/.ssh/authorized_keys":           publicKey,
	}
}

// writeKey writes a new private key and returns the public one.
func writeKey(path string) (public string, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, "cedana-e2e")
	if err != nil {
		return "", err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return "", err
	}
	return string(ssh.MarshalAuthorizedKey(signer.PublicKey())), os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}

func moveOne(pattern, to string) error {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("find %s: there are %d, and one is wanted: %w", pattern, len(found), fs.ErrNotExist)
	}
	return os.Rename(found[0], to)
}

func makeEmpty(path string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Close())
}
