package kills

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/build/gobuild"
	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/settings"
)

const (
	// guard is the number of kills.
	guard = "E2E_KILLS"
	// over is how long after the kill the last process of the run may be there.
	over = 5 * time.Second
	// longest is the latest moment of a kill. A run in place takes less, one from no cluster about that.
	longest = 45 * time.Second
	// mark, in the environment, tells the processes of one run from all others.
	mark = "E2E_KILLS_MARK"
)

// kill is one way to end a run.
type kill struct {
	signal syscall.Signal
	// group is whether the signal goes to the whole process group, as Ctrl-C and CI's do, or to `go tool` alone.
	group bool
	after time.Duration
}

func (k kill) String() string {
	to := "the top process"
	if k.group {
		to = "the process group"
	}
	return fmt.Sprintf("%s to %s after %s", k.signal, to, k.after.Round(10*time.Millisecond))
}

func plan(seed uint64, n int) []kill {
	random := rand.New(rand.NewPCG(seed, 0))
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT}
	kills := make([]kill, n)
	for i := range kills {
		// Each signal in each way as often as the others, whatever the moments are.
		kills[i] = kill{signals[i%3], i/3%2 == 0, time.Duration(random.Int64N(int64(longest)))}
	}
	return kills
}

func TestKilledRunsAreRedOverAndLeaveNothing(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(guard))
	if err != nil || n < 1 {
		t.Skipf("kills runs and cleans this machine: set %s to the number of kills, 30 for one", guard)
	}
	seed := rand.Uint64()
	if text := os.Getenv("SEED"); text != "" {
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "SEED")
	}
	t.Logf("SEED=%d", seed)
	root, err := gobuild.Root()
	require.NoError(t, err)
	home, err := settings.HomeDir(os.Getenv("E2E_HOME"))
	require.NoError(t, err)
	c := &campaign{root: root, home: home, cluster: fmt.Sprintf("e2e-kills-%d", os.Getpid())}
	// What has to be compiled is compiled, and the engine runs, before the first kill.
	out, err := c.mage(t.Context(), "cluster")
	require.NoError(t, err, out)
	for i, k := range plan(seed, n) {
		t.Run(strconv.Itoa(i+1), func(t *testing.T) { c.kill(t, k) })
	}
}

type campaign struct{ root, home, cluster string }

func (c *campaign) command(ctx context.Context, target string, env ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, "go", "tool", "mage", target)
	cmd.Dir = c.root
	cmd.Env = append(append(os.Environ(), "CLUSTER_NAME="+c.cluster, "E2E_BACKEND=local", "SEED="), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

func (c *campaign) mage(ctx context.Context, target string, env ...string) (string, error) {
	cmd, out := c.command(ctx, target, env...)
	err := cmd.Run()
	return out.String(), err
}

// kill begins a run, ends it, and looks what is left.
func (c *campaign) kill(t *testing.T, k kill) {
	marked := fmt.Sprintf("%s=%d-%s", mark, os.Getpid(), t.Name())
	cmd, _ := c.command(t.Context(), "e2e", marked, "E2E_ARTIFACTS="+t.TempDir())
	// A file: a pipe would be held open by whatever outlives the run, and waited for.
	log, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	var early bool
	select {
	case err := <-ended:
		require.NoError(t, err, output(t, log))
		early = true
	case <-time.After(k.after):
		target := cmd.Process.Pid
		if k.group {
			target = -target
		}
		require.NoError(t, syscall.Kill(target, k.signal))
	}
	killed := time.Now()
	if !early {
		select {
		case err := <-ended:
			require.Error(t, err, "%s: the run is green", k)
		case <-time.After(time.Minute):
			t.Fatalf("%s: go tool mage does not end", k)
		}
	}
	back := time.Since(killed)
	var gone time.Duration
	for {
		left := processes(t, marked)
		if gone = time.Since(killed); len(left) == 0 {
			break
		}
		require.Less(t, gone, time.Minute, "%s: %v still run", k, left)
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: ended by itself before: %t, prompt back after %s, last process gone after %s", k, early, back.Round(time.Millisecond), gone.Round(time.Millisecond))
	require.LessOrEqual(t, gone, over, "%s: the run goes on\n%s", k, output(t, log))

	out, err := c.mage(t.Context(), "clean")
	require.NoError(t, err, "%s: clean: %s\n%s", k, out, output(t, log))
	c.requireNothing(t, k)
}

// requireNothing looks for the cluster's things in the engine and in the home directory, and for generated files in the clone.
func (c *campaign) requireNothing(t *testing.T, k kill) {
	t.Helper()
	e, err := engine.Find(t.Context(), engine.Options{Home: c.home})
	require.NoError(t, err)
	api, err := e.Client()
	require.NoError(t, err)
	defer api.Close()
	for _, want := range []filters.Args{
		filters.NewArgs(filters.Arg("label", settings.DockerLabel+"=true"), filters.Arg("label", settings.DockerLabelOwner+"="+settings.OwnerOf(c.home))),
		filters.NewArgs(filters.Arg("name", c.cluster)), // without labels too
	} {
		left, err := docker.List(t.Context(), api, want)
		require.NoError(t, err)
		require.Empty(t, left, "%s", k)
	}
	require.NoDirExists(t, filepath.Join(c.home, "clusters", c.cluster), "%s", k)
	require.NoFileExists(t, filepath.Join(c.root, "mage_output_file.go"), "%s", k)
}

// processes are the ids of the living processes that have the mark.
func processes(t *testing.T, marked string) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err == nil && strings.Contains("\x00"+string(env), "\x00"+marked+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func output(t *testing.T, log *os.File) string {
	t.Helper()
	text, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	return string(text)
}

func TestAPlanHasEachSignalInEachWay(t *testing.T) {
	t.Parallel()
	have := map[string]int{}
	for _, k := range plan(1, 30) {
		require.Less(t, k.after, longest)
		have[fmt.Sprint(k.signal, k.group)]++
	}
	require.Len(t, have, 6)
	for way, n := range have {
		require.Equal(t, 5, n, way)
	}
	first := plan(7, 30)
	require.Equal(t, first, plan(7, 30), "a seed plays a campaign again")
}
