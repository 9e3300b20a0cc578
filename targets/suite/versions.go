package suite

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/cedana/cedana-e2e/targets/console"
	"github.com/cedana/cedana-e2e/targets/report"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// Begin begins the record of a run with these settings; given are the variables that are set.
func Begin(s *settings.Suite, given []settings.Given) *report.Run {
	r := report.New(s.RunID)
	r.Backend, r.Suite, r.Pattern = string(s.Backend), string(s.Tests.Suite), s.Pattern
	for _, g := range given {
		r.Environment = append(r.Environment, report.Fact(g))
	}
	return r
}

// versions finds out what runs against what, and returns what puts it into the record. What is not to be had is said, and
// is no reason to fail.
func (r *Report) versions(ctx context.Context, con *console.Console, s *settings.Suite, opts Options, compiled *Compiled) func() {
	facts := []report.Fact{{Name: "backend", Value: string(s.Backend)}}
	if !opts.Subject.Ours { // ours has another port each time, and is no other version by that
		facts = append(facts, report.Fact{Name: "propagator", Value: opts.URL})
	}
	add := func(more []report.Fact, err error) {
		facts = append(facts, more...)
		if err != nil && ctx.Err() == nil {
			con.Warn("not all versions are known: %v", err)
		}
	}
	if opts.NoCluster == "" {
		add(clusterVersions(ctx, s, opts))
		if opts.Versions != nil {
			add(opts.Versions(ctx))
		}
		facts = append(facts, report.Fact{Name: "nginx", Value: opts.Nginx}, report.Fact{Name: "counter", Value: opts.Counter})
	}
	add(testsVersion(compiled.tests))
	return func() { r.Versions = facts }
}

func clusterVersions(ctx context.Context, s *settings.Suite, opts Options) ([]report.Fact, error) {
	client, err := connect(opts)
	if err != nil {
		return nil, err
	}
	return objectVersions(ctx, client, s.Tests.CedanaNamespace)
}

// objectVersions are those that the cluster's own objects have. Nodes of one sort are one line.
func objectVersions(ctx context.Context, client kubernetes.Interface, namespace string) ([]report.Fact, error) {
	pods, err := client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list pods in %s: %w", namespace, err)
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var facts []report.Fact
	add := func(name, value string) {
		if f := (report.Fact{Name: name, Value: value}); value != "" && !slices.Contains(facts, f) {
			facts = append(facts, f)
		}
	}
	for _, p := range pods.Items {
		add("chart", p.Labels["helm.sh/chart"])
	}
	for _, p := range pods.Items {
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			image := c.Image
			if _, digest, ok := strings.Cut(c.ImageID, "sha256:"); ok {
				image += " sha256:" + digest
			}
			add("image of "+c.Name, image)
		}
	}
	for _, n := range nodes.Items {
		i := n.Status.NodeInfo
		add("Kubernetes", i.KubeletVersion)
		add("container runtime", i.ContainerRuntimeVersion)
		add("kernel", i.KernelVersion+" "+i.Architecture)
		add("node's system", i.OSImage)
	}
	return facts, nil
}

// testsVersion is the test program's hash: of two runs with the same one, the tests are the same.
func testsVersion(program string) ([]report.Fact, error) {
	file, err := os.Open(program)
	if err != nil {
		return nil, fmt.Errorf("hash the test program: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return nil, fmt.Errorf("hash %s: %w", program, err)
	}
	return []report.Fact{{Name: "tests", Value: fmt.Sprintf("sha256:%x", hash.Sum(nil))}}, nil
}
