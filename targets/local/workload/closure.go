package workload

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// closure lists the program and everything that the dynamic loader opens for it, links and their targets alike, as
// paths relative to root. A library that root does not have is an error: the program would not start.
func closure(root, program string) ([]string, error) {
	files := map[string]bool{}
	var add func(file string) error
	add = func(file string) error {
		if files[file] {
			return nil
		}
		files[file] = true
		path := filepath.Join(root, file)
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if filepath.IsAbs(target) {
				return add(strings.TrimPrefix(target, "/"))
			}
			return add(filepath.Join(filepath.Dir(file), target))
		}
		libraries, loader, err := needs(path)
		if err != nil {
			return err
		}
		if loader != "" {
			// The kernel takes exactly this path, /lib64/ld-linux-x86-64.so.2; /lib64 is a link to /usr/lib64.
			if err := add("usr" + loader); err != nil {
				return fmt.Errorf("%s needs the loader %s: %w", file, loader, err)
			}
		}
		for _, library := range libraries {
			found, err := find(root, library)
			if err != nil {
				return fmt.Errorf("%s needs %s: %w", file, library, err)
			}
			if err := add(found); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(program); err != nil {
		return nil, fmt.Errorf("find the libraries of %s: %w", program, err)
	}
	list := make([]string, 0, len(files))
	for file := range files {
		list = append(list, file)
	}
	slices.Sort(list)
	return list, nil
}

// needs reads which libraries and which loader an ELF file names.
func needs(path string) (libraries []string, loader string, err error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer file.Close()
	if libraries, err = file.ImportedLibraries(); err != nil {
		return nil, "", err
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			content, err := io.ReadAll(p.Open())
			if err != nil {
				return nil, "", err
			}
			return libraries, string(bytes.TrimRight(content, "\x00")), nil
		}
	}
	return libraries, "", nil
}

// find looks for a library where the loader does.
func find(root, library string) (string, error) {
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "usr/lib64", "usr/lib"} {
		matches, err := filepath.Glob(filepath.Join(root, pattern, library))
		if err != nil {
			return "", err
		}
		if len(matches) > 0 {
			return filepath.Rel(root, matches[0])
		}
	}
	return "", errors.New("not in any of the packages")
}
