package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
	"github.com/cedana/cedana-e2e/targets/local/standin/work"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// createLine is how containerd's shim calls runc.
const createLine = "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /tmp/pty.sock --no-new-keyring abc"

func TestCommandLinesOfContainerdAreUnderstood(t *testing.T) {
	t.Parallel()
	in := parse(strings.Fields(createLine))
	require.Equal(t, "create", in.Command)
	require.Equal(t, "abc", in.ID)
	require.Equal(t, "/b", in.bundle())
	require.Equal(t, "/b/log.json", in.Flags["log"])
	require.Equal(t, strings.Fields("--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup"), in.Globals)

	in = parse(strings.Fields("--root=/r --debug start abc"))
	require.Equal(t, "start", in.Command)
	require.Equal(t, "abc", in.ID)
	require.Equal(t, []string{"--root=/r", "--debug"}, in.Globals)
	require.Equal(t, "/r", in.Flags["root"])

	in = parse(strings.Fields("create -b /x -pid-file=/p abc"))
	require.Equal(t, "/x", in.bundle())
	require.Equal(t, "/p", in.Flags["pid-file"])
	require.Equal(t, ".", parse([]string{"create", "abc"}).bundle())
	require.Empty(t, parse([]string{"--version"}).Command)
	require.Empty(t, parse(nil).Command)
}

func TestCreateBecomesRestoreInTheSamePlace(t *testing.T) {
	t.Parallel()
	got := strings.Join(restoreArguments(parse(strings.Fields(createLine)), Target{Bundle: "/b"}, "/images", "/work"), " ")
	require.Equal(t, "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup "+
		"restore --detach --bundle /b --image-path /images --work-path /work --file-locks --ext-unix-sk --manage-cgroups-mode ignore "+
		"--pid-file /b/init.pid --console-socket /tmp/pty.sock abc", got)
	require.NotContains(t, got, "tcp-established")
}

// A restore that hangs ends when the run's time for it does, and says which variable decides it.
func TestARestoreIsGivenTheTimeThatTheNodeIsConfiguredWith(t *testing.T) {
	t.Parallel()
	ctx, cancel := within(t.Context(), layout.Config{RestoreTimeout: settings.Duration{Duration: 5 * time.Minute}})
	defer cancel()
	deadline, _ := ctx.Deadline()
	require.WithinDuration(t, time.Now().Add(5*time.Minute), deadline, time.Minute)
	ctx, cancel = within(t.Context(), layout.Config{RestoreTimeout: settings.Duration{Duration: time.Millisecond}})
	defer cancel()
	<-ctx.Done()
	require.EqualError(t, context.Cause(ctx), "not done after 1ms (E2E_RESTORE_TIMEOUT)")
}

func restored(changes map[string]string) map[string]string {
	all := map[string]string{
		bundle.AnnotationType: bundle.TypeContainer, bundle.AnnotationName: "web", bundle.AnnotationPodUID: "uid-1",
		work.AnnotationCheckpoint: "checkpoint-1", work.AnnotationRestore: "restore-1",
	}
	for k, v := range changes {
		all[k] = v
	}
	return all
}

func TestOnlyContainersThatNameACheckpointAreRestored(t *testing.T) {
	t.Parallel()
	dir := writeBundle(t, restored(nil))
	got, err := readTarget(dir)
	require.NoError(t, err)
	require.Equal(t, &Target{
		Container: "web", PodUID: "uid-1", Checkpoint: "checkpoint-1", Restore: "restore-1", Bundle: dir, Rootfs: dir + "/rootfs",
		Annotations: restored(nil),
	}, got)

	for name, changes := range map[string]map[string]string{
		"an ordinary container": {work.AnnotationCheckpoint: ""},
		"the pod's sandbox":     {bundle.AnnotationType: "sandbox"},
	} {
		got, err := readTarget(writeBundle(t, restored(changes)))
		require.NoError(t, err)
		require.Nil(t, got, name)
	}
}

func TestBadBundlesAreErrors(t *testing.T) {
	t.Parallel()
	_, err := readTarget(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = readTarget(writeBundle(t, restored(map[string]string{bundle.AnnotationPodUID: "../../etc"})))
	require.ErrorContains(t, err, "../../etc")
}

func TestStartIsSwallowedOnceAfterARestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "abc"), nil, 0o600))
	for _, want := range []bool{true, false} {
		swallowed, err := swallowStart(dir, "abc")
		require.NoError(t, err)
		require.Equal(t, want, swallowed)
	}
	swallowed, err := swallowStart(dir, "../abc")
	require.NoError(t, err)
	require.False(t, swallowed)
}

func TestErrorsAreWhereContainerdLooksForThem(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "log.json")
	require.NoError(t, os.WriteFile(log, []byte(`{"level":"error","msg":"criu failed"}`+"\n"), 0o600))
	reason := errors.New(`CRIU said "no"`)
	require.ErrorIs(t, fail(Invocation{Flags: map[string]string{"log": log}}, reason), reason)
	data, err := os.ReadFile(log)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, lines, 2, "the shim reads the last line")
	var last struct{ Level, Msg string }
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &last))
	require.Equal(t, "error", last.Level)
	require.Equal(t, `CRIU said "no"`, last.Msg)
	require.NoError(t, fail(Invocation{Flags: map[string]string{"log": log}}, nil))
}

func TestWhatIsDoneOncePerPodIsNotDoneAgain(t *testing.T) {
	t.Parallel()
	m := markers{filepath.Join(t.TempDir(), "uid")}
	done := 0
	work := func() error { done++; return nil }
	require.Error(t, m.once(kindVolume, "data", func() error { return errors.New("disk full") }))
	require.NoError(t, m.once(kindVolume, "data", work), "a failure is no marker")
	require.NoError(t, m.once(kindVolume, "data", work))
	require.NoError(t, m.once(kindVolume, "other", work))
	require.Equal(t, 2, done)
	require.NoError(t, m.set(kindFailed, "web", "the reason"))
	reason, there, err := m.has(kindFailed, "web")
	require.NoError(t, err)
	require.True(t, there)
	require.Equal(t, "the reason", reason)
	_, there, err = m.has(kindContainer, "web")
	require.NoError(t, err)
	require.False(t, there)
}
