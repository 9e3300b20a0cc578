package node

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/cedana/cedana-e2e/targets/local/image"
)

// unpackBin writes what a root file system's archive has below /bin to dir.
func unpackBin(archive io.Reader, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // a path that climbs out of it is refused
	if err != nil {
		return err
	}
	defer root.Close()
	in := tar.NewReader(archive)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(strings.TrimPrefix(path.Clean("/"+header.Name), "/"), "bin/")
		if !ok {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(header.Linkname, name)
		case tar.TypeLink:
			err = root.Link(strings.TrimPrefix(path.Clean("/"+header.Linkname), "/bin/"), name)
		case tar.TypeReg:
			err = writeFile(root, name, fs.FileMode(header.Mode).Perm(), in)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

func writeFile(root *os.Root, name string, mode fs.FileMode, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// k3sEntries are the official image's programs for a node on Debian. k3s and what belongs to it wins over Debian's;
// its user land, busybox and the like, stands back behind Debian's: CRIU needs GNU tar, k3d's scripts need bash.
func k3sEntries(debianLayer, bin string) ([]image.Entry, error) {
	debian, err := programsIn(debianLayer)
	if err != nil {
		return nil, err
	}
	all, err := image.TreeEntries(bin)
	if err != nil {
		return nil, err
	}
	var entries []image.Entry
	for _, e := range all {
		// bin/aux comes last in PATH, so nothing in it stands before Debian's.
		if isUserland(e) && debian[e.Path] {
			continue
		}
		e.Path = "usr/bin/" + e.Path
		entries = append(entries, e)
	}
	for _, e := range entries {
		if e.Path == "usr/bin/runc" {
			// One runc on a node: a container's state is written by the version that made it.
			entries = append(entries, image.Link("usr/sbin/runc", "../bin/runc"))
			break
		}
	}
	return entries, nil
}

// k3sPrograms are k3s's own. Everything else in its /bin is one of these by another name, or user land.
var k3sPrograms = []string{"k3s", "cni", "runc", "containerd", "flannel"}

func isUserland(e image.Entry) bool {
	name := path.Base(e.Path)
	if e.Mode&fs.ModeSymlink != 0 {
		name = path.Base(e.Target)
	}
	for _, own := range k3sPrograms {
		if name == own || strings.HasPrefix(name, own+"-") {
			return false
		}
	}
	return true
}

// programsIn are the names in /usr/bin and /usr/sbin of a layer.
func programsIn(layer string) (map[string]bool, error) {
	file, err := os.Open(layer)
	if err != nil {
		return nil, fmt.Errorf("list programs of the node's base: %w", err)
	}
	defer file.Close()
	names := map[string]bool{}
	in := tar.NewReader(file)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list programs of the node's base: %w", err)
		}
		if dir, name := filepath.Split(header.Name); dir == "usr/bin/" || dir == "usr/sbin/" {
			names[name] = true
		}
	}
}
