package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/build/leaner"
	"github.com/cedana/cedana-e2e/targets/console"
)

// Program is a Go command in this repository.
type Program struct {
	// Name for the cache and for people.
	Name string
	// Module is the directory of the Go module, relative to the repository's root; empty for the main module.
	Module string
	// Package to build, relative to Module: `./cmd/x`, or `.`.
	Package string
	// Flags for `go build` beside [gobuild.Flags]; a Program without any is linked with `-s -w`.
	Flags []string
	// Env is `KEY=value` beside [gobuild.Env].
	Env []string
	// Linking is called, if it is not nil, when all is compiled and only linking is left, which one processor does. It is
	// not called when there is nothing to build.
	Linking func()
	// LeaveOut are source files of modules that the program can do without: see [leaner.Build].
	LeaveOut []string
}

// Binary is a built program.
type Binary struct {
	Path string
	// Key is the hash of everything that it was built from.
	Key string
}

// programRecipe is raised when the way that programs are built changes.
const programRecipe = 2

// Program builds a static Linux binary for this machine's architecture, unless one of the same sources is there.
// What the sources are is remembered from the last build (as a C compiler's dependency files do it), so that finding
// nothing to do takes milliseconds and not a `go list` of all Kubernetes.
func (s *Store) Program(ctx context.Context, p Program) (Binary, error) {
	binary, err := s.program(ctx, p)
	if err != nil {
		return Binary{}, fmt.Errorf("build %s: %w", p.Name, err)
	}
	return binary, nil
}

func (s *Store) program(ctx context.Context, p Program) (Binary, error) {
	root, err := s.root()
	if err != nil {
		return Binary{}, err
	}
	known, err := s.rememberedSources(p)
	if err != nil {
		return Binary{}, err
	}
	if known != nil {
		// A remembered directory may be gone by now: then the key cannot be computed, and the sources are listed anew.
		if key, err := p.key(ctx, root, known); err == nil {
			path := s.path("build", p.Name, key, "")
			if there, err := s.use(path); err != nil || there {
				return Binary{Path: path, Key: key}, err
			}
		}
	}
	without, err := s.without(ctx, root, p)
	if err != nil {
		return Binary{}, err
	}
	current, packages, err := p.listSources(ctx, root, without, s.progress)
	if err != nil {
		return Binary{}, err
	}
	key, err := p.key(ctx, root, current)
	if err != nil {
		return Binary{}, err
	}
	path, err := s.File(ctx, p.Name, key, "", func(ctx context.Context, path string) error {
		s.compiling.Lock()
		defer s.compiling.Unlock()
		return p.build(ctx, root, path, packages, without, s.progress)
	})
	if err != nil {
		return Binary{}, err
	}
	return Binary{Path: path, Key: key}, s.rememberSources(p, current)
}

// leftOut is how files are left out of a program.
type leftOut struct {
	// flags for `go list` and `go build`.
	flags []string
	// dir has what the flags refer to.
	dir string
}

// without makes, below the store's home, what it takes to leave the program's files out.
func (s *Store) without(ctx context.Context, root string, p Program) (leftOut, error) {
	l := leftOut{dir: filepath.Join(s.home, "build", p.Name+".leaner")}
	if len(p.LeaveOut) == 0 {
		return l, nil
	}
	build := leaner.Build{Module: filepath.Join(root, p.Module), Env: p.Env, LeaveOut: p.LeaveOut, Dir: l.dir}
	var err error
	l.flags, err = build.Flags(ctx, s.progress)
	return l, err
}

// sourceDir is a directory of the repository that a program is built from.
type sourceDir struct {
	// Path relative to the repository's root.
	Path string `json:"path"`
	// Embeds says that files below it are compiled in too.
	Embeds bool `json:"embeds,omitempty"`
}

func (s *Store) sourcesFile(p Program) string {
	return filepath.Join(s.home, "build", p.Name+".sources.json")
}

func (s *Store) rememberedSources(p Program) ([]sourceDir, error) {
	content, err := os.ReadFile(s.sourcesFile(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what it was built from: %w", err)
	}
	var dirs []sourceDir
	if err := json.Unmarshal(content, &dirs); err != nil {
		return nil, nil // whatever it is: it is made anew
	}
	return dirs, nil
}

func (s *Store) rememberSources(p Program, dirs []sourceDir) error {
	content, err := json.Marshal(dirs)
	if err == nil {
		err = atomicfile.Write(s.sourcesFile(p), content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("remember what it was built from: %w", err)
	}
	return nil
}

// key hashes everything that decides the binary: sources, module requirements and sums, toolchain and its settings.
func (p Program) key(ctx context.Context, root string, dirs []sourceDir) (string, error) {
	toolchain, err := goEnv(ctx)
	if err != nil {
		return "", err
	}
	in := NewInputs("go program", programRecipe).Text("program", p.Module, p.Package).
		Text("flags", p.flags()...).Text("env", p.Env...).Text("leave out", p.LeaveOut...).
		Text("go", toolchain)
	module := filepath.Join(root, p.Module)
	in.File("go.mod", filepath.Join(module, "go.mod"))
	if _, err := os.Stat(filepath.Join(module, "go.sum")); err == nil {
		in.File("go.sum", filepath.Join(module, "go.sum"))
	}
	for _, dir := range dirs {
		in.goSources("directory "+dir.Path, filepath.Join(root, dir.Path), dir.Embeds)
	}
	return in.Key()
}

// listSources asks Go which directories of the repository the program is built from, and how many packages are not
// compiled yet. Everything else is the standard library or a module whose sum is in go.sum.
func (p Program) listSources(ctx context.Context, root string, without leftOut, progress console.Progress) (dirs []sourceDir, packages int, err error) {
	args := append([]string{"list", "-deps", "-f", "{{.Stale}}\t{{.Standard}}\t{{.Dir}}\t{{len .EmbedFiles}}"}, p.flags()...)
	args = append(args, without.flags...)
	// The first time it gets the modules.
	out, err := gobuild.Run(ctx, progress, p.command(root, "list packages of "+p.Name, append(args, p.Package)...))
	if err != nil {
		return nil, 0, err
	}
	dirs = []sourceDir{} // stays empty for a command of another module: its go.sum says it all
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 4 {
			continue
		}
		if fields[0] == "true" {
			packages++
		}
		dir := fields[2]
		if strings.HasPrefix(dir, without.dir+string(filepath.Separator)) {
			continue // a module by a link, in a store that may be in the repository
		}
		relative, err := filepath.Rel(root, dir)
		if err != nil || fields[1] == "true" || relative == ".." || strings.HasPrefix(relative, "../") {
			continue
		}
		dirs = append(dirs, sourceDir{Path: relative, Embeds: fields[3] != "0"})
	}
	slices.SortFunc(dirs, func(a, b sourceDir) int { return strings.Compare(a.Path, b.Path) })
	return dirs, packages, nil
}

func (p Program) build(ctx context.Context, root, to string, packages int, without leftOut, progress console.Progress) error {
	progress.Step("compile %s", p.Name)
	args := slices.Concat([]string{"build", "-v"}, p.flags(), without.flags)
	command := p.command(root, "compile "+p.Name, append(args, "-o", to, p.Package)...)
	command.Packages = packages
	if p.Linking != nil {
		main, err := p.importPath(root)
		if err != nil {
			return err
		}
		command.Begins = func(pkg string) {
			if pkg == main { // which has to wait for all others
				p.Linking()
			}
		}
	}
	_, err := gobuild.Run(ctx, progress, command)
	return err
}

// importPath is the program's package as Go names it.
func (p Program) importPath(root string) (string, error) {
	file := filepath.Join(root, p.Module, "go.mod")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	module := modfile.ModulePath(content)
	if module == "" {
		return "", fmt.Errorf("%s names no module", file)
	}
	return path.Join(module, p.Package), nil
}

func (p Program) flags() []string {
	if len(p.Flags) == 0 {
		return append(gobuild.Flags(), "-ldflags=-s -w")
	}
	return append(gobuild.Flags(), p.Flags...)
}

// command runs go for a container: on macOS too, where the engine's machine is a Linux one.
func (p Program) command(root, what string, args ...string) gobuild.Command {
	return gobuild.Command{What: what, Dir: filepath.Join(root, p.Module), Args: args, Env: append([]string{"GOOS=linux"}, p.Env...)}
}

// goEnv is the toolchain's version and the settings that change what it makes.
var goEnv = onceOK(func(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOTOOLCHAIN", "GOFLAGS", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GODEBUG", "GOFIPS140")
	cmd.Dir = "/" // outside any module, where no go.mod chooses another toolchain
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("find the Go toolchain: %w; install Go from https://go.dev/dl and put it on PATH", err)
	}
	if err != nil {
		return "", fmt.Errorf("go env: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
})

// onceOK remembers the first success; a failure (a cancelled context, say) is not held against the next caller.
func onceOK(f func(context.Context) (string, error)) func(context.Context) (string, error) {
	var mu sync.Mutex
	var value string
	var ok bool
	return func(ctx context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if ok {
			return value, nil
		}
		v, err := f(ctx)
		if err != nil {
			return "", err
		}
		value, ok = v, true
		return value, nil
	}
}
