package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/docker/dockertest"
	"github.com/cedana/cedana-e2e/targets/settings"
)

var wantedInTests = want(&settings.Cluster{Run: settings.Run{ClusterName: "a"}, Agents: 1, AgentsChosen: true, RuncRoot: "/run/r"}, Options{Image: "node:1"})

func labels(role string, ours bool) map[string]string {
	l := map[string]string{"app": "k3d", "k3d.cluster": "a", "k3d.role": role, specLabel: wantedInTests.spec, runcRootLabel: "/run/r"}
	if ours {
		l[settings.DockerLabel], l[settings.DockerLabelCluster], l[settings.DockerLabelOwner] = "true", "a", "me"
	}
	return l
}

// twoNodes is an engine with a server and an agent of ours, and a propagator.
func twoNodes() *dockertest.Engine {
	return &dockertest.Engine{
		Containers: []dockertest.Container{
			{Name: "k3d-a-agent-0", Image: "node:1", State: "running", Labels: labels("agent", true), Network: "k3d-a"},
			{Name: "k3d-a-server-0", Image: "node:1", State: "running", Labels: labels("server", true), Network: "k3d-a"},
			{Name: "cedana-e2e-a-propagator", Image: "p:1", State: "running", Labels: labels("", true), Network: "k3d-a", Volume: "cedana-e2e-a-propagator"},
		},
		Networks: map[string]map[string]string{"k3d-a": labels("", true)},
		Volumes:  map[string]map[string]string{"k3d-a-images": labels("", true), "cedana-e2e-a-propagator": labels("", true)},
	}
}

func TestInspectKnowsTheNodesServersFirst(t *testing.T) {
	t.Parallel()
	have, err := inspect(t.Context(), twoNodes(), "a", "me")
	require.NoError(t, err)
	assert.Equal(t, []string{"k3d-a-server-0", "k3d-a-agent-0"}, have.names())
}

func TestInspectDoesNotSeeClustersOfSimilarNames(t *testing.T) {
	t.Parallel()
	e := &dockertest.Engine{
		Containers: []dockertest.Container{{Name: "k3d-aa-server-0", Labels: map[string]string{"k3d.cluster": "aa"}}, {Name: "x-k3d-a-server-0"}},
		Networks:   map[string]map[string]string{"k3d-ab": {}},
	}
	have, err := inspect(t.Context(), e, "a", "me")
	require.NoError(t, err)
	assert.Empty(t, have.nodes)
}

func TestACLusterOfTheNameThatIsNotOursIsRefusedWhateverThereIsOfIt(t *testing.T) {
	t.Parallel()
	foreign := labels("server", false)
	for name, e := range map[string]*dockertest.Engine{
		"a node":            {Containers: []dockertest.Container{{Name: "k3d-a-server-0", Labels: foreign}}},
		"a node by name":    {Containers: []dockertest.Container{{Name: "k3d-a-server-0"}}},
		"a load balancer":   {Containers: []dockertest.Container{{Name: "k3d-a-serverlb", Labels: foreign}}},
		"a network":         {Networks: map[string]map[string]string{"k3d-a": {"app": "k3d"}}},
		"a volume":          {Volumes: map[string]map[string]string{"k3d-a-images": foreign}},
		"a node among ours": {Containers: append(twoNodes().Containers, dockertest.Container{Name: "k3d-a-agent-1", Labels: foreign})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := inspect(t.Context(), e, "a", "me")
			var f *ForeignError
			require.ErrorAs(t, err, &f)
			assert.Len(t, f.Objects, 1)
			require.ErrorContains(t, err, "choose another CLUSTER_NAME, or remove it with `k3d cluster delete a`")
			require.ErrorContains(t, err, f.Objects[0].Name)
		})
	}
}

// Two users may share an engine, and the default CLUSTER_NAME is the same for both.
func TestAClusterOfAnotherOwnerIsRefusedByNameAndNotTouched(t *testing.T) {
	t.Parallel()
	e := twoNodes()
	for _, owner := range []string{"you", ""} {
		_, err := inspect(t.Context(), e, "a", owner)
		var f *ForeignError
		require.ErrorAs(t, err, &f)
		assert.Len(t, f.Objects, 6)
		require.ErrorContains(t, err, "is another owner's, me")
		require.ErrorContains(t, err, "container k3d-a-server-0")
		require.ErrorContains(t, err, "ALL_OWNERS=1 CLUSTER_NAME=a go tool mage clean")
		require.NoError(t, remove(t.Context(), e, "a", owner))
		assert.Empty(t, e.Log)
	}
	require.NoError(t, remove(t.Context(), e, "a", "me"))
	assert.Empty(t, e.Containers)
	assert.NotContains(t, e.Networks, "k3d-a")
}

func TestInspectTakesNoEngineThatFailsForOneWithoutACluster(t *testing.T) {
	t.Parallel()
	_, err := inspect(t.Context(), &dockertest.Engine{Down: assert.AnError}, "a", "me")
	require.ErrorIs(t, err, assert.AnError)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(e *dockertest.Engine)
		want   action
		why    string
	}{
		"nothing there":      {func(e *dockertest.Engine) { *e = dockertest.Engine{} }, create, ""},
		"as wanted":          {func(*dockertest.Engine) {}, keep, ""},
		"a stopped node":     {func(e *dockertest.Engine) { e.Containers[0].State = "exited" }, start, ""},
		"a node restarting":  {func(e *dockertest.Engine) { e.Containers[0].State = "restarting" }, keep, ""},
		"a node not started": {func(e *dockertest.Engine) { e.Containers[0].State = "created" }, recreate, "k3d-a-agent-0 was never started"},
		"another image":      {func(e *dockertest.Engine) { e.Containers[1].Image = "node:0" }, recreate, "k3d-a-server-0 runs image node:0, node:1 is wanted"},
		"fewer agents":       {func(e *dockertest.Engine) { e.Containers = e.Containers[1:] }, grow, ""},
		"fewer and stopped": {func(e *dockertest.Engine) {
			e.Containers = e.Containers[1:]
			e.Containers[0].State = "exited"
		}, grow, ""},
		"more agents": {func(e *dockertest.Engine) {
			another := e.Containers[0]
			another.Name = "k3d-a-agent-1"
			e.Containers = append(e.Containers, another)
		}, recreate, "it has 2 agents, E2E_AGENTS wants 1"},
		"no server":      {func(e *dockertest.Engine) { e.Containers = e.Containers[:1] }, recreate, "0 servers, 1 is wanted"},
		"no network":     {func(e *dockertest.Engine) { e.Networks = nil }, recreate, "network is gone"},
		"other settings": {func(e *dockertest.Engine) { e.Containers[0].Labels[specLabel] = "x" }, recreate, "another version"},
		"another runc root": {func(e *dockertest.Engine) { e.Containers[0].Labels[runcRootLabel] = "/run/other/k8s.io" }, recreate,
			"runc's state in /run/other/k8s.io, RUNC_ROOT wants /run/r"},
		"only a network": {func(e *dockertest.Engine) { e.Containers = nil }, recreate, "half made, without a node"},
		"only volumes":   {func(e *dockertest.Engine) { e.Containers, e.Networks = nil, nil }, create, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := twoNodes()
			c.change(e)
			have, err := inspect(t.Context(), e, "a", "me")
			require.NoError(t, err)
			todo, why := judge(have, wantedInTests)
			assert.Equal(t, c.want, todo)
			if c.why == "" {
				assert.Empty(t, why)
			} else {
				assert.Contains(t, why, c.why)
			}
		})
	}
}

// A run of fewer agents than there are, of SUITE=smoke after SUITE=full for one, takes the cluster as it is.
func TestMoreAgentsThanTheTestsWantAreNoReasonToMakeTheClusterAnew(t *testing.T) {
	t.Parallel()
	have, err := inspect(t.Context(), twoNodes(), "a", "me")
	require.NoError(t, err)
	want := wantedInTests
	want.agents, want.exact = 0, false
	todo, why := judge(have, want)
	assert.Equal(t, keep, todo, why)
}

func TestRemoveLeavesTheDataOfThePropagatorAndEverybodyElses(t *testing.T) {
	t.Parallel()
	e := twoNodes()
	e.Containers = append(e.Containers,
		dockertest.Container{Name: "k3d-a-tools", State: "running", Labels: labels("", true), Network: "k3d-a"},
		dockertest.Container{Name: "db", State: "running"})
	e.Networks["bridge"] = nil
	require.NoError(t, remove(t.Context(), e, "a", "me"))
	require.Len(t, e.Containers, 1)
	assert.Equal(t, "db", e.Containers[0].Name)
	assert.Equal(t, map[string]map[string]string{"bridge": nil}, e.Networks)
	assert.NotContains(t, e.Volumes, "k3d-a-images")
	assert.Contains(t, e.Volumes, "cedana-e2e-a-propagator")
	require.NoError(t, remove(t.Context(), e, "a", "me"))
}

func TestRemoveNamesWhatItCouldNot(t *testing.T) {
	t.Parallel()
	e := twoNodes()
	e.Stuck = []string{"k3d-a-server-0"}
	err := remove(t.Context(), e, "a", "me")
	require.ErrorContains(t, err, "remove container k3d-a-server-0")
	require.ErrorContains(t, err, "remove network k3d-a")
	assert.Len(t, e.Containers, 1)
}

func TestForeignErrorNamesTheObjects(t *testing.T) {
	t.Parallel()
	err := &ForeignError{Name: "a", Host: "unix:///d", Objects: []docker.Object{{Kind: docker.Container, Name: "k3d-a-server-0"}, {Kind: docker.Network, Name: "k3d-a"}}}
	assert.EqualError(t, err, "k3d cluster a in the engine at unix:///d was not made by this project (container k3d-a-server-0, network k3d-a without the label ai.cedana.e2e): choose another CLUSTER_NAME, or remove it with `k3d cluster delete a`")
}
