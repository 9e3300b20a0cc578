package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var testFacts = clusterFacts{ClusterCIDR: "10.42.0.0/16", ClusterDNS: "10.43.0.10", ClusterDomain: "cluster.local", PodNetwork: true, KubeProxy: true}

// recorder stands for the cluster: it notes what is applied and refuses what it is told to.
type recorder struct {
	applied []string
	refuse  map[string]bool
}

func (r *recorder) apply(_ context.Context, o *unstructured.Unstructured) error {
	if r.refuse[o.GetName()] {
		return errors.New("refused")
	}
	r.applied = append(r.applied, o.GetKind()+"/"+o.GetName())
	return nil
}

func (r *recorder) take() string {
	all := strings.Join(r.applied, " ")
	r.applied = nil
	return all
}

func testDeployer(t *testing.T) (*deployer, *recorder) {
	t.Helper()
	r := &recorder{refuse: map[string]bool{}}
	return &deployer{
		dir: t.TempDir(), log: slog.New(slog.DiscardHandler),
		apply: r.apply, sums: map[string][32]byte{}, broken: map[string]string{},
	}, r
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func configMap(name, data string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\ndata: {x: '" + data + "'}\n"
}

func TestAManifestIsAppliedOnceAndAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	d, cluster := testDeployer(t)
	put(t, d.dir, "b.yaml", configMap("b1", "1")+"---\n# nothing\n---\n"+configMap("b2", "1"))
	put(t, d.dir, "a.json", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}]}`)
	put(t, d.dir, "notes.txt", "no manifest")
	steps := []struct {
		what   string
		change func()
		want   string
	}{
		{"at first", func() {}, "Secret/a ConfigMap/b1 ConfigMap/b2"},
		{"unchanged", func() {}, ""},
		{"written anew with the same content", func() { put(t, d.dir, "b.yaml", configMap("b1", "1")+"---\n# nothing\n---\n"+configMap("b2", "1")) }, ""},
		{"changed", func() { put(t, d.dir, "b.yaml", configMap("b1", "2")) }, "ConfigMap/b1"},
		{"removed", func() { _ = os.Remove(filepath.Join(d.dir, "b.yaml")) }, ""},
		{"new and skipped", func() { put(t, d.dir, "c.yaml", configMap("c", "1")); put(t, d.dir, "c.yaml.skip", "") }, ""},
	}
	for _, step := range steps {
		step.change()
		if failed := d.pass(t.Context()); failed != 0 {
			t.Errorf("%s: %d failed", step.what, failed)
		}
		if got := cluster.take(); got != step.want {
			t.Errorf("%s: applied %q, want %q", step.what, got, step.want)
		}
	}
}

func TestAManifestThatFailsIsTriedAgainWholly(t *testing.T) {
	t.Parallel()
	d, cluster := testDeployer(t)
	put(t, d.dir, "a.yaml", configMap("a1", "1")+"---\n"+configMap("a2", "1"))
	cluster.refuse["a1"] = true
	if failed := d.pass(t.Context()); failed != 1 {
		t.Errorf("%d failed, want 1", failed)
	}
	if got := cluster.take(); got != "ConfigMap/a2" {
		t.Errorf("applied %q: one object's failure must not keep the others back", got)
	}
	cluster.refuse["a1"] = false
	if failed := d.pass(t.Context()); failed != 0 {
		t.Errorf("%d failed, want 0", failed)
	}
	if got := cluster.take(); got != "ConfigMap/a1 ConfigMap/a2" {
		t.Errorf("applied %q", got)
	}
}

func TestHalfWrittenManifestsAreNotApplied(t *testing.T) {
	t.Parallel()
	for _, half := range []string{"apiVersion: v1\nkind: [", "metadata: {name: a}\n"} {
		d, cluster := testDeployer(t)
		put(t, d.dir, "a.yaml", configMap("whole", "1")+"---\n"+half)
		if failed := d.pass(t.Context()); failed != 1 {
			t.Errorf("%q: %d failed, want 1", half, failed)
		}
		if got := cluster.take(); got != "" {
			t.Errorf("%q: applied %q", half, got)
		}
	}
}

func TestTheDeployerSeesAChangeByItself(t *testing.T) {
	t.Parallel()
	d, _ := testDeployer(t)
	applied := make(chan string, 10)
	d.apply = func(_ context.Context, o *unstructured.Unstructured) error { applied <- o.GetName(); return nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	put(t, d.dir, "a.yaml", configMap("first", "1"))
	go func() { done <- d.run(ctx) }()
	for _, want := range []string{"first", "second"} {
		select {
		case got := <-applied:
			if got != want {
				t.Errorf("applied %s, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s not applied within 20s", want)
		}
		put(t, d.dir, "a.yaml", configMap("second", "1"))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheNodesOwnManifestsAreWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeManifests(dir, testFacts, true); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, name := range []string{"coredns.yaml", "rolebindings.yaml"} {
		objects, err := decode([]byte(content(filepath.Join(dir, name))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, o := range objects {
			kinds[o.GetKind()]++
			if o.GetName() == "" {
				t.Errorf("%s: %s without a name", name, o.GetKind())
			}
			if o.GetKind() == "ConfigMap" {
				if _, found, err := unstructured.NestedString(o.Object, "data", "NodeHosts"); !found || err != nil {
					t.Errorf("no NodeHosts for k3d to write into: %v", err)
				}
			}
		}
	}
	// k3d writes NodeHosts into every ConfigMap of coredns.yaml.
	if kinds["ConfigMap"] != 1 || kinds["Deployment"] != 1 || kinds["Service"] != 1 {
		t.Errorf("got %v", kinds)
	}
}

func TestWhatK3dWroteIntoCoreDNSSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := writeManifests(dir, testFacts, true); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "coredns.yaml", "k3d was here")
	put(t, dir, "rolebindings.yaml", "old")
	if err := writeManifests(dir, testFacts, true); err != nil {
		t.Fatal(err)
	}
	if got := content(filepath.Join(dir, "coredns.yaml")); got != "k3d was here" {
		t.Errorf("coredns.yaml was written over: %q", got)
	}
	if got := content(filepath.Join(dir, "rolebindings.yaml")); got == "old" {
		t.Error("rolebindings.yaml was not renewed")
	}
	if err := writeManifests(dir, testFacts, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "coredns.yaml")); !os.IsNotExist(err) {
		t.Errorf("coredns.yaml is still there though disabled: %v", err)
	}
}
