package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func privateOptions(t *testing.T) Options {
	t.Helper()
	o, err := testOptions(t, "").complete()
	require.NoError(t, err)
	return o
}

func TestProcessesAreKnownByTheirMarkNotByTheirPid(t *testing.T) {
	t.Parallel()
	o := privateOptions(t)
	start := func(env ...string) int {
		cmd := exec.Command("sleep", "60")
		cmd.Env = append(os.Environ(), env...)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		// Start returns when exec has closed the parent's pipe, a moment before the kernel sets up the environment.
		environ := fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid)
		require.Eventually(t, func() bool {
			env, err := os.ReadFile(environ)
			return err == nil && len(env) > 0
		}, 10*time.Second, time.Millisecond)
		return cmd.Process.Pid
	}
	ours, other, foreign := start(mark(o.RunDir)), start(mark(o.RunDir+"-other")), start()
	assert.True(t, isOurs(ours, o.RunDir, "sleep"))
	assert.False(t, isOurs(ours, o.RunDir, "dockerd"))
	assert.False(t, isOurs(0, o.RunDir, "sleep"))
	pids, err := markedProcesses(o.RunDir)
	require.NoError(t, err)
	assert.Equal(t, []int{ours}, pids)

	require.NoError(t, terminate(t.Context(), o, "sleep", time.Second))
	assert.False(t, marked(ours, o.RunDir))
	assert.Equal(t, "sleep", commandOf(other), "another private engine's process must live")
	assert.Equal(t, "sleep", commandOf(foreign))
}

func TestDaemonsGetNoSecrets(t *testing.T) {
	t.Parallel()
	env := daemonEnvironment("/run/x", []string{"CEDANA_AUTH_TOKEN=secret", "DOCKER_HOST=tcp://x", "HTTPS_PROXY=http://p", "HOME=/root"})
	assert.Contains(t, env, "HTTPS_PROXY=http://p")
	assert.Contains(t, env, mark("/run/x"))
	assert.NotContains(t, env, "CEDANA_AUTH_TOKEN=secret")
	assert.NotContains(t, env, "DOCKER_HOST=tcp://x")
}

func TestTheEngineSharesNothingWithAnother(t *testing.T) {
	t.Parallel()
	o := privateOptions(t)
	o.Progress = console.Quiet{}
	data, err := dockerdConfig(t.Context(), o, "/c.sock", netip.MustParsePrefix("10.213.0.0/16"))
	require.NoError(t, err)
	var dockerd map[string]any
	require.NoError(t, json.Unmarshal(data, &dockerd))
	for key, want := range map[string]any{
		"iptables": false, "ip6tables": false, "ip-masq": false, "live-restore": true, "containerd": "/c.sock",
		"bridge": instance(o.RunDir), "data-root": o.dir("data"), "exec-root": o.RunDir + "/exec", "pidfile": o.RunDir + "/docker.pid",
	} {
		assert.Equal(t, want, dockerd[key], key)
	}
	assert.Equal(t, []any{o.privateHost()}, dockerd["hosts"])

	var containerd map[string]any
	require.NoError(t, toml.Unmarshal(containerdConfig(o, o.RunDir+"/containerd/containerd.sock"), &containerd))
	assert.Equal(t, o.dir("containerd"), containerd["root"])
	assert.Equal(t, o.RunDir+"/containerd", containerd["state"])
}

func TestOnlyWhatIsTheEnginesIsRemovedFromTheRunDirectory(t *testing.T) {
	t.Parallel()
	o := privateOptions(t)
	require.NoError(t, os.MkdirAll(filepath.Join(o.RunDir, "exec", "netns"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(o.RunDir, "other"), nil, 0o644))
	require.ErrorContains(t, removeRunDir(o), "not empty")
	assert.FileExists(t, filepath.Join(o.RunDir, "other"))
	assert.NoDirExists(t, filepath.Join(o.RunDir, "exec"))
	require.NoError(t, os.Remove(filepath.Join(o.RunDir, "other")))
	require.NoError(t, removeRunDir(o))
	assert.NoDirExists(t, o.RunDir)
}

func TestPoolsAreRememberedWithTheData(t *testing.T) {
	t.Parallel()
	o := privateOptions(t)
	assert.Empty(t, recallPools(o))
	require.NoError(t, rememberPool(o, pools[1]))
	require.NoError(t, rememberPool(o, pools[0]))
	require.NoError(t, rememberPool(o, pools[0]))
	assert.Equal(t, []netip.Prefix{pools[0], pools[1]}, recallPools(o))
	require.NoError(t, os.WriteFile(o.dir("pools"), []byte("0.0.0.0/0\n"), 0o644))
	assert.Empty(t, recallPools(o), "a pool is one of ours or none")
}

func TestDebianAndItsKinAreKnown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n":                true,
		"PRETTY_NAME=\"Ubuntu 24.04\"\nID=ubuntu\n":                       true,
		"PRETTY_NAME=\"Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n": true,
		"PRETTY_NAME=\"Fedora 42\"\nID=fedora\n":                          false,
		"":                                                                false,
	} {
		_, ok := debianLike(text)
		assert.Equal(t, want, ok, text)
	}
	name, _ := debianLike("PRETTY_NAME=\"Fedora 42\"\nID=fedora\n")
	assert.Equal(t, "Fedora 42", name)
}

func TestProgramsOfAdministratorsAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text"), nil, 0o644))
	found, err := lookIn("relative:"+dir, "tool")
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "tool"), found)
	_, err = lookIn(dir, "text")
	require.ErrorContains(t, err, "text")
	assert.Contains(t, searchPath("/bin"), "/usr/sbin")
	assert.NotContains(t, ":"+searchPath("")+":", "::", "an empty entry would mean the current directory")
}

func TestFreeSpaceIsThatOfWhereADirectoryWillBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want, err := freeSpace(dir)
	require.NoError(t, err)
	got, err := freeSpace(filepath.Join(dir, "not", "there"))
	require.NoError(t, err)
	assert.InDelta(t, want, got, 1<<30)
}

func TestAptsComplaintsAreKept(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "W: Failed to fetch x\nE: no", complaints([]byte("Get:1 y\nW: Failed to fetch x\nReading\nE: no\n")))
	assert.Empty(t, complaints([]byte("Get:1 y\n")))
}

// The socket's path is the same for all E2E_HOMEs: who finds an engine there need not have started it.
func TestALivingEngineOfAnotherOwnerIsLeft(t *testing.T) {
	t.Parallel()
	o := privateOptions(t)
	other := t.TempDir()
	require.NoError(t, settings.KeepOwner(other))
	require.NoError(t, os.MkdirAll(filepath.Join(other, "engine", "data"), 0o700))
	require.NoError(t, os.MkdirAll(o.dir("data"), 0o700))
	require.NoError(t, o.writeState(state{Home: other, Owner: settings.OwnerOf(other)}))
	cmd := exec.Command("sleep", "60")
	cmd.Env = append(os.Environ(), mark(o.RunDir))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool { return marked(cmd.Process.Pid, o.RunDir) }, 10*time.Second, time.Millisecond)

	removed, err := Stop(t.Context(), o)
	require.NoError(t, err)
	assert.True(t, marked(cmd.Process.Pid, o.RunDir), "its processes live")
	assert.FileExists(t, o.stateFile())
	assert.DirExists(t, filepath.Join(other, "engine", "data"))
	assert.Equal(t, []string{"the private engine's data " + o.dir()}, removed, "what is named is what went")

	_, s, err := running(t.Context(), o)
	require.Error(t, err)
	assert.True(t, o.anothers(s))
	assert.False(t, o.anothers(state{Home: o.Home}))
	assert.False(t, o.anothers(state{}))
	require.NoError(t, os.RemoveAll(filepath.Join(other, "engine")))
	assert.False(t, o.anothers(s), "without its data nobody wants it back")
}

// Who is not root may not look into root's processes.
func TestALivingEngineIsNotGoneForWhoMayNotSeeIt(t *testing.T) {
	t.Parallel()
	hidden := &os.PathError{Op: "open", Path: "/proc/7/environ", Err: os.ErrPermission}
	require.ErrorContains(t, missing("containerd", 7, "containerd", hidden), "only root may use it")
	for _, err := range []error{missing("containerd", 7, "bash", hidden), missing("containerd", 7, "", os.ErrNotExist), missing("containerd", 7, "containerd", nil)} {
		require.ErrorContains(t, err, "its containerd (pid 7) is gone")
		require.ErrorContains(t, err, "go tool mage cluster")
	}
	_, _, err := running(t.Context(), privateOptions(t))
	require.ErrorContains(t, err, "does not run (next: `go tool mage cluster`")
}
