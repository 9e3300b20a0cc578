package targets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/artifacts"
	"github.com/cedana/cedana-e2e/targets/manifest"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Try makes the cluster, deploys, and sees the pods of POD through a checkpoint, their deletion and a restore. It prints the page
// that says how they fared, and fails unless all of them survived.
func Try(ctx context.Context) error {
	ctx, r, unlock, err := beginAlone(ctx, "try")
	if err != nil {
		return err
	}
	defer unlock()
	tests := &r.settings.Suite.Tests
	if err := checkManifests(tests.Try.Manifests); err != nil {
		return err
	}
	tests.Suite, r.settings.Suite.Pattern = settings.TryPods, ""
	page := filepath.Join(r.settings.Artifacts, artifacts.TryFile)
	if err := os.Remove(page); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the page of an earlier run: %w", err)
	}
	verdict := r.runTests(ctx, "mage try")
	// The tests write to their own directory.
	err = os.Rename(filepath.Join(r.settings.Artifacts, report.CasesDir, artifacts.TryFile), page)
	if errors.Is(err, fs.ErrNotExist) {
		return verdict // it did not come so far
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(page)
	}
	if err == nil {
		_, err = fmt.Fprintf(r.con.Data(), "\n%s\n%s\n", text, page)
	}
	return errors.Join(verdict, err)
}

// checkManifests is nil when POD names manifests that can be tried.
func checkManifests(path string) error {
	const name, example = "POD", "pod.yaml"
	if path == "" {
		return settings.Problems{{Name: name, Reason: "names no manifest to try", Example: example}}
	}
	if _, err := manifest.Load(path); err != nil {
		return settings.Problems{{Name: name, Reason: err.Error(), Example: example}}
	}
	return nil
}
