package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The two programs use the standard library alone and are carried as source, so that they can be built wherever this
// package runs, for whatever architecture the engine has, without its module being at hand.
var (
	//go:embed cmd/probe/main.go
	probeSource string
	//go:embed cmd/capfilter/main.go
	capfilterSource string
)

// build compiles a program for linux/arch into Home/engine/bin and returns its path. What is there already is reused:
// the name has the hash of source, architecture and compiler.
func build(ctx context.Context, o Options, name, source, arch string) (string, error) {
	sum := sha256.Sum256([]byte(source + arch + runtime.Version()))
	path := o.dir("bin", fmt.Sprintf("%s-%s", name, hex.EncodeToString(sum[:6])))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".build-*")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.WriteFile(filepath.Join(tmp, "main.go"), []byte(source), 0o644); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	// Without -trimpath, for which the standard library would be compiled once more: that took 22 s of a processor.
	cmd := exec.CommandContext(ctx, goCommand(), "build", "-ldflags=-s -w", "-o", "program", "main.go")
	cmd.Dir = tmp
	// GO111MODULE=off: two files of the standard library need no module, and no workspace or vendor directory
	// around the temporary directory may matter.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GO111MODULE=off", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, indent(lastLines(out, 10)))
	}
	if err := os.Rename(filepath.Join(tmp, "program"), path); err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// goCommand is the compiler that runs the targets: mage names it, PATH has it, or it is where it was built.
func goCommand() string {
	if cmd := os.Getenv("MAGEFILE_GOCMD"); cmd != "" {
		return cmd
	}
	if path, err := exec.LookPath("go"); err == nil || errors.Is(err, exec.ErrDot) {
		return path
	}
	return "/usr/local/go/bin/go"
}

// lastLines returns the end of some output, for an error message.
func lastLines(out []byte, n int) string {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }
