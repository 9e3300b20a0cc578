package runtimefault

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/bundle"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault"
	"github.com/cedana/cedana-e2e/targets/local/standin/fault/relay"
	"github.com/cedana/cedana-e2e/targets/local/standin/runtime"
	"github.com/cedana/cedana-e2e/targets/propagator/propagatortest"
)

// running adds a container with a configuration to a runc root.
func running(t *testing.T, root string, pid int, config specs.Spec) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(path string, v any) {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	write(filepath.Join(dir, "config.json"), config)
	state, err := os.MkdirTemp(root, "container-")
	require.NoError(t, err)
	write(filepath.Join(state, "state.json"), map[string]any{"init_process_pid": pid, "config": map[string]any{"labels": []string{"bundle=" + dir}}})
	return dir
}

func TestTheOtherContainersOfARuncRootAreFound(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	own := running(t, root, 7, specs.Spec{Hostname: "own"})
	running(t, root, 8, specs.Spec{Hostname: "other"})
	gone := running(t, root, 9, specs.Spec{Hostname: "gone"})
	require.NoError(t, os.RemoveAll(gone))
	all, err := others(root, runtime.Target{Bundle: own})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, 8, all[0].pid)
	require.Equal(t, "other", all[0].spec.Hostname)
}

func TestAVolumeInWhichNothingIsHeldOpenIsShared(t *testing.T) {
	t.Parallel()
	const kubelet = "/var/lib/kubelet/pods/"
	mounts := func(uid string) []specs.Mount {
		return []specs.Mount{
			{Destination: "/scratch", Source: kubelet + uid + emptyDirs + "scratch"},
			{Destination: filepath.Dir(os.Args[0]), Source: kubelet + uid + emptyDirs + "held"},
			{Destination: "/etc/hosts", Source: kubelet + uid + "/etc-hosts"},
		}
	}
	held, err := os.Open(os.Args[0])
	require.NoError(t, err)
	defer held.Close()
	of := map[string]string{bundle.AnnotationName: "main", bundle.AnnotationNamespace: "ns"}
	root := t.TempDir()
	restored := running(t, root, 1, specs.Spec{Annotations: of, Mounts: mounts("restored")})
	running(t, root, os.Getpid(), specs.Spec{Annotations: of, Mounts: mounts("source")})
	running(t, root, os.Getpid(), specs.Spec{Annotations: map[string]string{bundle.AnnotationName: "main", bundle.AnnotationNamespace: "other"}, Mounts: mounts("stranger")})
	require.NoError(t, shareVolumes(root, runtime.Target{Container: "main", Namespace: "ns", Bundle: restored}))
	now, err := bundle.Read(restored)
	require.NoError(t, err)
	want := mounts("restored")
	want[0].Source = kubelet + "source" + emptyDirs + "scratch"
	require.Equal(t, want, now.Mounts)
}

func TestTheFaultOfADeclaredRestoreComesWithThePropagatorsAnswer(t *testing.T) {
	t.Parallel()
	answers := propagatortest.Serve(t, relay.Announce(fault.ColdStart, http.NotFoundHandler()))
	choose := learn(func(_ context.Context, _ *runtime.Target, through http.RoundTripper) error {
		response, err := (&http.Client{Transport: through}).Get(propagatortest.Address)
		require.NoError(t, err)
		return response.Body.Close()
	})
	var declared runtime.Target
	require.NoError(t, choose(t.Context(), &declared, answers))
	require.Equal(t, fault.ColdStart, of(declared))
}
