package targets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/compare"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/platform"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Compare measures A and B in turns and prints the verdict; the error names the figures that B is slower in.
func Compare(ctx context.Context) error {
	s, err := platform.Load()
	if err != nil {
		return err
	}
	if err := s.Compare.Check(s.ClusterName); err != nil {
		return err
	}
	root, err := gobuild.Root()
	if err != nil {
		return err
	}
	con := console.Standard()
	side := func(name, version string) (compare.Side, error) {
		one := compare.Side{Name: name, Version: version, Dir: root, Env: []string{"CLUSTER_NAME=" + s.ClusterName + "-" + name}}
		if s.Backend == settings.BackendLive {
			one.Env = append(one.Env, "HELM_CHART="+version)
			return one, nil
		}
		one.Dir, err = compare.Clone(ctx, root, version, filepath.Join(s.Build(), "compare"))
		return one, err
	}
	a, err := side("a", s.Compare.A)
	if err != nil {
		return err
	}
	b, err := side("b", s.Compare.B)
	if err != nil {
		return err
	}
	return compare.Run(ctx, con, &s.Settings, a, b, func(ctx context.Context, side compare.Side, target string, env ...string) error {
		cmd := exec.CommandContext(ctx, "go", "tool", "mage", target)
		cmd.Dir = side.Dir
		cmd.Env = append(append(os.Environ(), side.Env...), env...)
		cmd.Stdout, cmd.Stderr = con.Progress(), con.Progress()
		// The whole group: the go command passes no signal on.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("run `go tool mage %s` in %s: %w", target, side.Dir, err)
		}
		return nil
	})
}
