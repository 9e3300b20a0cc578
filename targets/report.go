package targets

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Report makes the report of the last run again, from its artifacts, and prints where it is.
func Report(ctx context.Context) error {
	s, err := settings.Load()
	if err != nil {
		return err
	}
	run, err := report.Load(s.Artifacts)
	if err != nil {
		return err
	}
	if err := run.Publish(s.Artifacts, "", mask.New(s.Token)); err != nil {
		return err
	}
	path := filepath.Join(s.Artifacts, report.HTMLFile)
	fmt.Println(path)
	if !s.OpenReport {
		return nil
	}
	program := map[bool]string{true: "open", false: "xdg-open"}[runtime.GOOS == "darwin"]
	if err := exec.CommandContext(ctx, program, path).Run(); err != nil {
		return fmt.Errorf("open %s with %s: %w; open it in a browser by hand", path, program, err)
	}
	return nil
}

// ShowHistory prints the runs that the history has.
func ShowHistory(context.Context) error {
	s, err := settings.Load()
	if err != nil {
		return err
	}
	entries, err := report.History(report.Histories(s.Run)...)
	if err != nil {
		return err
	}
	return report.ListHistory(os.Stdout, entries)
}
