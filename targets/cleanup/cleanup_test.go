package cleanup

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/docker/dockertest"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/cluster/tunables"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/settings"
)

func (w *world) ours(cluster string) map[string]string {
	return map[string]string{
		settings.DockerLabel: "true", settings.DockerLabelCluster: cluster, settings.DockerLabelOwner: w.settings.Owner(), "k3d.cluster": cluster,
	}
}

// world is a machine with one engine, a home and a temporary directory.
type world struct {
	engine   *dockertest.Engine
	settings *settings.Cleanup
	options  Options
	said     *strings.Builder
}

func newWorld(t *testing.T) *world {
	w := &world{
		engine:   &dockertest.Engine{},
		settings: &settings.Cleanup{Run: settings.Run{Home: filepath.Join(t.TempDir(), "home"), ClusterName: "a"}, Timeout: 30 * time.Second},
		said:     &strings.Builder{},
	}
	w.options = Options{
		Engines: []Engine{{Name: "system", Host: "unix:///nowhere/docker.sock"}},
		TempDir: t.TempDir(),
		dial: func(host string) (client, error) {
			if host != "unix:///nowhere/docker.sock" {
				return nil, errors.New("connection refused")
			}
			return w.engine, nil
		},
	}
	return w
}

func (w *world) clean(t *testing.T) error {
	t.Helper()
	w.said.Reset()
	return Run(t.Context(), console.New(w.said, &strings.Builder{}), w.settings, w.options)
}

// cluster puts a cluster of ours with all its parts into the world.
func (w *world) cluster(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, settings.KeepOwner(w.settings.Home))
	ours := w.ours
	w.engine.Containers = append(w.engine.Containers,
		dockertest.Container{Name: "k3d-" + name + "-server-0", State: "running", Labels: ours(name), Network: "k3d-" + name, Volume: "k3d-" + name + "-images"},
		dockertest.Container{Name: "cedana-e2e-" + name + "-propagator", State: "running", Labels: ours(name), Network: "k3d-" + name, Volume: "cedana-e2e-" + name + "-propagator"},
		dockertest.Container{Name: "k3d-" + name + "-tools", State: "running", Labels: ours(name), Network: "k3d-" + name},
	)
	if w.engine.Networks == nil {
		w.engine.Networks, w.engine.Volumes = map[string]map[string]string{}, map[string]map[string]string{}
	}
	w.engine.Networks["k3d-"+name] = ours(name)
	w.engine.Volumes["k3d-"+name+"-images"] = ours(name)
	w.engine.Volumes["cedana-e2e-"+name+"-propagator"] = ours(name)
	w.write(t, filepath.Join("clusters", name, "kubeconfig"))
	require.NoError(t, state.Update(filepath.Join(w.settings.Clusters(), name), func(s *state.State) {
		s.Cluster = name
		s.UsedEngine("unix:///nowhere/docker.sock")
	}))
}

func (w *world) write(t *testing.T, file string) {
	t.Helper()
	path := filepath.Join(w.settings.Home, file)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
}

func (w *world) assertEngineEmpty(t *testing.T) {
	t.Helper()
	assert.Empty(t, w.engine.Containers)
	assert.Empty(t, w.engine.Networks)
	assert.Empty(t, w.engine.Volumes)
}

func TestNothingToCleanIsOneLineAndNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.clean(t))
	assert.Equal(t, "✓ nothing to clean\n", w.said.String())
	assert.NoDirExists(t, w.settings.Home)
}

func TestEverythingOfAllRunsIsRemovedAndNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	w.cluster(t, "b")
	require.NoError(t, w.clean(t))
	w.assertEngineEmpty(t)
	assert.NoDirExists(t, w.settings.Home)
	for _, name := range []string{"container k3d-a-server-0", "container k3d-b-tools", "network k3d-b", "volume cedana-e2e-a-propagator", "kubeconfig and state of cluster b", "14 removed, nothing left"} {
		assert.Contains(t, w.said.String(), name)
	}
	require.NoError(t, w.clean(t))
	assert.Contains(t, w.said.String(), "nothing to clean")
}

// It would make anew what is removed from under it.
func TestTheLastClusterSetsBackTheKernelsTunables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"a", "b"} {
		w.cluster(t, name)
		i := slices.IndexFunc(w.engine.Containers, func(c dockertest.Container) bool { return c.Name == "k3d-"+name+"-server-0" })
		w.engine.Containers[i].Labels[tunables.Label] = "kernel.panic=0"
	}
	w.settings.ClusterChosen = true
	require.NoError(t, w.clean(t))
	require.Empty(t, w.engine.Ran, "b is still there")
	w.settings.ClusterChosen, w.engine.Exit = false, 1
	require.ErrorContains(t, w.clean(t), "`sysctl -w kernel.panic=0`")
	require.Len(t, w.engine.Ran, 1)
	w.assertEngineEmpty(t)
}

func TestARunThatGoesOnIsEndedFirst(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"at once":           "trap 'sleep 0.2; touch made; exit 0' TERM",
		"when it is killed": "trap 'touch made' TERM",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cluster(t, "a")
			w.options.patience = time.Second
			path := filepath.Join(w.settings.Clusters(), "a", state.LockFile)
			// The run: flock(1) and the shell share the open file, and what it makes at its end is in the directory.
			cmd := exec.Command("bash", "-c", `exec 9>>run.lock; flock 9; echo "runs e2e (process $$, since now)" >run.lock; `+script+`; while :; do sleep 0.05 9>&-; done`)
			cmd.Dir = filepath.Dir(path)
			require.NoError(t, cmd.Start())
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			require.Eventually(t, func() bool {
				holder, err := filelock.Holder(path)
				return err == nil && strings.Contains(holder, "runs e2e (process ")
			}, 10*time.Second, time.Millisecond)
			time.Sleep(100 * time.Millisecond) // for the trap

			require.NoError(t, w.clean(t))
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the run goes on")
			}
			assert.Contains(t, w.said.String(), "cluster a is in use: ending (terminated) another process, which runs e2e (process ")
			w.assertEngineEmpty(t)
			assert.NoDirExists(t, w.settings.Home)
		})
	}
}

func TestWhatARunThatCannotBeEndedHasStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	w.cluster(t, "b")
	w.options.patience = 100 * time.Millisecond
	// This process does not end itself.
	unlock, err := filelock.Lock(t.Context(), console.Quiet{}, filepath.Join(w.settings.Clusters(), "a", state.LockFile), "runs e2e with cluster a")
	require.NoError(t, err)
	err = w.clean(t)
	require.ErrorContains(t, err, "cluster a, which is in use")
	require.ErrorContains(t, err, "runs e2e with cluster a (process ")
	require.Len(t, w.engine.Containers, 3)
	assert.Contains(t, w.engine.Networks, "k3d-a")
	assert.NotContains(t, w.engine.Networks, "k3d-b")
	assert.FileExists(t, filepath.Join(w.settings.Clusters(), "a", state.File))

	unlock()
	require.NoError(t, w.clean(t))
	w.assertEngineEmpty(t)
	assert.NoDirExists(t, w.settings.Home)
}

func TestContainersGoBeforeTheirNetworkAndVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	require.NoError(t, w.clean(t))
	network := slices.Index(w.engine.Log, "k3d-a")
	assert.Less(t, slices.Index(w.engine.Log, "cedana-e2e-a-propagator"), network)
	assert.Less(t, network, slices.Index(w.engine.Log, "k3d-a-images"))
}

func TestAChosenClusterIsRemovedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	w.cluster(t, "b")
	temp := filepath.Join(w.options.TempDir, "cedana-e2e-123456789")
	require.NoError(t, os.Mkdir(temp, 0o700))
	w.settings.ClusterChosen = true
	require.NoError(t, w.clean(t))
	require.Len(t, w.engine.Containers, 3)
	for _, c := range w.engine.Containers {
		assert.Contains(t, c.Name, "-b-")
	}
	assert.Contains(t, w.engine.Networks, "k3d-b")
	assert.NoDirExists(t, filepath.Join(w.settings.Clusters(), "a"))
	assert.FileExists(t, filepath.Join(w.settings.Clusters(), "b", "kubeconfig"))
	assert.DirExists(t, temp)
}

func TestWhatHasNoLabelIsNotTouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine.Containers = []dockertest.Container{
		{Name: "k3d-mine-server-0", State: "running", Labels: map[string]string{"app": "k3d", "k3d.cluster": "mine"}},
		{Name: "k3d-mine-tools", State: "running", Labels: map[string]string{"app": "k3d", "k3d.cluster": "mine"}},
		{Name: "cedana-e2e-a-propagator", State: "running", Labels: map[string]string{settings.DockerLabel: "false"}},
	}
	w.engine.Networks = map[string]map[string]string{"k3d-mine": {"app": "k3d"}}
	w.engine.Images = map[string]map[string]string{"nginx:1": nil, "cedana-e2e.local/node:1": nil}
	for _, name := range []string{"cedana-e2e-checkout", "cedana-e2e", "my-cedana-e2e-123456789", "cedana-e2e-2"} {
		require.NoError(t, os.Mkdir(filepath.Join(w.options.TempDir, name), 0o755))
	}
	w.settings.All = true
	require.NoError(t, w.clean(t))
	assert.Len(t, w.engine.Containers, 3)
	assert.Contains(t, w.engine.Networks, "k3d-mine")
	assert.Equal(t, []string{"cedana-e2e.local/node:1"}, w.engine.Log)
	entries, err := os.ReadDir(w.options.TempDir)
	require.NoError(t, err)
	assert.Len(t, entries, 4)
}

// Two users share an engine: each has an E2E_HOME.
func TestWhatAnotherOwnerHasMadeIsNamedAndStays(t *testing.T) {
	t.Parallel()
	shared := func(t *testing.T) (mine, yours *world) {
		mine, yours = newWorld(t), newWorld(t)
		yours.engine = mine.engine
		mine.cluster(t, "a")
		yours.cluster(t, "b")
		return mine, yours
	}
	t.Run("in a system's engine", func(t *testing.T) {
		t.Parallel()
		mine, yours := shared(t)
		mine.settings.All = true
		mine.engine.Images = map[string]map[string]string{"cedana-e2e.local/node:1": nil}
		require.NoError(t, mine.clean(t))
		require.Len(t, mine.engine.Containers, 3)
		assert.Contains(t, mine.engine.Networks, "k3d-b")
		assert.Contains(t, mine.engine.Volumes, "cedana-e2e-b-propagator")
		assert.Contains(t, mine.engine.Images, "cedana-e2e.local/node:1")
		assert.Contains(t, mine.said.String(), "another owner's (ALL_OWNERS=1 removes it, too): container cedana-e2e-b-propagator (owner "+yours.settings.Owner()+")")
		require.NoError(t, yours.clean(t))
		mine.assertEngineEmpty(t)
	})
	t.Run("but for ALL_OWNERS=1", func(t *testing.T) {
		t.Parallel()
		mine, _ := shared(t)
		mine.settings.AllOwners = true
		require.NoError(t, mine.clean(t))
		mine.assertEngineEmpty(t)
	})
	t.Run("where a cluster has the name of ours", func(t *testing.T) {
		t.Parallel()
		mine, yours := newWorld(t), newWorld(t)
		yours.engine = mine.engine
		yours.cluster(t, "a")
		mine.write(t, filepath.Join("clusters", "a", "kubeconfig"))
		require.NoError(t, mine.clean(t))
		assert.Len(t, mine.engine.Containers, 3)
		assert.NoDirExists(t, mine.settings.Clusters())
	})
	t.Run("with the private engine that it is in", func(t *testing.T) {
		t.Parallel()
		mine, yours := shared(t)
		mine.options.Engines[0].Data = filepath.Join(mine.settings.Home, "engine", "data")
		mine.write(t, filepath.Join("engine", "data", "x"))
		mine.settings.Engine = true
		stopped := false
		mine.options.StopEngine = func(context.Context) ([]string, error) {
			stopped = true
			return nil, os.RemoveAll(filepath.Join(mine.settings.Home, "engine"))
		}
		require.ErrorContains(t, mine.clean(t), "the private engine, in which another owner has something")
		assert.False(t, stopped)
		require.NoError(t, yours.clean(t))
		require.NoError(t, mine.clean(t))
		assert.True(t, stopped)
	})
}

func TestWhatCannotBeRemovedIsNamedAndItsStateStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	w.cluster(t, "b")
	w.engine.Stuck = []string{"k3d-a-images"}
	err := w.clean(t)
	require.ErrorContains(t, err, "volume k3d-a-images in the system engine")
	require.ErrorContains(t, err, "driver failed to remove k3d-a-images")
	assert.FileExists(t, filepath.Join(w.settings.Clusters(), "a", state.File))
	assert.NoDirExists(t, filepath.Join(w.settings.Clusters(), "b"))
	assert.NotContains(t, w.said.String(), "removed volume k3d-a-images")

	w.engine.Stuck = nil
	require.NoError(t, w.clean(t))
	w.assertEngineEmpty(t)
	assert.NoDirExists(t, w.settings.Home)
}

func TestAnEngineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	t.Run("is a failure where a cluster is known to be in it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.cluster(t, "a")
		w.engine.Down = errors.New("connection refused")
		require.ErrorContains(t, w.clean(t), "what cluster a has in the system engine at unix:///nowhere/docker.sock")
		assert.FileExists(t, filepath.Join(w.settings.Clusters(), "a", state.File))
	})
	t.Run("is none where nothing was made", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.engine.Down = errors.New("connection refused")
		require.NoError(t, w.clean(t))
	})
	t.Run("is none when it is ours and is removed with all that is in it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		data := filepath.Join(w.settings.Home, "engine", "data")
		w.write(t, "engine/data/x")
		w.options.Engines = append(w.options.Engines, Engine{Name: "private", Host: "unix:///private.sock", Data: data})
		require.NoError(t, state.Update(w.settings.ClusterDir(), func(s *state.State) { s.UsedEngine("unix:///private.sock") }))
		require.ErrorContains(t, w.clean(t), "ENGINE=1 removes it with all that is in it")

		w.settings.Engine = true
		w.options.StopEngine = func(context.Context) ([]string, error) {
			return []string{"docker engine unix:///private.sock"}, os.RemoveAll(filepath.Dir(data))
		}
		require.NoError(t, w.clean(t))
		assert.Contains(t, w.said.String(), "removed docker engine unix:///private.sock")
		assert.NoDirExists(t, w.settings.Home)
	})
}

func TestARegisteredCluster(t *testing.T) {
	t.Parallel()
	register := func(t *testing.T, w *world) {
		require.NoError(t, state.Update(w.settings.ClusterDir(), func(s *state.State) {
			s.Register(state.Registration{URL: "https://propagator", ID: "42", Name: "a-run"})
		}))
	}
	t.Run("is deleted with the token of the environment", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		register(t, w)
		w.settings.Token, w.settings.URL = "secret", "https://propagator"
		var deleted []string
		w.options.Deregister = func(_ context.Context, r state.Registration, token settings.Secret) error {
			deleted = append(deleted, r.URL, token.Reveal(), r.ID)
			return nil
		}
		require.NoError(t, w.clean(t))
		assert.Equal(t, []string{"https://propagator", "secret", "42"}, deleted)
		assert.NoDirExists(t, w.settings.Home)
		assert.NotContains(t, w.said.String(), "secret")
	})
	t.Run("is deleted while the way to the propagator may still lead through the cluster", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.cluster(t, "a")
		register(t, w)
		w.settings.Token, w.settings.URL = "secret", "https://propagator"
		there := -1
		w.options.Deregister = func(ctx context.Context, _ state.Registration, _ settings.Secret) error {
			there = len(w.engine.Containers)
			_, bounded := ctx.Deadline()
			assert.True(t, bounded)
			return nil
		}
		require.NoError(t, w.clean(t))
		assert.Equal(t, 3, there, "containers at that time")
		w.assertEngineEmpty(t)
	})
	t.Run("at the local propagator goes with it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		require.NoError(t, state.Update(w.settings.ClusterDir(), func(s *state.State) {
			s.UsedLocal("http://127.0.0.1:5")
			s.Register(state.Registration{URL: "http://127.0.0.1:5", ID: "42"})
		}))
		require.NoError(t, w.clean(t))
		assert.NoDirExists(t, w.settings.Home)
	})
	t.Run("is named and remembered without a token", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		register(t, w)
		require.ErrorContains(t, w.clean(t), "cluster a-run (42) registered at https://propagator: needs the token of that propagator: E2E_BACKEND=live CEDANA_URL=https://propagator CEDANA_AUTH_TOKEN=")
		st, err := state.Load(w.settings.ClusterDir())
		require.NoError(t, err)
		assert.Len(t, st.Registered, 1)
	})
	t.Run("at another propagator than the token's is named, and the token is not sent there", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		register(t, w)
		w.settings.Token, w.settings.URL = "secret", "https://another"
		w.options.Deregister = func(context.Context, state.Registration, settings.Secret) error {
			t.Error("the token was sent")
			return nil
		}
		require.ErrorContains(t, w.clean(t), "CEDANA_URL=https://propagator CEDANA_AUTH_TOKEN=... go tool mage clean")
		assert.FileExists(t, filepath.Join(w.settings.ClusterDir(), state.File))
	})
	t.Run("is named and remembered when the propagator refuses", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		register(t, w)
		w.settings.Token, w.settings.URL = "secret", "https://propagator"
		w.options.Deregister = func(context.Context, state.Registration, settings.Secret) error { return errors.New("403 forbidden") }
		require.ErrorContains(t, w.clean(t), "403 forbidden")
		assert.FileExists(t, filepath.Join(w.settings.ClusterDir(), state.File))
	})
}

func TestWhatRunsPutIntoAClusterThatIsNotOurs(t *testing.T) {
	t.Parallel()
	used := func(t *testing.T) *world {
		w := newWorld(t)
		require.NoError(t, state.Update(w.settings.ClusterDir(), func(s *state.State) {
			s.UsedExisting("/kubeconfig", "eks", "cedana-system", "1a2b3c4d")
			s.UsedExisting("/kubeconfig", "eks", "cedana-system", "5e6f7a8b")
			s.UsedExisting("/kubeconfig", "eks", "cedana-system", "1a2b3c4d")
		}))
		return w
	}
	t.Run("is removed by the ids of the runs and named", func(t *testing.T) {
		t.Parallel()
		w := used(t)
		w.options.RemoveFrom = func(_ context.Context, there state.Existing) ([]string, error) {
			assert.Equal(t, state.Existing{Kubeconfig: "/kubeconfig", Context: "eks", Namespace: "cedana-system", Runs: []string{"1a2b3c4d", "5e6f7a8b"}}, there)
			return []string{"namespace one"}, nil
		}
		require.NoError(t, w.clean(t))
		assert.Contains(t, w.said.String(), "removed namespace one of context eks")
		assert.NoDirExists(t, w.settings.Home)
	})
	t.Run("is removed from each of several clusters, and the one that does not answer is remembered", func(t *testing.T) {
		t.Parallel()
		w := used(t)
		require.NoError(t, state.Update(w.settings.ClusterDir(), func(s *state.State) {
			s.UsedExisting("/kubeconfig", "gke", "cedana-system", "9a8b7c6d")
			s.UsedExisting("/kubeconfig", "eks", "another", "0a1b2c3d")
		}))
		var asked []string
		w.options.RemoveFrom = func(_ context.Context, there state.Existing) ([]string, error) {
			asked = append(asked, there.Context+"/"+there.Namespace)
			if there.Context == "gke" {
				return nil, errors.New("no answer")
			}
			return nil, nil
		}
		require.ErrorContains(t, w.clean(t), "what runs made in the cluster of context gke in /kubeconfig: no answer")
		assert.Equal(t, []string{"eks/cedana-system", "gke/cedana-system", "eks/another"}, asked)
		st, err := state.Load(w.settings.ClusterDir())
		require.NoError(t, err)
		assert.Equal(t, []state.Existing{{Kubeconfig: "/kubeconfig", Context: "gke", Namespace: "cedana-system", Runs: []string{"9a8b7c6d"}}}, st.Existing)
	})
	t.Run("is named and remembered when the cluster does not answer", func(t *testing.T) {
		t.Parallel()
		w := used(t)
		w.options.RemoveFrom = func(context.Context, state.Existing) ([]string, error) { return nil, errors.New("no answer") }
		require.ErrorContains(t, w.clean(t), "what runs made in the cluster of context eks in /kubeconfig: no answer")
		assert.FileExists(t, filepath.Join(w.settings.ClusterDir(), state.File))
	})
}

func TestWhatIsGoneForGoodIsForgottenByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, state.Update(w.settings.ClusterDir(), func(s *state.State) {
		s.UsedEngine("tcp://gone:2376")
		s.UsedExisting("/gone", "eks", "cedana-system", "1a2b3c4d")
		s.Register(state.Registration{URL: "https://gone", ID: "42", Name: "a-run"})
	}))
	w.options.RemoveFrom = func(context.Context, state.Existing) ([]string, error) { return nil, errors.New("no such file") }
	err := w.clean(t)
	for _, what := range []string{"in the other engine at tcp://gone:2376", "context eks in /gone: no such file", "registered at https://gone"} {
		require.ErrorContains(t, err, what)
	}
	require.Equal(t, 3, strings.Count(err.Error(), "; where it is gone for good, `FORGET=a go tool mage clean`"))
	w.settings.Forget = []string{"b"}
	require.Error(t, w.clean(t))

	w.settings.Forget = []string{"a"}
	require.NoError(t, w.clean(t))
	require.Equal(t, 3, strings.Count(w.said.String(), "forgotten, and not removed: "))
	require.NoDirExists(t, w.settings.Home)
}

func TestCachesAreNamedWithTheirSizeAndRemovedOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(t, "images/node.tar")
	w.write(t, "build/node/x")
	w.engine.Images = map[string]map[string]string{"cedana-e2e.local/node:1": nil}
	require.NoError(t, w.clean(t))
	assert.Contains(t, w.said.String(), "nothing to clean; kept for the next run (ALL=1 removes): 1 images in the system engine")
	assert.Contains(t, w.said.String(), w.settings.Images()+" (1 B)")
	assert.FileExists(t, filepath.Join(w.settings.Images(), "node.tar"))

	w.settings.All = true
	require.NoError(t, w.clean(t))
	assert.Empty(t, w.engine.Images)
	assert.NoDirExists(t, w.settings.Home)
}

func TestAHomeThatHoldsSomethingElseStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	w.write(t, "notes.txt")
	require.NoError(t, w.clean(t))
	assert.FileExists(t, filepath.Join(w.settings.Home, "notes.txt"))
	assert.NoDirExists(t, w.settings.Clusters())
}

func TestTemporaryDirectoriesAreRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"cedana-e2e-123456789", "cedana-e2e-suite-2345678901"} {
		require.NoError(t, os.MkdirAll(filepath.Join(w.options.TempDir, name, "below"), 0o700))
	}
	require.NoError(t, w.clean(t))
	entries, err := os.ReadDir(w.options.TempDir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// What it alone knew of is not gone with it.
func TestADamagedStateFileIsNamedAndStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cluster(t, "a")
	w.cluster(t, "b")
	require.NoError(t, os.WriteFile(filepath.Join(w.settings.ClusterDir(), state.File), []byte("{"), 0o600))
	err := w.clean(t)
	require.ErrorContains(t, err, "what cluster a has elsewhere")
	require.ErrorContains(t, err, "`FORGET="+w.settings.ClusterName+" go tool mage clean`")
	assert.Equal(t, 1, strings.Count(w.said.String(), "what cluster a has elsewhere"), "it is said once")
	w.assertEngineEmpty(t)
	assert.FileExists(t, filepath.Join(w.settings.ClusterDir(), state.File))
	assert.NoDirExists(t, filepath.Join(w.settings.Clusters(), "b"))
}
