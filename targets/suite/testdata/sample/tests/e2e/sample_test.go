//go:build e2e

// Package e2e is a suite that the tests of package suite run.
package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
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
	dir := filepath.Join(os.Getenv("E2E_ARTIFACTS"), "measured")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "restores.txt"), []byte("WHAT     N  MEDIAN\nrestore  5  1.1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The token in every place where a test could leave it.
func TestLeaksTheToken(t *testing.T) {
	token := os.Getenv("CEDANA_AUTH_TOKEN")
	fmt.Println("printed", token)
	fmt.Fprintln(os.Stderr, "printed", base64.StdEncoding.EncodeToString([]byte(token)))
	path := filepath.Join(os.Getenv("E2E_ARTIFACTS"), "mine.txt")
	if err := os.WriteFile(path, []byte("written "+token), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Errorf("failed with %s", token)
}

func TestPrintsItsEnvironment(t *testing.T) {
	for _, name := range []string{
		"E2E_BACKEND", "CEDANA_URL", "CLUSTER_ID", "E2E_KUBECONFIG", "E2E_KUBECONTEXT", "NAMESPACE", "RUNC_ROOT",
		"E2E_RUN_ID", "E2E_IMAGE_NGINX", "E2E_IMAGE_COUNTER", "E2E_NO_CLUSTER", "E2E_POD_TIMEOUT",
	} {
		t.Logf("%s=%s", name, os.Getenv(name))
	}
}

func TestSleeps(t *testing.T) {
	path := filepath.Join(os.Getenv("E2E_ARTIFACTS"), "pid")
	if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Minute)
}
