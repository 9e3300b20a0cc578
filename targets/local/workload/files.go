package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/image/debian"
)

// packages with everything that is taken: the two programs, and every library that nginx needs. One that is missing
// here is named by the error of closure.
var packages = []string{
	"busybox-static", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3t64", "libzstd1", "nginx", "nginx-common", "zlib1g",
}

// filesRecipe is raised when other files are taken out of the packages.
const filesRecipe = 2

// The programs, where the packages have them.
const (
	nginxPath   = "usr/sbin/nginx"
	busyboxPath = "usr/bin/busybox"
	// appletList is a file with the names that busybox answers to.
	appletList = "applets"
)

// debianFiles is a directory with the two programs, the libraries that they load, and the list of busybox's applets.
func debianFiles(ctx context.Context, store *image.Store, mirror string) (string, error) {
	key, err := image.NewInputs("workload files", filesRecipe).Text("suite", debian.Suite).Text("packages", packages...).Key()
	if err != nil {
		return "", err
	}
	return store.File(ctx, "workload-files", key, "", func(ctx context.Context, dir string) error {
		scratch, remove, err := store.Scratch("packages")
		if err != nil {
			return err
		}
		return errors.Join(takeFiles(ctx, store, mirror, scratch, dir), remove())
	})
}

func takeFiles(ctx context.Context, store *image.Store, mirror, scratch, dir string) error {
	got, err := debian.Get(ctx, store.Progress(), debian.Source{Mirror: mirror, Home: store.Home()}, filepath.Join(scratch, "packages"),
		debian.Selection{Packages: packages})
	if err != nil {
		return err
	}
	unpacked := filepath.Join(scratch, "root")
	for _, p := range got {
		if err := p.Unpack(ctx, unpacked); err != nil {
			return err
		}
	}
	needed, err := closure(unpacked, nginxPath)
	if err != nil {
		return err
	}
	for _, file := range append(needed, busyboxPath) {
		if err := move(unpacked, dir, file); err != nil {
			return fmt.Errorf("take %s out of its package: %w", file, err)
		}
	}
	list, err := exec.CommandContext(ctx, filepath.Join(dir, busyboxPath), "--list").Output()
	if err != nil {
		return fmt.Errorf("ask busybox for its applets: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, appletList), list, 0o644)
}

func move(from, to, file string) error {
	target := filepath.Join(to, file)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.Rename(filepath.Join(from, file), target)
}

// applets are links to busybox for all names that it answers to, except those of other programs.
func applets(files string, except ...string) ([]image.Entry, error) {
	list, err := os.ReadFile(filepath.Join(files, appletList))
	if err != nil {
		return nil, fmt.Errorf("list busybox's applets: %w", err)
	}
	var links []image.Entry
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" && !slices.Contains(except, applet) {
			links = append(links, image.Link("usr/bin/"+applet, "busybox"))
		}
	}
	if len(links) == 0 {
		return nil, errors.New("list busybox's applets: it has none")
	}
	return append(links, image.File(busyboxPath, filepath.Join(files, busyboxPath), 0o755)), nil
}
