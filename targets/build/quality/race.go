package quality

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/console"
)

// raced are the packages with concurrency of their own that can be compiled for the race detector in a minute or two:
// none of them links k3d or Helm.
var raced = []string{
	"./targets/atomicfile/...", "./targets/build/...", "./targets/cluster/docker/...", "./targets/cluster/state", "./targets/console/...",
	"./targets/contract/...", "./targets/filelock", "./targets/mask", "./targets/propagator/...", "./targets/settings", "./targets/stretch", "./targets/suite", "./targets/sweep",
	"./targets/local/image/...", "./targets/local/node", "./targets/local/standin/...", "./targets/local/vm", "./targets/local/workload/...",
	"./tests/chaos", "./tests/checks", "./tests/fixture", "./tests/nodes", "./tests/steps", "./tests/wait",
}

// Race runs the tests of the packages with concurrency of their own with the race detector, which everything has to be
// compiled for once more. It links with a C compiler: Debian's is installed when there is none and this is root.
func Race(ctx context.Context, con *console.Console) error {
	artifacts, err := artifactsDirectory()
	if err != nil {
		return err
	}
	if err := ensureCompiler(ctx, con); err != nil {
		return err
	}
	m := module{dir: ".", packages: raced}
	return m.test(ctx, con, "race", filepath.Join(artifacts, "race.xml"), []string{"-race"}, nil)
}

// ensureCompiler makes sure that there is a C compiler, installing Debian's when root.
func ensureCompiler(ctx context.Context, con *console.Console) error {
	for _, name := range []string{"gcc", "clang"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("no C compiler: install gcc")
	}
	return con.Run(ctx, "install gcc for the race detector", func(ctx context.Context, _ *console.Step) error {
		if err := run(ctx, io.Discard, apt, "update", "-qq"); err != nil {
			return err
		}
		return run(ctx, io.Discard, apt, "install", "-y", "-qq", "--no-install-recommends", "gcc", "libc6-dev")
	})
}
