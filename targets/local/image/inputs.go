package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Inputs collects everything that decides what is in an artifact. Two artifacts with equal inputs are the same.
// The first error sticks and comes out of [Inputs.Key].
type Inputs struct {
	hash hash.Hash
	err  error
}

// NewInputs starts with the recipe: what is made, and a version to be raised whenever the code that makes it
// changes what comes out.
func NewInputs(recipe string, version int) *Inputs {
	in := &Inputs{hash: sha256.New()}
	return in.Text("recipe", fmt.Sprintf("%s %d", recipe, version))
}

// Text adds labelled text: a version, an option, another artifact's key.
func (in *Inputs) Text(label string, values ...string) *Inputs {
	in.field(label, fmt.Sprint(len(values)))
	for _, value := range values {
		in.field("value", value)
	}
	return in
}

// File adds a file's content and whether it is executable.
func (in *Inputs) File(label, path string) *Inputs {
	info, err := os.Stat(path)
	if err != nil {
		return in.fail("hash input %s: %w", label, err)
	}
	file, err := os.Open(path)
	if err != nil {
		return in.fail("hash input %s: %w", label, err)
	}
	defer file.Close()
	in.field(label, fmt.Sprintf("%t %d", info.Mode()&0o111 != 0, info.Size()))
	if _, err := io.Copy(in.hash, file); err != nil {
		return in.fail("hash input %s: read %s: %w", label, path, err)
	}
	return in
}

// Tree adds every file and link below dir, by its path relative to dir.
func (in *Inputs) Tree(label, dir string) *Inputs {
	return in.tree(label, dir, true, func(fs.DirEntry) bool { return true })
}

// goSources adds the files directly in dir, and those below it too when recursive (a package that embeds some),
// except tests: they are in no binary.
func (in *Inputs) goSources(label, dir string, recursive bool) *Inputs {
	return in.tree(label, dir, recursive, func(entry fs.DirEntry) bool {
		if entry.IsDir() {
			return entry.Name() != "testdata"
		}
		return !strings.HasSuffix(entry.Name(), "_test.go")
	})
}

func (in *Inputs) tree(label, dir string, recursive bool, keep func(fs.DirEntry) bool) *Inputs {
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == dir:
			return nil
		case !keep(entry) || entry.IsDir() && !recursive:
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		}
		files = append(files, path)
		return nil
	})
	if err != nil {
		return in.fail("hash input %s: walk %s: %w", label, dir, err)
	}
	slices.Sort(files)
	in.field(label, fmt.Sprint(len(files)))
	for _, path := range files {
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return in.fail("hash input %s: %w", label, err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			return in.fail("hash input %s: %w", label, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return in.fail("hash input %s: %w", label, err)
			}
			in.Text("link "+relative, target)
			continue
		}
		in.File("file "+relative, path)
	}
	return in
}

// Key is the hash of all inputs: 16 hex digits, short enough for a tag and long enough never to meet another.
func (in *Inputs) Key() (string, error) {
	if in.err != nil {
		return "", in.err
	}
	return hex.EncodeToString(in.hash.Sum(nil))[:16], nil
}

// field writes label and value so that no two sequences of fields look the same to the hash.
func (in *Inputs) field(label, value string) {
	fmt.Fprintf(in.hash, "%d:%s%d:%s", len(label), label, len(value), value)
}

func (in *Inputs) fail(format string, args ...any) *Inputs {
	if in.err == nil {
		in.err = fmt.Errorf(format, args...)
	}
	return in
}
