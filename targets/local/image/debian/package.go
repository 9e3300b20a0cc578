package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Package is a package that was downloaded. Its scripts are never run.
type Package struct {
	Name string
	// Version as Debian has it: `2.1.9+ds1-5`, maybe with an epoch, `2:4.0.7-1`.
	Version string
	// Path of the .deb file.
	Path string
}

// downloaded are the packages in a directory. The files are named NAME_VERSION_ARCHITECTURE.deb, the version escaped
// as in a URL.
func downloaded(dir string, s Selection) ([]Package, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	missing := slices.Clone(s.Packages)
	var packages []Package
	for _, file := range files {
		fields := strings.Split(filepath.Base(file), "_")
		if len(fields) != 3 {
			return nil, fmt.Errorf("get Debian packages: %s is not named NAME_VERSION_ARCHITECTURE.deb", file)
		}
		version, err := url.PathUnescape(fields[1])
		if err != nil {
			return nil, fmt.Errorf("get Debian packages: read the version of %s: %w", file, err)
		}
		packages = append(packages, Package{Name: fields[0], Version: version, Path: file})
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == fields[0] })
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("get Debian packages: asked for %d, but these were not downloaded: %s", len(s.Packages), strings.Join(missing, " "))
	}
	return packages, nil
}

// Files calls each for all files, directories and links of the package, in its order.
func (p Package) Files(ctx context.Context, each func(*tar.Header, io.Reader) error) error {
	read, write := io.Pipe()
	defer func() { _ = read.Close() }() // and dpkg-deb ends, when each fails
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", p.Path)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = write, &said
	go func() {
		err := cmd.Run()
		if err != nil {
			err = fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w\n%s", p.Path, err, strings.TrimSpace(said.String()))
		}
		write.CloseWithError(err)
	}()
	err := eachFile(tar.NewReader(read), each)
	if err == nil {
		_, err = io.Copy(io.Discard, read) // padding; then it is known whether dpkg-deb has succeeded
	}
	if err != nil {
		return fmt.Errorf("read package %s: %w", p.Name, err)
	}
	return nil
}

func eachFile(archive *tar.Reader, each func(*tar.Header, io.Reader) error) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(header, archive); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

// Unpack puts the files of the package into a directory. They belong to whoever runs this.
func (p Package) Unpack(ctx context.Context, dir string) error {
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", p.Path, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack package %s: %w\n%s", p.Name, err, out)
	}
	return nil
}
