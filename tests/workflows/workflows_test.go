package workflows

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rhysd/actionlint"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/mask"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// What this test is told, beside PATH, HOME and the like, DOCKER_HOST and what the Go toolchain reads. Each of the last
// four is a JSON object of texts.
const (
	// guard names the workflows to run, comma-separated.
	guard = "E2E_WORKFLOWS"
	// cacheVariable is an E2E_HOME that stands for what actions/cache has of `.e2e`.
	cacheVariable = "E2E_WORKFLOWS_CACHE"
	// secretsVariable, varsVariable and inputsVariable are what the contexts of these names have. By default they are
	// empty, as in a fork.
	secretsVariable = "E2E_WORKFLOWS_SECRETS"
	varsVariable    = "E2E_WORKFLOWS_VARS"
	inputsVariable  = "E2E_WORKFLOWS_INPUTS"
	// overVariable is put over what the workflow sets, and said: a machine shared with others needs a CLUSTER_NAME, and
	// one without a registry E2E_NODE=source.
	overVariable = "E2E_WORKFLOWS_OVER"
)

func TestEveryStepOfTheWorkflowsInOrder(t *testing.T) {
	if os.Getenv(guard) == "" {
		t.Skipf("runs what GitHub would, whole runs among them: set %s=pr.yml,live.yml,clean.yml (or some of them); %s, %s, %s, %s and %s "+
			"say what GitHub would have", guard, cacheVariable, secretsVariable, varsVariable, inputsVariable, overVariable)
	}
	for name := range strings.SplitSeq(os.Getenv(guard), ",") {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("../../.github/workflows", name))
			require.NoError(t, err)
			workflow, problems := actionlint.Parse(data)
			require.Empty(t, problems)
			run(t, workflow)
		})
	}
}

// runner is one job on one machine, which is this one.
type runner struct {
	*testing.T
	job       *actionlint.Job
	contexts  contexts
	workspace string
	secrets   mask.Mask
	status    status
	report    *[]string
}

// run does the jobs in the order of their needs, each once: of a matrix the first value that fits this machine.
func run(t *testing.T, workflow *actionlint.Workflow) {
	t.Helper()
	secrets := object(t, secretsVariable)
	var known []settings.Secret
	for _, secret := range secrets {
		known = append(known, settings.Secret(text(secret)))
	}
	var report []string
	done := map[string]contexts{}
	failed := map[string]bool{}
	for _, id := range order(t, workflow.Jobs) {
		r := &runner{T: t, job: workflow.Jobs[id], secrets: mask.New(known...), report: &report}
		r.contexts = contexts{
			"secrets": secrets, "vars": object(t, varsVariable), "inputs": object(t, inputsVariable),
			"needs": contexts{}, "steps": contexts{}, "matrix": contexts{}, "strategy": contexts{"job-index": "0"},
		}
		skipped := false
		for _, need := range r.job.Needs {
			needed := strings.ToLower(need.Value)
			r.contexts["needs"].(contexts)[needed] = done[needed]
			r.status.failed = r.status.failed || failed[needed]
			skipped = skipped || done[needed] == nil
		}
		want, err := holds(r.job.If, r.contexts, r.status)
		require.NoError(t, err, "if of job %s", id)
		if !want || skipped {
			r.say("job %s: not run: its `if` is false (%s)", id, condition(r.job.If))
			continue
		}
		r.steps(id)
		failed[id] = r.status.failed
		r.status = status{}
		outputs := contexts{}
		for name, output := range r.job.Outputs {
			outputs[name] = r.fill(output.Value)
		}
		done[id] = contexts{"outputs": outputs}
	}
	t.Logf("what was run:\n%s", strings.Join(report, "\n"))
	for id, bad := range failed {
		require.False(t, bad, "job %s failed", id)
	}
}

// order puts each job behind those that it needs.
func order(t *testing.T, jobs map[string]*actionlint.Job) []string {
	t.Helper()
	var out []string
	for len(out) < len(jobs) {
		before := len(out)
		for _, id := range sortedKeys(jobs) {
			ready := !slices.ContainsFunc(jobs[id].Needs, func(n *actionlint.String) bool { return !slices.Contains(out, strings.ToLower(n.Value)) })
			if ready && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		require.Greater(t, len(out), before, "jobs that need each other")
	}
	return out
}

func (r *runner) steps(id string) {
	r.Helper()
	r.workspace = clone(r.T)
	r.contexts["github"] = contexts{"workspace": r.workspace, "workflow": "local", "ref": "refs/heads/local", "run_id": "1", "run_attempt": "1"}
	r.matrix()
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(r.job.TimeoutMinutes.Value*float64(time.Minute)))
	defer cancel()
	r.say("job %s: in a fresh clone, for at most %v minutes", id, r.job.TimeoutMinutes.Value)
	for _, step := range r.job.Steps {
		if action, ok := step.Exec.(*actionlint.ExecAction); ok {
			r.action(action)
			continue
		}
		script := step.Exec.(*actionlint.ExecRun).Run.Value
		want, err := holds(step.If, r.contexts, r.status)
		require.NoError(r, err, script)
		if !want {
			r.say("  run: %s: not run: its `if` is false (%s)", script, condition(step.If))
			continue
		}
		begin := time.Now()
		err = r.shell(ctx, step, r.fill(&actionlint.String{Value: script}))
		r.say("  run: %s: %s, %v", script, verdict(err), time.Since(begin).Round(time.Second))
		if err != nil {
			r.status.failed = true
		}
	}
}

func verdict(err error) string {
	if err == nil {
		return "ok"
	}
	return "FAILED: " + err.Error()
}

// matrix takes the first value of each row that fits this machine.
func (r *runner) matrix() {
	r.Helper()
	if r.job.Strategy == nil || r.job.Strategy.Matrix == nil {
		return
	}
	for name, row := range r.job.Strategy.Matrix.Rows {
		var all []string
		for _, value := range row.Values {
			all = append(all, value.(*actionlint.RawYAMLString).Value)
		}
		taken := all[0]
		if name == "runner" {
			at := slices.IndexFunc(all, func(label string) bool { return strings.HasSuffix(label, "-arm") == (runtime.GOARCH == "arm64") })
			require.GreaterOrEqual(r, at, 0, "a runner of this machine's architecture, %s, among %v", runtime.GOARCH, all)
			taken = all[at]
		}
		r.contexts["matrix"].(contexts)[name] = taken
		r.say("  matrix.%s: %s, of %s", name, taken, strings.Join(all, ", "))
	}
}

// action stands for the few actions that have something to do here, and names all.
func (r *runner) action(action *actionlint.ExecAction) {
	r.Helper()
	name, _, _ := strings.Cut(action.Uses.Value, "@")
	switch cache := os.Getenv(cacheVariable); {
	case name == "actions/cache" && cache != "":
		for path := range strings.FieldsSeq(r.fill(action.Inputs["path"].Value)) {
			below, ok := strings.CutPrefix(path, ".e2e/")
			require.True(r, ok, "%s is not below the job's E2E_HOME", path)
			to := filepath.Join(r.workspace, path)
			require.NoError(r, os.MkdirAll(filepath.Dir(to), 0o755))
			// Hard links: what is written anew is another file.
			out, err := exec.CommandContext(r.Context(), "cp", "-al", filepath.Join(cache, below), to).CombinedOutput()
			require.NoError(r, err, "%s", out)
		}
		r.say("  uses: %s: a hit, from %s", name, cacheVariable)
	case name == "actions/checkout":
		r.say("  uses: %s: a clone of what is committed", name)
	default:
		r.say("  uses: %s: cannot be run here", name)
	}
}

// shell runs a script as GitHub does.
func (r *runner) shell(ctx context.Context, step *actionlint.Step, script string) error {
	r.Helper()
	output := filepath.Join(r.TempDir(), "output")
	require.NoError(r, os.WriteFile(output, nil, 0o600))
	cmd := exec.CommandContext(ctx, "bash", "-e", "-c", script)
	cmd.Dir = r.workspace
	cmd.Env = append(machine(), "CI=true", "GITHUB_ACTIONS=true", "GITHUB_OUTPUT="+output, "GITHUB_STEP_SUMMARY="+filepath.Join(r.TempDir(), "summary"))
	for _, env := range []*actionlint.Env{r.job.Env, step.Env} {
		if env == nil {
			continue
		}
		for _, v := range env.Vars {
			cmd.Env = append(cmd.Env, v.Name.Value+"="+r.fill(v.Value))
		}
	}
	over := object(r.T, overVariable)
	for _, name := range sortedKeys(over) {
		cmd.Env = append(cmd.Env, name+"="+text(over[name]))
		r.say("  here %s=%s", name, text(over[name]))
	}
	// The script is a process group of its own, so that a job that is over leaves nothing running.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	masked := r.secrets.Writer(os.Stderr)
	cmd.Stdout, cmd.Stderr = masked, masked
	err := cmd.Run()
	require.NoError(r, masked.Close())
	data, readErr := os.ReadFile(output)
	require.NoError(r, readErr)
	if step.ID != nil {
		outputs := contexts{}
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				outputs[strings.ToLower(name)] = value
			}
		}
		r.contexts["steps"].(contexts)[strings.ToLower(step.ID.Value)] = contexts{"outputs": outputs}
	}
	return err
}

func (r *runner) fill(in *actionlint.String) string {
	r.Helper()
	out, err := fill(in.Value, r.contexts, r.status)
	require.NoError(r, err, in.Value)
	return out
}

func (r *runner) say(format string, args ...any) {
	line := r.secrets.Text(fmt.Sprintf(format, args...))
	if !slices.Contains(*r.report, line) {
		*r.report = append(*r.report, line)
	}
	fmt.Fprintln(os.Stderr, "▶ "+line)
}

// machine is what a fresh machine has in its environment: none of this project's variables.
func machine() []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "TMPDIR", "XDG_CACHE_HOME", "DOCKER_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		if value, ok := os.LookupEnv(name); ok {
			out = append(out, name+"="+value)
		}
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "GO") {
			out = append(out, variable)
		}
	}
	return out
}

// clone is a checkout of what is committed.
func clone(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "cedana-e2e")
	out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", "--no-hardlinks", "../..", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// object is a variable's JSON object, with lower-case names for expressions unless it is for a process.
func object(t *testing.T, variable string) contexts {
	t.Helper()
	var raw map[string]string
	require.NoError(t, json.Unmarshal([]byte(cmp.Or(os.Getenv(variable), "{}")), &raw), variable)
	out := contexts{}
	for name, value := range raw {
		if variable != overVariable {
			name = strings.ToLower(name)
		}
		out[name] = value
	}
	return out
}

func condition(of *actionlint.String) string {
	if of == nil {
		return "success()"
	}
	return of.Value
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
