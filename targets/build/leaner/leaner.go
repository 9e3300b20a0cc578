// Package leaner builds a program without source files of its modules that it has no use for.
//
// Helpers for a module's own tests in a file that is not called _test.go are compiled into everybody's program, with all
// that they import. `go build -overlay` can leave a file out, but not one in the module cache. So the module is replaced
// by a link to its directory there: Go sees the same files at another path.
package leaner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/mod/modfile"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/console"
)

// Build is one that leaves out files.
type Build struct {
	// Module is the directory of the main module.
	Module string
	// Env is `KEY=value` beside [gobuild.Env].
	Env []string
	// LeaveOut are files by their package's import path and their name: `example.com/module/package/file.go`.
	LeaveOut []string
	// Dir is absolute, and has what the flags refer to. Its path is in what is compiled: Go's build cache finds that again
	// only if the next build has the same one.
	Dir string
}

// Flags are for `go list` and `go build` of the main module. The modules with the files are downloaded when they are
// missing. It may be called by several processes at once for one Dir.
func (b Build) Flags(ctx context.Context, progress console.Progress) ([]string, error) {
	packages, err := b.packages(ctx, progress)
	if err != nil {
		return nil, err
	}
	goMod, goSum := filepath.Join(b.Module, "go.mod"), filepath.Join(b.Module, "go.sum")
	content, err := os.ReadFile(goMod)
	if err != nil {
		return nil, fmt.Errorf("leave out files: %w", err)
	}
	requirements, err := modfile.Parse(goMod, content, nil)
	if err != nil {
		return nil, fmt.Errorf("leave out files: parse %s: %w", goMod, err)
	}
	sums, err := os.ReadFile(goSum)
	if err != nil {
		return nil, fmt.Errorf("leave out files: %w", err)
	}
	replaced := map[string]string{}
	for _, file := range b.LeaveOut {
		p, err := packages[path.Dir(file)].with(path.Base(file))
		if err != nil {
			return nil, fmt.Errorf("leave out %s: %w; if it is not there any more, take it out of leaveOut in the module's build.json", file, err)
		}
		link := filepath.Join(b.Dir, filepath.FromSlash(p.Module.Path)+"@"+p.Module.Version)
		if err := pointTo(link, p.Module.Dir); err != nil {
			return nil, fmt.Errorf("leave out %s: %w", file, err)
		}
		if err := requirements.AddReplace(p.Module.Path, "", link, ""); err != nil {
			return nil, fmt.Errorf("leave out %s: replace its module: %w", file, err)
		}
		replaced[filepath.Join(link, strings.TrimPrefix(file, p.Module.Path))] = ""
	}
	content, err = requirements.Format()
	if err != nil {
		return nil, fmt.Errorf("leave out files: write requirements: %w", err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return nil, fmt.Errorf("leave out files: write overlay: %w", err)
	}
	// Named by what is in them: builds of two clones may be under way at once.
	sum := sha256.Sum256(bytes.Join([][]byte{content, sums, overlay}, []byte{0}))
	name := filepath.Join(b.Dir, hex.EncodeToString(sum[:8]))
	err = errors.Join(
		atomicfile.Write(name+".mod", content, 0o644), atomicfile.Write(name+".sum", sums, 0o644), atomicfile.Write(name+".json", overlay, 0o644))
	if err != nil {
		return nil, fmt.Errorf("leave out files: %w", err)
	}
	return []string{"-modfile=" + name + ".mod", "-overlay=" + name + ".json"}, nil
}

// goPackage is what `go list` knows of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	Module     *struct{ Path, Version, Dir string }
	Error      *struct{ Err string }
}

// packages are those with the files, by import path.
func (b Build) packages(ctx context.Context, progress console.Progress) (map[string]goPackage, error) {
	// -find leaves their imports alone; -e says what is wrong with one in its Error.
	args := []string{"list", "-e", "-find", "-json=ImportPath,Dir,Module,Error"}
	for _, file := range b.LeaveOut {
		args = append(args, path.Dir(file))
	}
	out, err := gobuild.Run(ctx, progress, gobuild.Command{What: "find files to leave out", Dir: b.Module, Args: args, Env: b.Env})
	if err != nil {
		return nil, err
	}
	packages := map[string]goPackage{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if err != nil {
			return nil, fmt.Errorf("find files to leave out: parse what go list says: %w", err)
		}
		packages[p.ImportPath] = p
	}
}

// with is the package if it has the file and can be had without it.
func (p goPackage) with(file string) (goPackage, error) {
	switch {
	case p.Module != nil && p.Module.Version != "" && p.Dir != "":
		_, err := os.Stat(filepath.Join(p.Dir, file))
		return p, err
	case p.Error != nil:
		return p, errors.New(p.Error.Err)
	}
	return p, errors.New("it is not in a module that the build requires")
}

// pointTo makes or changes a link; who uses the older one may go on.
func pointTo(link, target string) error {
	if current, err := os.Readlink(link); err == nil && current == target {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	return renameio.Symlink(target, link)
}
