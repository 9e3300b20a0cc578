package quality

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// workflow is as much of a GitHub workflow as has rules here.
type workflow struct {
	Permissions map[string]string
	Concurrency struct{ Group string }
	Jobs        map[string]struct {
		TimeoutMinutes int               `yaml:"timeout-minutes"`
		Permissions    map[string]string `yaml:"permissions"`
		Env            map[string]string
		Steps          []struct {
			Uses, Run, If string
			Env           map[string]string
			With          map[string]any
		}
	}
}

func workflows(t *testing.T) map[string]workflow {
	t.Helper()
	files, err := filepath.Glob("../../../.github/workflows/*.yml")
	require.NoError(t, err)
	found := map[string]workflow{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var w workflow
		require.NoError(t, yaml.Unmarshal(text, &w), file)
		require.NotEmpty(t, w.Jobs, file)
		found[filepath.Base(file)] = w
	}
	for _, name := range []string{"pr.yml", "live.yml", "clean.yml"} {
		require.Contains(t, found, name)
	}
	return found
}

// mageTargets are the targets that the magefile has, as they are called on the command line.
func mageTargets(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../../magefile.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	found := map[string]bool{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.IsExported() {
			found[strings.ToLower(f.Name.Name)] = true
		}
	}
	require.Contains(t, found, "e2e")
	return found
}

var (
	mageRun = regexp.MustCompile(`^go tool mage (?:vm )?([A-Za-z0-9]+)$`)
	pinned  = regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40}$`)
)

func TestEveryStepOfAWorkflowIsATargetOrAPinnedAction(t *testing.T) {
	t.Parallel()
	targets := mageTargets(t)
	versions := map[string]string{}
	for file, w := range workflows(t) {
		for job, j := range w.Jobs {
			require.NotEmpty(t, j.Steps, "%s: %s", file, job)
			for _, step := range j.Steps {
				if step.Run != "" {
					match := mageRun.FindStringSubmatch(strings.TrimSpace(step.Run))
					require.NotNil(t, match, "%s: %s: %q is no `go tool mage <target>`", file, job, step.Run)
					require.True(t, targets[strings.ToLower(match[1])], "%s: %s: there is no target %s", file, job, match[1])
					continue
				}
				require.Regexp(t, pinned, step.Uses, "%s: %s", file, job)
				action, commit, _ := strings.Cut(step.Uses, "@")
				require.Equal(t, commit, first(versions, action, commit), "%s: %s: %s has another commit elsewhere", file, job, action)
			}
		}
	}
}

// first is the value that was put under the key first.
func first(m map[string]string, key, value string) string {
	if have, ok := m[key]; ok {
		return have
	}
	m[key] = value
	return value
}

// Left in the clone's configuration, the token could be read by every program that a later step compiles and runs.
func TestACheckoutKeepsNoCredentials(t *testing.T) {
	t.Parallel()
	for file, w := range workflows(t) {
		for job, j := range w.Jobs {
			for _, step := range j.Steps {
				if strings.HasPrefix(step.Uses, "actions/checkout@") {
					require.Equal(t, false, step.With["persist-credentials"], "%s: %s: persist-credentials", file, job)
				}
			}
		}
	}
}

func TestAWorkflowMayReadAndIsAlone(t *testing.T) {
	t.Parallel()
	for file, w := range workflows(t) {
		require.Equal(t, map[string]string{"contents": "read"}, w.Permissions, file)
		require.NotEmpty(t, w.Concurrency.Group, file)
		for job, j := range w.Jobs {
			require.Empty(t, j.Permissions, "%s: %s has permissions of its own", file, job)
		}
	}
}

// coldCompile is what the targets take to compile with nothing in the caches, on a runner of two cores; it is in no
// target's deadline.
const coldCompile = 15 * time.Minute

// A job that ends before its targets' own deadlines would be killed without a message and without its clean-up.
func TestAJobOutlivesItsTargets(t *testing.T) {
	deadlines := []string{"E2E_CLUSTER_TIMEOUT", "E2E_DEPLOY_TIMEOUT", "E2E_SUITE_TIMEOUT", "E2E_CLEAN_TIMEOUT"}
	for file, w := range workflows(t) {
		for job, j := range w.Jobs {
			require.Positive(t, j.TimeoutMinutes, "%s: %s has no timeout-minutes", file, job)
			for _, name := range deadlines {
				t.Setenv(name, j.Env[name])
			}
			s, err := settings.Load()
			require.NoError(t, err)
			own := map[string]time.Duration{
				"e2e":   s.Cluster.Timeout + s.Deploy.Timeout + s.Suite.Timeout,
				"clean": s.Cleanup.Timeout, "doctor": settings.DoctorTimeout, "sweep": settings.SweepTimeout,
			}
			sum := coldCompile
			for _, step := range j.Steps {
				if match := mageRun.FindStringSubmatch(strings.TrimSpace(step.Run)); match != nil {
					sum += own[match[1]]
				}
			}
			require.Greater(t, time.Duration(j.TimeoutMinutes)*time.Minute, sum, "%s: %s: the deadlines of its targets", file, job)
		}
	}
}

// Whatever happened before, what a run made is removed and what it tells is kept.
func TestARunIsAlwaysCleanedAndKept(t *testing.T) {
	t.Parallel()
	for file, w := range workflows(t) {
		for job, j := range w.Jobs {
			runs := map[string]string{}
			upload := ""
			for _, step := range j.Steps {
				if step.Run != "" {
					runs[strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(step.Run), "go tool mage "), "vm ")] = step.If
				}
				if strings.HasPrefix(step.Uses, "actions/upload-artifact@") {
					upload = step.If
				}
			}
			if _, ok := runs["e2e"]; !ok {
				continue
			}
			require.Equal(t, "always()", runs["clean"], "%s: %s: clean", file, job)
			require.Equal(t, "always()", upload, "%s: %s: upload of the artifacts", file, job)
		}
	}
}

// A fork has no secrets, and its pull request must not see any.
func TestAPullRequestUsesNoSecret(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../.github/workflows/pr.yml")
	require.NoError(t, err)
	require.NotContains(t, string(text), "secrets.")
	require.NotContains(t, string(text), "pull_request_target")
}

// A secret is given to the step that needs it, not to every action of its job.
func TestSecretsAreGivenToStepsOnly(t *testing.T) {
	t.Parallel()
	for file, w := range workflows(t) {
		for job, j := range w.Jobs {
			for name, value := range j.Env {
				require.NotContains(t, value, "secrets.", "%s: %s: %s", file, job, name)
			}
			for _, step := range j.Steps {
				for name, value := range step.Env {
					require.False(t, step.Uses != "" && strings.Contains(value, "secrets."), "%s: %s: %s is given to %s", file, job, name, step.Uses)
				}
			}
		}
	}
}
