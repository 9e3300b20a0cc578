// Package environment is what the suite is told by the target that runs it: the cluster, the propagator, the images.
package environment

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Environment is what the file says, with the token.
type Environment struct {
	settings.TestFile
	Token settings.Secret
}

// Group is a set of tests that are run together; SUITE names one.
type Group = settings.Group

// The groups, as tests name them.
const (
	Smoke   = settings.Smoke
	Full    = settings.Full
	Chaos   = settings.Chaos
	Measure = settings.Measure
	Bench   = settings.Bench
	TryPods = settings.TryPods

	Workloads = settings.Workloads
)

// Remedy is the command that sets all of this.
const Remedy = "go tool mage e2e"

// Load reads the file that E2E_TEST_SETTINGS names, and without it the one that the last run with CLUSTER_NAME has left:
// so `go test -tags e2e ./tests/e2e -run X` goes on with its cluster. This process's limits are stretched as it says. The
// error names the command that makes the file.
func Load() (*Environment, error) { return load(os.Getenv) }

func load(getenv func(string) string) (*Environment, error) {
	path, err := file(getenv)
	if err != nil {
		return nil, fmt.Errorf("find the tests' settings: %w", err)
	}
	e := &Environment{}
	if e.TestFile, err = settings.ReadTestFile(path); err != nil {
		return nil, fmt.Errorf("%w; the suite runs against a cluster with Cedana in it, which `%s` sets up: run that first", err, Remedy)
	}
	stretch.Set(e.TimeoutScale)
	if e.Token, err = token(e.TestFile, settings.Secret(getenv("CEDANA_AUTH_TOKEN"))); err != nil {
		return nil, fmt.Errorf("find the propagator's token: %w", err)
	}
	return e, nil
}

func file(getenv func(string) string) (string, error) {
	if path := getenv(settings.TestFileVariable); path != "" {
		return path, nil
	}
	home, err := settings.HomeDir(getenv("E2E_HOME"))
	if err != nil {
		return "", err
	}
	run := settings.Run{Home: home, ClusterName: cmp.Or(getenv("CLUSTER_NAME"), settings.DefaultClusterName)}
	return filepath.Join(run.ClusterDir(), settings.TestFileName), nil
}

// token is the local propagator's own where that is remembered: a live one in a shell is not meant for it.
func token(f settings.TestFile, given settings.Secret) (settings.Secret, error) {
	if f.StateFile != "" {
		st, err := state.Load(filepath.Dir(f.StateFile))
		if err == nil && st.Token.Set() {
			return st.Token.Secret, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if !given.Set() {
		return "", fmt.Errorf("CEDANA_AUTH_TOKEN is not set, and the %s backend at %s wants one", f.Backend, f.URL)
	}
	return given, nil
}

// NamespaceFor is the name of a test's namespace: the prefix, the test and the run, within a namespace's 63 characters.
// nth is above 1 when the same test runs again in the same run.
func (e *Environment) NamespaceFor(test string, nth int) string {
	end := "-" + e.RunID
	if nth > 1 {
		end += "-" + strconv.Itoa(nth)
	}
	middle := strings.Trim(notInLabel.ReplaceAllString(strings.ToLower(test), "-"), "-")
	if room := 63 - len(e.Namespace) - 1 - len(end); len(middle) > room {
		middle = strings.TrimRight(middle[:room], "-")
	}
	return e.Namespace + "-" + middle + end
}

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)
