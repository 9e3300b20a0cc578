package settings

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Deploy is what Cedana is installed with, and where.
type Deploy struct {
	Run
	Propagator
	// CedanaNamespace is where Cedana runs.
	CedanaNamespace string
	// ClusterID is never "existing": ChooseCluster says that one of the registered clusters is to be used.
	ClusterID     string
	ChooseCluster bool
	// RuncRoot is where containerd keeps runc's state on every node.
	RuncRoot string
	// CheckpointTimeout and RestoreTimeout are how long the stand-in may take for one of them.
	CheckpointTimeout, RestoreTimeout time.Duration

	// HelmChart is an oci:// reference, a version, a directory or a file; empty for the backend's own.
	HelmChart string
	// HelmValues are files, the last wins.
	HelmValues []string
	// SkipHelm says that Cedana is installed already.
	SkipHelm bool
	// RegistryUser and RegistryPassword are for a chart in a private registry, over what Helm and Docker know.
	RegistryUser     string
	RegistryPassword Secret
	// RegistryConfig is a file with registry logins; empty for Helm's own.
	RegistryConfig string
	// ChartValues are those that variables set, in the order of their declaration.
	ChartValues []ChartValue
	// CI says that the values for CI are wanted.
	CI bool
	// Timeout bounds a deployment.
	Timeout time.Duration
}

// ChartValue is a value of the chart that an environment variable sets.
type ChartValue struct {
	// Variable is its name.
	Variable string
	// Path is the value's, with dots: config.checkpointDir.
	Path string
	// Value is a string, an int64 or a bool.
	Value any
}

// chooseCluster is the value of CLUSTER_ID that means: one of those that are registered.
const chooseCluster = "existing"

func readDeploy(v *Variables) Deploy {
	var d Deploy
	v.Group("Deployment")
	d.CedanaNamespace = v.Label(Variable{Name: "CEDANA_NAMESPACE", Default: "cedana-system", Doc: "namespace that Cedana is installed in"}, 63)
	d.ClusterID = v.Text(Variable{
		Name: "CLUSTER_ID", Example: "<the cluster's id>",
		Doc: "id of a registered cluster to use, or `existing` to choose one; it is never deregistered. Filters lists",
	})
	if d.ClusterID == chooseCluster {
		d.ClusterID, d.ChooseCluster = "", true
	}
	d.HelmChart = v.Text(Variable{Name: "HELM_CHART", DefaultText: "the backend's own", Doc: "chart: `oci://` reference, version, directory or `.tgz`"})
	d.HelmValues = v.List(Variable{Name: "HELM_VALUES", Doc: "values files, comma-separated; the last wins"})
	d.SkipHelm = v.Bool(Variable{
		Name: "SKIP_HELM",
		Doc:  "`1`: Cedana is installed already: `deploy` only waits until it is ready, and takes what is not given of id, URL and token from it",
	})
	d.RegistryUser = v.Text(Variable{
		Name: "HELM_REGISTRY_USERNAME", DefaultText: "what Helm and Docker know", Doc: "login for a chart in a private registry; goes with `HELM_REGISTRY_PASSWORD`",
	})
	d.RegistryPassword = v.Secret(Variable{
		Name: "HELM_REGISTRY_PASSWORD", DefaultText: "what Helm and Docker know", Example: "<your password>", Doc: "its password",
	})
	if (d.RegistryUser == "") != !d.RegistryPassword.Set() {
		v.Problem("HELM_REGISTRY_USERNAME", "goes with HELM_REGISTRY_PASSWORD, and only one of them is set", "<your user name>")
	}
	d.RegistryConfig = v.Text(Variable{Name: "HELM_REGISTRY_CONFIG", DefaultText: "Helm's own", Doc: "file with registry logins"})
	if d.SkipHelm && d.ChooseCluster {
		v.Problem("CLUSTER_ID", "existing makes no sense with SKIP_HELM=1, which takes the id that is installed", "<nothing>")
	}
	ci := v.Text(Variable{Name: "CI", Doc: "set on CI machines: adds `charts-values/ci.yaml`; `0` and `false` do not count"})
	d.CI = ci != "" && ci != "0" && ci != "false"
	return d
}

// chartVariable maps a variable that Cedana's users know from its own suite to the chart's value that it sets.
type chartVariable struct {
	name, path string
	kind       kind
	by         reader
	doc        string
}

// reader is whose chart has a use for a value.
type reader int

const (
	// both Cedana and the stand-in have.
	both reader = iota
	// cedana alone has: the stand-in's chart knows the value and does nothing with it.
	cedana
	// cedanasImage is one of an image: the stand-in's are given by the run.
	cedanasImage
)

type kind int

const (
	text kind = iota
	number
	boolean
)

// chartVariables have no defaults here: the chart and charts-values have them. Where both are set, an image's digest
// wins over its tag in the chart itself.
var chartVariables = []chartVariable{
	{"CEDANA_CHECKPOINT_DIR", "config.checkpointDir", text, cedana, "where checkpoints are stored"},
	{"CEDANA_CHECKPOINT_STREAMS", "config.checkpointStreams", number, cedana, "how many streams a checkpoint is stored by"},
	{"CEDANA_CHECKPOINT_COMPRESSION", "config.checkpointCompression", text, both, "how it is compressed"},
	{"CEDANA_CHECKPOINT_ASYNC", "config.checkpointAsync", boolean, cedana, "whether it is stored after the pod goes on"},
	{"CEDANA_LOG_LEVEL", "config.logLevel", text, both, "how much Cedana logs"},
	{"CEDANA_PROFILING_ENABLED", "config.profiling", boolean, cedana, "whether it profiles"},
	{"CEDANA_METRICS_ENABLED", "config.metrics", boolean, cedana, "whether it sends metrics"},
	{"CEDANA_PLUGINS_BUILDS", "config.pluginsBuilds", text, cedana, "which builds of its plugins the nodes get"},
	{"CEDANA_PLUGINS_CRIU_VERSION", "config.pluginsCriuVersion", text, cedana, "the plugin's version"},
	{"CEDANA_PLUGINS_CONTAINERD_RUNTIME_VERSION", "config.pluginsContainerdRuntimeVersion", text, cedana, "the plugin's version"},
	{"CEDANA_PLUGINS_GPU_VERSION", "config.pluginsGpuVersion", text, cedana, "the plugin's version"},
	{"CEDANA_PLUGINS_STREAMER_VERSION", "config.pluginsStreamerVersion", text, cedana, "the plugin's version"},
	// Text, because Helm turns a big number into 8.589934592e+09.
	{"CEDANA_GPU_SHM_SIZE", "config.gpuShmSize", text, cedana, "shared memory for GPUs, in bytes"},
	{"CONTAINERD_ADDRESS", "hostConfig.containerdAddress", text, cedana, "containerd's socket on the nodes"},
	{"CONTROLLER_REPO", "controllerManager.manager.image.repository", text, cedanasImage, "the manager's image"},
	{"CONTROLLER_TAG", "controllerManager.manager.image.tag", text, cedanasImage, "its tag"},
	{"CONTROLLER_DIGEST", "controllerManager.manager.image.digest", text, cedanasImage, "its digest, which wins over the tag"},
	{"HELPER_REPO", "daemonHelper.image.repository", text, cedanasImage, "the helper's image"},
	{"HELPER_TAG", "daemonHelper.image.tag", text, cedanasImage, "its tag"},
	{"HELPER_DIGEST", "daemonHelper.image.digest", text, cedanasImage, "its digest, which wins over the tag"},
}

// ImageVariables are the names of the variables that choose the chart's images.
func ImageVariables() []string {
	var names []string
	for _, one := range chartVariables {
		if strings.Contains(one.path, ".image.") {
			names = append(names, one.name)
		}
	}
	return names
}

func readChartValues(v *Variables) []ChartValue {
	v.Group("Values of the chart")
	var out []ChartValue
	for _, one := range chartVariables {
		d := Variable{Name: one.name, DefaultText: "`charts-values/`, then the chart", Doc: one.doc + " (`" + one.path + "`)"}
		if one.by != both {
			d.For = "live"
		}
		if one.by == cedanasImage {
			d.DefaultText = "the chart"
		}
		raw := v.Text(d)
		if raw == "" {
			continue
		}
		var value any = raw
		var err error
		switch one.kind {
		case number:
			if value, err = strconv.ParseInt(raw, 10, 64); err != nil {
				v.Problem(one.name, fmt.Sprintf("%q is not a number", raw), "4")
			}
		case boolean:
			if value, err = strconv.ParseBool(raw); err != nil {
				v.Problem(one.name, fmt.Sprintf("%q is neither true nor false", raw), "true")
			}
		}
		out = append(out, ChartValue{Variable: one.name, Path: one.path, Value: value})
	}
	return out
}
