//go:build e2e

// Package e2e is a suite that the tests of package suite run.
package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func TestPasses(t *testing.T) {
	t.Parallel()
	t.Run("part", func(t *testing.T) { t.Log("a part") })
}

func TestFails(t *testing.T) {
	t.Run("part", func(t *testing.T) { t.Error("the counter | went back") })
}

func TestSkipped(t *testing.T) { t.Skip("needs a second node: E2E_AGENTS=1") }

func TestMeasures(t *testing.T) {
	dir := filepath.Join(given(t).Artifacts, "measured")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "restores.txt"), []byte("WHAT     N  MEDIAN\nrestore  5  1.1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLeavesALineAboutOtherGroups(t *testing.T) {
	if err := os.WriteFile(filepath.Join(given(t).Artifacts, "other-groups.txt"), []byte("not asked for: 3 in SUITE=full\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The token in every place where a test could leave it.
func TestLeaksTheToken(t *testing.T) {
	token := os.Getenv("CEDANA_AUTH_TOKEN")
	fmt.Println("printed", token)
	fmt.Fprintln(os.Stderr, "printed", base64.StdEncoding.EncodeToString([]byte(token)))
	path := filepath.Join(given(t).Artifacts, "mine.txt")
	if err := os.WriteFile(path, []byte("written "+token), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Errorf("failed with %s", token)
}

// given is what the tests are given.
func given(t *testing.T) settings.TestFile {
	f, err := settings.ReadTestFile(os.Getenv(settings.TestFileVariable))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPrintsItsSettings(t *testing.T) { t.Logf("%+v", given(t)) }

func TestSleeps(t *testing.T) {
	path := filepath.Join(given(t).Artifacts, "pid")
	if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}

func TestTellsTheRecord(t *testing.T) {
	t.Attr(report.StepAttr, report.Tell(report.Step{ID: 1, Name: report.StepRestore, Start: time.Now(), Took: time.Second}))
	t.Run("part", func(t *testing.T) {
		t.Attr(report.StateAttr, report.Tell("timers"))
		t.Attr(report.FailureAttr, report.Tell(report.Failure{Seen: "it is gone, with " + os.Getenv("CEDANA_AUTH_TOKEN")}))
		t.Error("failed")
	})
}

func TestIsGreenTheSecondTime(t *testing.T) {
	if !strings.HasSuffix(given(t).Artifacts, filepath.Join("reruns", "2")) {
		t.Error("not yet")
	}
}
