package compare

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Clone makes a clone of the repository at a revision below dir, which shares the repository's objects and writes nothing
// to it. One that is there already is taken.
func Clone(ctx context.Context, repository, revision, dir string) (path string, err error) {
	commit, err := git(ctx, repository, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("find revision %s in %s: %w; `git log --oneline` lists them", revision, repository, err)
	}
	// By its commit: what was compiled for it is found again.
	path = filepath.Join(dir, commit[:12])
	if have, err := git(ctx, path, "rev-parse", "HEAD"); err == nil && have == commit {
		return path, nil
	}
	if err := os.RemoveAll(path); err != nil {
		return "", fmt.Errorf("clone %s: %w", revision, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("clone %s: %w", revision, err)
	}
	if _, err := git(ctx, dir, "clone", "--quiet", "--shared", "--no-checkout", repository, path); err != nil {
		return "", fmt.Errorf("clone %s: %w", revision, err)
	}
	if _, err := git(ctx, path, "checkout", "--quiet", "--detach", commit); err != nil {
		return "", fmt.Errorf("check out %s: %w", revision, err)
	}
	return path, nil
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
