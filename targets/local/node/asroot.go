package node

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/sudo"
)

// BaseOptions are what the command cmd/base is told.
type BaseOptions struct {
	// Home is the project's directory, Mirror a Debian mirror or empty.
	Home, Mirror string
	// Flavour of the node: K3s or Source.
	Flavour Flavour
	// Dir is the directory to make; it is given to UID and GID.
	Dir      string
	UID, GID int
}

// MakeBase makes the node's base in o.Dir. It takes root.
func MakeBase(ctx context.Context, progress console.Progress, o BaseOptions) error {
	if err := makeBase(ctx, image.NewStore(o.Home, progress), o.Flavour, o.Mirror, o.Dir); err != nil {
		return err
	}
	return filepath.WalkDir(o.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, o.UID, o.GID)
	})
}

var baseProgram = image.Program{Name: "node-base", Package: "./targets/local/node/cmd/base"}

// stopTime is for mmdebstrap to end when it is told to.
const stopTime = 30 * time.Second

// baseMaker makes the base as root where that can be had with sudo, as one command: what mmdebstrap makes belongs to
// root, and some of it only root can read, or remove.
func baseMaker(ctx context.Context, store *image.Store, flavour Flavour, mirror, dir string) error {
	prefix, ok := sudo.Prefix(ctx)
	if len(prefix) == 0 || !ok {
		return makeBase(ctx, store, flavour, mirror, dir)
	}
	program, err := store.Program(ctx, baseProgram)
	if err != nil {
		return err
	}
	store.Progress().Step("make the node's base as root, with %s", strings.Join(prefix, " "))
	return runBase(ctx, store.Progress(), prefix, program.Path, BaseOptions{
		Home: store.Home(), Flavour: flavour, Mirror: mirror, Dir: dir, UID: os.Getuid(), GID: os.Getgid(),
	})
}

// runBase runs the command cmd/base behind the prefix.
func runBase(ctx context.Context, progress console.Progress, prefix []string, program string, o BaseOptions) error {
	args := append(append([]string{}, prefix[1:]...), keptVariables()...)
	args = append(args, program, "-home", o.Home, "-flavour", string(o.Flavour), "-mirror", o.Mirror, "-dir", o.Dir,
		"-uid", strconv.Itoa(o.UID), "-gid", strconv.Itoa(o.GID))
	cmd := exec.CommandContext(ctx, prefix[0], args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Cancel = stdin.Close
	cmd.WaitDelay = stopTime
	var said bytes.Buffer
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", prefix[0], err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		progress.Step("%s", lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("make the node's base as root: %w", errors.Join(err, errors.New(strings.TrimSpace(said.String()))))
	}
	return nil
}

// keptVariables tells sudo which variables to hand on: without its proxy a host may not reach a mirror. By name alone,
// since a proxy's address may have a password in it.
func keptVariables() []string {
	var names []string
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if os.Getenv(name) != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{"--preserve-env=" + strings.Join(names, ",")}
}
