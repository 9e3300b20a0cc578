package engine

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeEngine is a Docker engine that says who it is and refuses all else.
func fakeEngine(t *testing.T) (host string) { return fakeEngineOf(t, "Engine") }

// fakeEngineOf is one whose main component has this name, with these security options.
func fakeEngineOf(t *testing.T, component string, security ...string) (host string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-") // t.TempDir is too long for a socket
	require.NoError(t, err)
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch filepath.Base(r.URL.Path) {
		case "_ping":
			w.Header().Set("API-Version", "1.41")
		case "info":
			_ = json.NewEncoder(w).Encode(map[string]any{
				"ID": "fake", "ServerVersion": "1", "KernelVersion": "6", "Architecture": "x86_64", "CgroupVersion": "2", "SecurityOptions": security,
			})
		case "version":
			_ = json.NewEncoder(w).Encode(map[string]any{"Components": []map[string]string{{"Name": component, "Version": "1"}}})
		default:
			w.WriteHeader(http.StatusInternalServerError)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": "no disk"})
		}
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
	return "unix://" + socket
}

func testOptions(t *testing.T, host string) Options {
	t.Helper()
	return Options{Mode: System, Home: t.TempDir(), RunDir: filepath.Join(t.TempDir(), "run"), DockerHost: host}
}

// remember writes an answer as if the engine had been tried.
func remember(t *testing.T, o Options, a answer) {
	t.Helper()
	o, err := o.complete()
	require.NoError(t, err)
	e, err := connectSystem(t.Context(), o)
	require.NoError(t, err)
	require.NoError(t, writeAnswer(o, e, a))
}

func TestARememberedAnswerIsUsed(t *testing.T) {
	t.Parallel()
	o := testOptions(t, fakeEngine(t))
	remember(t, o, answer{OK: true, MissingCapabilities: []string{"CAP_SYS_RESOURCE"}, At: time.Now().Add(-1000 * time.Hour)})
	for name, get := range map[string]func(context.Context, Options) (*Engine, error){"Ensure": Ensure, "Find": Find} {
		e, err := get(t.Context(), o)
		require.NoError(t, err, name)
		assert.Equal(t, o.DockerHost, e.Host)
		assert.Equal(t, "amd64", e.Arch)
		assert.Equal(t, "2", e.CgroupVersion)
		assert.False(t, e.Private)
		assert.Equal(t, []string{"CAP_SYS_RESOURCE"}, e.MissingCapabilities)
	}
}

func TestAFreshRefusalIsBelievedAndNamesItsReason(t *testing.T) {
	t.Parallel()
	o := testOptions(t, fakeEngine(t))
	remember(t, o, answer{Engine: o.DockerHost, Problems: []string{"start a privileged container: operation not permitted"}, At: time.Now()})
	_, err := Ensure(t.Context(), o)
	require.Error(t, err)
	for _, part := range []string{o.DockerHost, "operation not permitted", "E2E_ENGINE=auto"} {
		require.ErrorContains(t, err, part)
	}
	o.Mode = Auto
	_, err = Find(t.Context(), o)
	require.ErrorIs(t, err, ErrNone, "Ensure would use a private one, and none runs")
}

func TestAnOldRefusalIsForgotten(t *testing.T) {
	t.Parallel()
	o, err := testOptions(t, fakeEngine(t)).complete()
	require.NoError(t, err)
	remember(t, o, answer{At: time.Now().Add(-2 * refusalLasts)})
	e, err := connectSystem(t.Context(), o)
	require.NoError(t, err)
	_, known := readAnswer(o, e)
	assert.False(t, known)
}

func TestAnAnswerIsForOneEngineOneVersionOneKernel(t *testing.T) {
	t.Parallel()
	base := Engine{Host: "h", ID: "i", Version: "v", Kernel: "k"}
	for _, other := range []Engine{
		{Host: "x", ID: "i", Version: "v", Kernel: "k"}, {Host: "h", ID: "x", Version: "v", Kernel: "k"},
		{Host: "h", ID: "i", Version: "x", Kernel: "k"}, {Host: "h", ID: "i", Version: "v", Kernel: "x"},
	} {
		assert.NotEqual(t, answerKey(&base), answerKey(&other))
	}
}

func TestAnEngineThatDoesNotAnswerIsNamed(t *testing.T) {
	t.Parallel()
	o := testOptions(t, "unix:///nonexistent/docker.sock")
	_, err := Ensure(t.Context(), o)
	require.ErrorContains(t, err, "unix:///nonexistent/docker.sock")
	_, err = Find(t.Context(), o)
	require.ErrorIs(t, err, ErrNone)
	findings := Check(t.Context(), o)
	require.Len(t, findings, 1)
	assert.False(t, findings[0].OK)
	assert.NotEmpty(t, findings[0].Remedy)
}

// What cannot be is said before anything is made, with the reason and what to do.
func TestAnEngineThatCanHaveNoNodesIsRefusedByItsName(t *testing.T) {
	t.Parallel()
	for want, host := range map[string]string{
		"it is rootless": fakeEngineOf(t, "Engine", "name=seccomp,profile=builtin", "name=rootless"),
		"it is Podman":   fakeEngineOf(t, "Podman Engine"),
	} {
		o := testOptions(t, host)
		_, err := Ensure(t.Context(), o)
		require.ErrorContains(t, err, "use docker engine "+host+": "+want)
		require.ErrorContains(t, err, "next: ")
		findings := Check(t.Context(), o)
		require.Len(t, findings, 1)
		require.False(t, findings[0].OK)
		require.Contains(t, findings[0].Detail, want)
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := Ensure(t.Context(), Options{Mode: "other", Home: "/x"})
	require.ErrorContains(t, err, `"other"`)
	_, err = Ensure(t.Context(), Options{Home: "relative"})
	require.ErrorContains(t, err, "relative")
}

func TestStopWithNothingThereDoesNothing(t *testing.T) {
	t.Parallel()
	o := testOptions(t, "")
	stopped, err := Stop(t.Context(), o)
	require.NoError(t, err)
	assert.Empty(t, stopped)
	assert.NoDirExists(t, o.RunDir)
}

func TestDirectoriesAreKnownByTheirRealNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "link")))
	got, err := realPath(filepath.Join(dir, "link", "not", "there"))
	require.NoError(t, err)
	want, err := filepath.EvalSymlinks(filepath.Join(dir, "real"))
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(want, "not", "there"), got)
}

func TestProgramsAreBuiltOnce(t *testing.T) {
	t.Parallel()
	o, err := testOptions(t, "").complete()
	require.NoError(t, err)
	path, err := build(t.Context(), o, "probe", probeSource, "amd64")
	require.NoError(t, err)
	before, err := os.Stat(path)
	require.NoError(t, err)
	again, err := build(t.Context(), o, "probe", probeSource, "amd64")
	require.NoError(t, err)
	after, err := os.Stat(again)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))

	_, err = build(t.Context(), o, "broken", "package main\nfunc main() { x }", "amd64")
	require.ErrorContains(t, err, "undefined: x")
}
