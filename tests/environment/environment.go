// Package environment is what the suite is told by the target that runs it: the cluster, the propagator, the images.
package environment

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// Environment is the checked environment of the suite.
type Environment struct {
	settings.TestSettings

	Backend settings.Backend
	// URL of the propagator, normalised.
	URL   string
	Token settings.Secret
	// ClusterID is empty where NoCluster is set.
	ClusterID string
	// Registered says that this run's token has registered the cluster, so it may register others.
	Registered bool
	// NoCluster is why there is no cluster, and what to do about it. Then there is no kubeconfig and no image either.
	NoCluster string
	// Kubeconfig is a file, KubeContext a context in it.
	Kubeconfig  string
	KubeContext string

	// ClusterName is the k3d cluster's, whose nodes are Docker containers of this machine; empty in a cluster that was
	// there before (E2E_CLUSTER=existing).
	ClusterName string

	// OpenAPI is the file of the document that the exchanges are checked against; empty for none.
	OpenAPI string

	// ImageCounter may be empty in an existing cluster alone, which cannot be given an image.
	ImageNginx, ImageCounter string
}

// Group is a set of tests that are run together; SUITE names one.
type Group = settings.Group

// The groups, as tests name them.
const (
	Smoke   = settings.Smoke
	Full    = settings.Full
	Chaos   = settings.Chaos
	Measure = settings.Measure
)

// variables are the environment as it is spelled. Everything is text, so that all problems are found at once.
type variables struct {
	settings.TestVariables

	Backend     string `env:"E2E_BACKEND, default=local"`
	URL         string `env:"CEDANA_URL"`
	Token       string `env:"CEDANA_AUTH_TOKEN"`
	ClusterID   string `env:"CLUSTER_ID"`
	Registered  string `env:"E2E_REGISTERED, default=0"`
	NoCluster   string `env:"E2E_NO_CLUSTER"`
	Kubeconfig  string `env:"E2E_KUBECONFIG"`
	KubeContext string `env:"E2E_KUBECONTEXT"`

	Cluster      string `env:"E2E_CLUSTER, default=k3d"`
	ClusterName  string `env:"CLUSTER_NAME"`
	ImageNginx   string `env:"E2E_IMAGE_NGINX"`
	ImageCounter string `env:"E2E_IMAGE_COUNTER"`
	OpenAPI      string `env:"E2E_OPENAPI"`
}

// Remedy is the command that sets all of this.
const Remedy = "go tool mage e2e"

// Load reads the environment. Its error names everything that is missing or wrong, and the command that sets it.
func Load(ctx context.Context) (*Environment, error) { return load(ctx, envconfig.OsLookuper()) }

func load(ctx context.Context, lookuper envconfig.Lookuper) (*Environment, error) {
	var v variables
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &v, Lookuper: settings.NonEmpty(lookuper)}); err != nil {
		return nil, fmt.Errorf("read environment: %w", err)
	}
	var c settings.Checker
	e := &Environment{
		TestSettings: v.Check(&c),
		Backend:      settings.Backend(c.OneOf("E2E_BACKEND", v.Backend, string(settings.BackendLocal), string(settings.BackendLive))),
		Token:        settings.Secret(c.Required("CEDANA_AUTH_TOKEN", v.Token, "<the token>")),
		Registered:   c.Boolean("E2E_REGISTERED", v.Registered),
		NoCluster:    v.NoCluster,
		ClusterID:    v.ClusterID, Kubeconfig: v.Kubeconfig, KubeContext: v.KubeContext,
		ImageNginx: v.ImageNginx, ImageCounter: v.ImageCounter, OpenAPI: v.OpenAPI,
	}
	c.Required("E2E_RUN_ID", v.RunID, "1a2b3c4d")
	if c.Required("CEDANA_URL", v.URL, settings.DefaultURL) != "" {
		e.URL = c.URL("CEDANA_URL", v.URL)
	}
	if v.NoCluster == "" {
		c.Required("CLUSTER_ID", v.ClusterID, "<the cluster's id>")
		c.Required("E2E_KUBECONFIG", v.Kubeconfig, "/home/me/.kube/config")
		c.Required("E2E_KUBECONTEXT", v.KubeContext, "k3d-cedana-e2e")
		c.Required("E2E_IMAGE_NGINX", v.ImageNginx, "nginx:1")
		if v.Cluster != "existing" {
			c.Required("E2E_IMAGE_COUNTER", v.ImageCounter, "counter:1")
			e.ClusterName = c.Required("CLUSTER_NAME", v.ClusterName, "cedana-e2e")
		}
	}
	if len(c.Problems) > 0 {
		return nil, fmt.Errorf("the suite runs against a cluster with Cedana in it, which `%s` sets up; run `%s` (%w)", Remedy, Remedy, c.Problems)
	}
	return e, nil
}

// NamespaceFor is the name of a test's namespace: the prefix, the test and the run, within a namespace's 63 characters.
// nth is above 1 when the same test runs again in the same run.
func (e *Environment) NamespaceFor(test string, nth int) string {
	end := "-" + e.RunID
	if nth > 1 {
		end += "-" + strconv.Itoa(nth)
	}
	middle := strings.Trim(notInLabel.ReplaceAllString(strings.ToLower(test), "-"), "-")
	if room := 63 - len(e.Namespace) - 1 - len(end); len(middle) > room {
		middle = strings.TrimRight(middle[:room], "-")
	}
	return e.Namespace + "-" + middle + end
}

var notInLabel = regexp.MustCompile(`[^a-z0-9]+`)
