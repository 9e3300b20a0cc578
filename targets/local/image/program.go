package image

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Program is a Go command in this repository.
type Program struct {
	// Name for the cache and for people.
	Name string
	// Module is the directory of the Go module, relative to the repository's root; empty for the main module.
	Module string
	// Package to build, relative to Module: `./cmd/x`, or `.`.
	Package string
	// Flags for `go build`; a Program without any is linked with `-s -w`. Paths are not trimmed: so what is compiled
	// is shared with ordinary builds of the same packages, which on a small machine is minutes.
	Flags []string
	// Env is `KEY=value` for the compiler, beside the settings for a static Linux binary.
	Env []string
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
			if path := s.path("build", p.Name, key, ""); s.touch(path) {
				return Binary{Path: path, Key: key}, nil
			}
		}
	}
	current, err := p.listSources(ctx, root, s.progress)
	if err != nil {
		return Binary{}, err
	}
	key, err := p.key(ctx, root, current)
	if err != nil {
		return Binary{}, err
	}
	path, err := s.File(ctx, p.Name, key, "", func(ctx context.Context, path string) error {
		return p.build(ctx, root, path, s.progress)
	})
	if err != nil {
		return Binary{}, err
	}
	return Binary{Path: path, Key: key}, s.rememberSources(p, current)
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
		return nil, nil // a torn write; it is made anew
	}
	return dirs, nil
}

func (s *Store) rememberSources(p Program, dirs []sourceDir) error {
	content, err := json.Marshal(dirs)
	if err == nil {
		tmp := fmt.Sprintf("%s.%d.tmp", s.sourcesFile(p), os.Getpid())
		if err = os.WriteFile(tmp, content, 0o644); err == nil {
			err = os.Rename(tmp, s.sourcesFile(p))
		}
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
		Text("flags", p.flags()...).Text("env", p.Env...).Text("go", toolchain)
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

// listSources asks Go which directories of the repository the program is built from. Everything else is the standard
// library or a module whose sum is in go.sum.
func (p Program) listSources(ctx context.Context, root string, progress Progress) ([]sourceDir, error) {
	args := append([]string{"list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}\t{{len .EmbedFiles}}{{end}}"}, p.flags()...)
	cmd := p.command(ctx, root, append(args, p.Package)...)
	output := &compilerOutput{}
	cmd.Stderr = output
	// The first time it gets the modules.
	stop := Watch(progress, func(elapsed time.Duration) string {
		return fmt.Sprintf("list packages of %s (%s): %s", p.Name, elapsed, output.state())
	})
	out, err := cmd.Output()
	stop()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("list its packages: %w\n%s", err, output.problems())
	}
	dirs := []sourceDir{} // stays empty for a command of another module: its go.sum says it all
	for line := range strings.Lines(string(out)) {
		dir, embeds, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		relative, err := filepath.Rel(root, dir)
		if err != nil || relative == ".." || strings.HasPrefix(relative, "../") {
			continue
		}
		dirs = append(dirs, sourceDir{Path: relative, Embeds: embeds != "0"})
	}
	slices.SortFunc(dirs, func(a, b sourceDir) int { return strings.Compare(a.Path, b.Path) })
	return dirs, nil
}

func (p Program) build(ctx context.Context, root, path string, progress Progress) error {
	progress.Step("compile %s", p.Name)
	// -v names each package that is compiled: the only measure of how far a build has come.
	args := append([]string{"build", "-v", "-buildvcs=false"}, p.flags()...)
	cmd := p.command(ctx, root, append(args, "-o", path, p.Package)...)
	output := &compilerOutput{}
	cmd.Stdout, cmd.Stderr = output, output
	stop := Watch(progress, func(elapsed time.Duration) string {
		return fmt.Sprintf("compile %s (%s): %s", p.Name, elapsed, output.state())
	})
	err := cmd.Run()
	stop()
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("go build %s in %s: %w\n%s", p.Package, cmp.Or(p.Module, "."), err, output.problems())
	}
	return nil
}

func (p Program) flags() []string {
	if len(p.Flags) == 0 {
		return []string{"-ldflags=-s -w"}
	}
	return p.Flags
}

func (p Program) command(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(root, p.Module)
	cmd.Env = append(append(os.Environ(), p.Env...), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOWORK=off", "GO111MODULE=on")
	// Compilers are children of go: the signal goes to all of them, then go has time to remove its work directory.
	terminateGroup(cmd)
	return cmd
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

var packageLine = regexp.MustCompile(`^[\w./~+-]+$`)

// compilerOutput sorts the output of `go build -v` into packages that are done, downloads, and problems.
type compilerOutput struct {
	mu        sync.Mutex
	rest      []byte
	packages  int
	downloads int
	last      string
	other     []string
}

func (c *compilerOutput) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, b...)
	for {
		line, rest, ok := bytes.Cut(c.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		c.rest = rest
		c.line(string(line))
	}
}

func (c *compilerOutput) line(line string) {
	switch {
	case strings.HasPrefix(line, "go: downloading "):
		c.downloads++
		c.last = strings.TrimPrefix(line, "go: ")
	case packageLine.MatchString(line):
		c.packages++
		c.last = line
	default:
		c.other = append(c.other, line)
	}
}

func (c *compilerOutput) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.packages > 0:
		return fmt.Sprintf("%d packages, now %s", c.packages, c.last)
	case c.downloads > 0:
		return fmt.Sprintf("%d modules, %s", c.downloads, c.last)
	}
	return "reading packages"
}

// problems is what the compiler complained about, the last 60 lines of it.
func (c *compilerOutput) problems() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := append(slices.Clone(c.other), string(c.rest))
	if len(lines) > 60 {
		lines = lines[len(lines)-60:]
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
