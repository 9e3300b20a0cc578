package targets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/docker/docker/client"

	"github.com/cedana/cedana-e2e/targets/cluster"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/deploy"
	"github.com/cedana/cedana-e2e/targets/filelock"
	"github.com/cedana/cedana-e2e/targets/local/backend"
	"github.com/cedana/cedana-e2e/targets/local/chart"
	"github.com/cedana/cedana-e2e/targets/local/engine"
	"github.com/cedana/cedana-e2e/targets/local/image"
	"github.com/cedana/cedana-e2e/targets/local/node"
	"github.com/cedana/cedana-e2e/targets/local/workload"
	"github.com/cedana/cedana-e2e/targets/propagator"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/suite"
)

// run is one run of a target: what each stage made, for the next.
type run struct {
	con      *console.Console
	settings *settings.Settings

	engine  *engine.Engine
	docker  *client.Client
	made    *cluster.Cluster
	pods    workload.Set
	standIn image.Tarball

	// checked is the chart, before there is a cluster for it.
	checked *deploy.Checked

	// api is the propagator, url and token its address and token as this machine uses them.
	api *propagator.Client
	url string
	// urlInCluster is the local propagator's, as pods use it.
	urlInCluster string
	token        settings.Secret
	container    string
	clusterID    string
	// identity is the cluster's at a live propagator, before there is a cluster. noCluster is why there is
	// none to be had: nothing is made or deployed then, and only the tests that need no pods can run.
	identity  *deploy.Identity
	noCluster error

	// runsTests says that the target runs the tests; tests are they, once compiled, which goes on beside other stages.
	// startCompiling begins it, and does nothing when that was done.
	runsTests      bool
	startCompiling func()
	tests          *suite.Compiled
	compiling      *errgroup.Group
	// stopCompiling ends it, for a run that fails before the tests.
	stopCompiling context.CancelFunc

	// phases are the stages so far with the time that each took.
	phases []suite.Phase

	// unlock lets the next run with this cluster begin.
	unlock func()
}

// begin reads the settings; nothing is created before all of them are good.
func begin(ctx context.Context) (*run, error) {
	s, err := settings.Load(ctx)
	if err != nil {
		return nil, err
	}
	r := &run{con: console.Standard(), settings: s}
	r.con.Step("backend %s, cluster %s, run %s", s.Backend, s.ClusterName, s.RunID)
	return r, nil
}

// beginAlone is begin for a target that changes the cluster. Of two with one cluster, the second waits until the first
// has ended, or until its own time for the cluster is up.
func beginAlone(ctx context.Context, target string) (*run, error) {
	r, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	s := r.settings
	ctx, cancel := context.WithTimeoutCause(ctx, s.ClusterTimeout, fmt.Errorf("not its turn within E2E_CLUSTER_TIMEOUT=%s", s.ClusterTimeout))
	defer cancel()
	r.unlock, err = filelock.Lock(ctx, r.con, filepath.Join(s.ClusterDir(), state.LockFile), fmt.Sprintf("runs %s with cluster %s", target, s.ClusterName))
	if err != nil {
		return nil, fmt.Errorf("%w (next: choose another CLUSTER_NAME to run beside it)", err)
	}
	return r, nil
}

// ready makes the cluster usable and Cedana ready in it, in stages. Where there is no cluster to be had it makes nothing,
// and the error is noCluster.
func (r *run) ready(ctx context.Context) error {
	if err := r.stage(ctx, "check what is given", r.preflight); err != nil {
		return err
	}
	if err := r.identify(ctx); err != nil {
		return err
	}
	r.startCompiling = sync.OnceFunc(func() { r.compileTests(ctx) })
	if err := r.stage(ctx, "make the cluster", r.cluster); err != nil {
		return err
	}
	r.startCompiling()
	return r.stage(ctx, "deploy Cedana", r.deploy)
}

// stage does one stage of the run, takes its time, and keeps what is needed to understand its failure.
func (r *run) stage(ctx context.Context, name string, do func(context.Context) error) error {
	begin := time.Now()
	err := do(ctx)
	r.phases = append(r.phases, suite.Phase{Name: name, Took: time.Since(begin)})
	return r.collect(ctx, err)
}

func (r *run) end() {
	if r.compiling != nil {
		r.stopCompiling()
		_ = r.compiling.Wait() // either it was waited for, or the run has failed already
	}
	if r.unlock != nil {
		r.unlock()
		for _, dir := range []string{r.settings.ClusterDir(), r.settings.Clusters(), r.settings.Home} {
			// Fails where there is something in it: only what the lock alone has made is removed.
			_ = os.Remove(dir)
		}
	}
	if r.docker != nil {
		// Nothing is lost with an idle HTTP connection.
		_ = r.docker.Close()
	}
}

// preflight finds out all that can be known before anything is created: whether a live propagator takes us, whether
// there is such a chart, and whether it knows the values.
func (r *run) preflight(ctx context.Context) error {
	if r.settings.Backend == settings.BackendLive && r.settings.URL != "" && r.settings.Token.Set() {
		if err := r.greet(ctx, r.settings.URL, r.settings.Token); err != nil {
			return err
		}
	}
	if r.settings.SkipHelm {
		return nil
	}
	checked, err := deploy.Check(ctx, r.con, r.settings, r.chartOptions())
	r.checked = checked
	return err
}

// greet asks a live propagator who we are.
func (r *run) greet(ctx context.Context, url string, token settings.Secret) error {
	return r.con.Run(ctx, "check the propagator at "+url, func(ctx context.Context, step *console.Step) error {
		api, err := propagator.New(url, token)
		if err != nil {
			return err
		}
		user, err := api.Preflight(ctx)
		if err != nil {
			return err
		}
		step.Note("user %s", user)
		r.api, r.url, r.token = api, api.BaseURL(), token
		return nil
	})
}

// chartOptions are the part of a deployment's options that is known before there is a cluster.
func (r *run) chartOptions() deploy.Options {
	if r.settings.Backend != settings.BackendLocal {
		return deploy.Options{}
	}
	picture := deploy.Image{Repository: standInRepository, Tag: "of this run"}
	return deploy.Options{Chart: chart.Files, URLInCluster: "http://propagator", Helper: picture, Manager: picture}
}

// standInRepository is the name of the stand-in's image, up to the hash.
const standInRepository = "cedana-e2e.local/cedana"

// identify registers the cluster at a live propagator before it is made: where that is not allowed, none is needed. The
// local propagator is in the cluster's network and comes after it; with SKIP_HELM=1 the cluster has an id.
func (r *run) identify(ctx context.Context) error {
	if r.settings.Backend == settings.BackendLocal || r.settings.SkipHelm {
		return nil
	}
	o, err := r.registration(deploy.Options{})
	if err != nil {
		return err
	}
	identity, err := deploy.Register(ctx, r.con, r.settings, o)
	if errors.As(err, new(*deploy.NoClusterError)) {
		r.noCluster = err
	}
	r.identity = &identity
	return err
}

// registration adds to the options what registers the cluster: the propagator, what an earlier run has registered
// there, and where to remember it.
func (r *run) registration(o deploy.Options) (deploy.Options, error) {
	s := r.settings
	st, err := state.Load(s.ClusterDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return o, err
	}
	if st != nil {
		o.ClusterID = st.RegisteredAt(r.url)
	}
	o.Propagator = r.api
	o.Registered = func(id, name string) error {
		return state.Update(s.ClusterDir(), func(st *state.State) {
			st.Cluster, st.RunID = s.ClusterName, s.RunID
			st.Register(state.Registration{URL: r.url, ID: id, Name: name})
		})
	}
	return o, nil
}

// cluster makes the engine, the images and the cluster ready, in this order as far as they depend on each other.
func (r *run) cluster(ctx context.Context) error {
	s := r.settings
	ctx, cancel := context.WithTimeoutCause(ctx, s.ClusterTimeout, fmt.Errorf("no success within E2E_CLUSTER_TIMEOUT=%s", s.ClusterTimeout))
	defer cancel()
	if s.Existing != nil {
		return r.useExisting(ctx)
	}
	var nodeImage node.Image
	engineThere := make(chan struct{})
	if err := r.con.Run(ctx, "make the engine and the images ready", func(ctx context.Context, step *console.Step) error {
		work, ctx := errgroup.WithContext(ctx)
		// Beside the others: installing one takes the disk and the network, compiling the processors.
		work.Go(func() error {
			if err := r.ensureEngine(ctx); err != nil {
				return err
			}
			close(engineThere)
			return nil
		})
		work.Go(func() (err error) {
			nodeImage, err = node.Ensure(ctx, node.Options{
				Home: s.Home, Flavour: node.Flavour(s.Node), K3sImage: s.K3sImage, Progress: r.con, Linking: r.startCompiling,
				Engine: func(ctx context.Context) (image.Engine, error) {
					select {
					case <-engineThere:
						return r.docker, nil
					case <-ctx.Done():
						return nil, context.Cause(ctx)
					}
				},
			})
			return err
		})
		work.Go(func() (err error) {
			r.pods, err = workload.Images(ctx, workload.Options{Home: s.Home, Progress: r.con})
			return err
		})
		if s.Backend == settings.BackendLocal {
			work.Go(func() (err error) {
				r.standIn, err = image.NewStore(s.Home, r.con).Static(ctx, StandIn)
				return err
			})
		}
		err := work.Wait()
		step.Note("node from %s", nodeImage.Flavour)
		return err
	}); err != nil {
		return err
	}
	var images []cluster.Image
	for _, tarball := range r.pods.All() {
		images = append(images, cluster.Image(tarball))
	}
	if s.Backend == settings.BackendLocal {
		images = append(images, cluster.Image(r.standIn))
	}
	var err error
	r.made, err = cluster.Ensure(ctx, r.con, s, cluster.Options{
		Host: r.engine.Host, Image: nodeImage.Ref, Tools: nodeImage.Tools, Images: images,
	})
	return err
}

// compileTests begins to compile the tests, if they will be run. It is done beside what leaves processors idle: the
// linker, when the node is compiled in this run, and else the deployment, whose pods wait more than they compute. Beside the
// creation of the cluster it would slow that down.
func (r *run) compileTests(ctx context.Context) {
	if !r.runsTests {
		return
	}
	ctx, r.stopCompiling = context.WithCancel(ctx)
	r.compiling = &errgroup.Group{}
	r.compiling.Go(func() (err error) {
		r.tests, err = suite.Compile(ctx, r.con, r.settings, ".")
		return err
	})
}

// useExisting takes a cluster that is there. That a run was there is remembered before it makes anything.
func (r *run) useExisting(ctx context.Context) error {
	s := r.settings
	return r.con.Run(ctx, "find the cluster of context "+s.Existing.Context, func(ctx context.Context, step *console.Step) error {
		version, err := deploy.Reach(ctx, s, deploy.Options{Kubeconfig: s.Existing.Kubeconfig, Context: s.Existing.Context})
		if err != nil {
			return err
		}
		step.Note("Kubernetes %s", version)
		r.made = &cluster.Cluster{Name: s.ClusterName, Kubeconfig: s.Existing.Kubeconfig, Context: s.Existing.Context}
		r.pods = workload.Set{Nginx: image.Tarball{Ref: s.Existing.ImageNginx}, Counter: image.Tarball{Ref: s.Existing.ImageCounter}}
		if s.Existing.ImageCounter == "" {
			r.con.Warn("E2E_IMAGE_COUNTER is not set: tests that need that image are skipped")
		}
		return state.Update(s.ClusterDir(), func(st *state.State) {
			st.Cluster, st.RunID = s.ClusterName, s.RunID
			st.UsedExisting(s.Existing.Kubeconfig, s.Existing.Context, s.CedanaNamespace, s.RunID)
		})
	})
}

func (r *run) ensureEngine(ctx context.Context) error {
	return r.con.Run(ctx, "find a Docker engine", func(ctx context.Context, step *console.Step) error {
		e, err := engine.Ensure(ctx, engineOptions(r.settings, r.con))
		if err != nil {
			return err
		}
		return r.use(e, step)
	})
}

// use takes the engine for this process and what it starts: k3d reads DOCKER_HOST.
func (r *run) use(e *engine.Engine, step *console.Step) (err error) {
	if err := e.Use(); err != nil {
		return err
	}
	kind := "the system's"
	if e.Private {
		kind = "a private one"
	}
	step.Note("%s at %s, Docker %s", kind, e.Host, e.Version)
	r.engine = e
	r.docker, err = e.Client()
	return err
}

func engineOptions(s *settings.Settings, con *console.Console) engine.Options {
	return engine.Options{Mode: engine.Mode(s.Engine), Home: s.Home, Progress: con}
}

// StandIn is the stand-in's image: one static binary, the propagator's as well as the manager's and the helper's.
var StandIn = image.Static{
	Name:    "cedana",
	Program: image.Program{Name: "cedana", Package: "./targets/local/standin/cmd/cedana"},
	Path:    "/cedana",
}

// deploy starts the local propagator where it is wanted, and installs the chart.
func (r *run) deploy(ctx context.Context) error {
	s := r.settings
	o := deploy.Options{Kubeconfig: r.made.Kubeconfig, Context: r.made.Context, Checked: r.checked, Identity: r.identity}
	if s.Backend == settings.BackendLocal {
		if err := r.propagator(ctx); err != nil {
			return err
		}
		repository, tag, _ := strings.Cut(r.standIn.Ref, ":")
		picture := deploy.Image{Repository: repository, Tag: tag}
		o.Chart, o.URLInCluster, o.Token, o.Helper, o.Manager = chart.Files, r.urlInCluster+"/v1", r.token, picture, picture
	}
	if s.SkipHelm {
		return r.useInstalled(ctx, o)
	}
	o, err := r.registration(o)
	if err != nil {
		return err
	}
	result, err := deploy.Run(ctx, r.con, s, o)
	if err != nil {
		return err
	}
	r.clusterID, r.identity = result.ID, &result.Identity
	return nil
}

// propagator starts the local propagator, with the settings' regression if there is one.
func (r *run) propagator(ctx context.Context) error {
	if r.settings.Regression != "" {
		r.con.Warn("the propagator is BROKEN ON PURPOSE: %s", r.settings.Regression.Describe())
	}
	local, err := backend.Ensure(ctx, r.con, r.settings, backend.Options{
		Host: r.engine.Host, Network: r.made.Network, Image: r.standIn.Ref,
		Load: func(ctx context.Context) error { return image.Load(ctx, r.docker, r.standIn, r.con) },
	})
	if err != nil {
		return err
	}
	r.url, r.urlInCluster, r.token, r.container = local.URL, local.InClusterURL, local.Token, local.Container
	r.api, err = propagator.New(r.url, r.token)
	return err
}

// useInstalled takes Cedana as it is in the cluster (SKIP_HELM=1). What the environment does not say of the propagator
// is what Cedana was installed with.
func (r *run) useInstalled(ctx context.Context, o deploy.Options) error {
	s := r.settings
	if r.api == nil {
		found, err := deploy.FindInstalled(ctx, s, o)
		if err != nil {
			return err
		}
		url, token := s.URL, s.Token
		if url == "" {
			url = found.URL
		}
		if !token.Set() {
			token = found.Token
		}
		if err := r.greet(ctx, url, token); err != nil {
			return err
		}
	}
	o.Token = r.token
	result, err := deploy.Run(ctx, r.con, s, o)
	if err != nil {
		return err
	}
	r.clusterID = result.ID
	return nil
}

// existingPropagator is the propagator that an earlier run left, or the live one.
func existingPropagator(ctx context.Context, s *settings.Settings) (*propagator.Client, error) {
	if s.Backend == settings.BackendLive {
		return propagator.New(s.URL, s.Token)
	}
	local, err := backend.Find(ctx, s)
	if errors.Is(err, backend.ErrNotFound) {
		return nil, fmt.Errorf("find the local propagator of cluster %s: none runs: run `go tool mage deploy` first, or set CEDANA_AUTH_TOKEN to list those of %s", s.ClusterName, settings.DefaultURL)
	}
	if err != nil {
		return nil, err
	}
	return propagator.New(local.URL, local.Token)
}
