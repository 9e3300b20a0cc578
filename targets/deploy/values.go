package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	chartsvalues "github.com/cedana/cedana-e2e/charts-values"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Layer is one source of values. Later layers win: maps are merged, anything else is replaced.
type Layer struct {
	// Source is what a person would look for: a file's name, or an environment variable's.
	Source string
	Values map[string]any
}

const (
	helperImage  = "daemonHelper.image"
	managerImage = "controllerManager.manager.image"
)

// replaces says whether the run itself gives this part of an image: on the local backend an image variable that is
// meant for real Cedana must not change the stand-in's image.
func (o Options) replaces(path string) bool {
	return o.Helper.Repository != "" && strings.HasPrefix(path, helperImage) ||
		o.Manager.Repository != "" && strings.HasPrefix(path, managerImage)
}

// secretKey is a key whose value is never shown: config.authToken and config.awsSecretAccessKey of Cedana's chart, and
// what a user's own file may have beside them. The name of a Kubernetes Secret is no secret (preExistingSecret).
var secretKey = regexp.MustCompile(`(?i)(token|password|passwd|credentials|(access|api|private|secret)_?key)$`)

// layers reads every layer in order: files of charts-values, HELM_VALUES, variables, and last what the run itself
// knows.
func layers(s *settings.Deploy, opts Options, clusterID string) ([]Layer, error) {
	names := append([]string{"base.yaml"}, opts.Layers...)
	if s.CI {
		names = append(names, "ci.yaml")
	}
	var out []Layer
	for _, name := range names {
		data, err := chartsvalues.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read charts-values/%s: %w", name, err)
		}
		if out, err = appendYAML(out, "charts-values/"+name, data); err != nil {
			return nil, err
		}
	}
	for _, name := range s.HelmValues {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read values file of HELM_VALUES: %w", err)
		}
		if out, err = appendYAML(out, name, data); err != nil {
			return nil, err
		}
	}
	out = append(out, variableLayers(s, opts)...)
	return append(out, runLayers(s, opts, clusterID)...), nil
}

func appendYAML(to []Layer, source string, data []byte) ([]Layer, error) {
	var values map[string]any
	err := yaml.Unmarshal(data, &values, func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d })
	if err != nil {
		return nil, fmt.Errorf("read values of %s: %w", source, err)
	}
	plain, _ := plainNumbers(values).(map[string]any)
	return append(to, Layer{Source: source, Values: plain}), nil
}

// plainNumbers makes whole numbers int64. Helm's own reader makes all of them floats, and a template then writes
// 8.589934592e+09 for 8589934592.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return whole
		}
		if float, err := v.Float64(); err == nil {
			return float
		}
		return v.String()
	}
	return v
}

// variableLayers are the values that variables set.
func variableLayers(s *settings.Deploy, opts Options) []Layer {
	var out []Layer
	for _, v := range s.ChartValues {
		if !opts.replaces(v.Path) {
			out = append(out, Layer{Source: v.Variable, Values: nested(v.Path, v.Value)})
		}
	}
	return out
}

// runLayers is what only the run knows, last so that nothing overrides it.
func runLayers(s *settings.Deploy, opts Options, clusterID string) []Layer {
	var out []Layer
	add := func(source, path string, value any) {
		out = append(out, Layer{Source: source, Values: nested(path, value)})
	}
	image := func(path string, i Image) {
		if i.Repository != "" {
			add("run", path, map[string]any{"repository": i.Repository, "tag": i.Tag})
		}
	}
	image(helperImage, opts.Helper)
	image(managerImage, opts.Manager)
	if opts.Chart != nil && s.HelmChart == "" {
		// The stand-in's own chart alone has these keys; Cedana's learns the root from the requests.
		add("RUNC_ROOT", "hostConfig.runcRoot", s.RuncRoot)
		add("E2E_CHECKPOINT_TIMEOUT", "config.checkpointTimeout", s.CheckpointTimeout.String())
		add("E2E_RESTORE_TIMEOUT", "config.restoreTimeout", s.RestoreTimeout.String())
		add(stretch.Variable, "config.timeoutScale", stretch.Text())
	}
	add(sourceOf(opts.URLInCluster == "", "CEDANA_URL"), "config.url", urlInCluster(s, opts))
	add(sourceOf(s.ClusterID != "", "CLUSTER_ID"), "config.clusterId", clusterID)
	add(sourceOf(s.Token.Set(), "CEDANA_AUTH_TOKEN"), "config.authToken", opts.Token.Reveal())
	return out
}

func sourceOf(given bool, name string) string {
	if given {
		return name
	}
	return "run"
}

// urlInCluster has a version, because Cedana's helper uses the address as it is, as the prefix of its own calls.
func urlInCluster(s *settings.Deploy, opts Options) string {
	url := opts.URLInCluster
	if url == "" {
		url = s.URL
	}
	url = strings.TrimRight(url, "/")
	if strings.HasSuffix(url, "/v1") || strings.HasSuffix(url, "/v2") {
		return url
	}
	return url + "/v1"
}

func merged(all []Layer) map[string]any {
	out := map[string]any{}
	for _, l := range all {
		out = mergeTables(out, l.Values)
	}
	return out
}

// mergeTables gives a map in which over wins; neither argument is changed. A null stays: for Helm it removes a
// chart's default.
func mergeTables(under, over map[string]any) map[string]any {
	out := make(map[string]any, len(under)+len(over))
	for k, v := range under {
		out[k] = v
	}
	for k, v := range over {
		if table, ok := v.(map[string]any); ok {
			below, _ := out[k].(map[string]any)
			v = mergeTables(below, table)
		}
		out[k] = v
	}
	return out
}

func nested(path string, value any) map[string]any {
	parts := strings.Split(path, ".")
	for _, part := range slices.Backward(parts) {
		value = map[string]any{part: value}
	}
	return value.(map[string]any)
}

// Value is one final value and where it came from.
type Value struct {
	Path string
	// Value is `***` for a secret.
	Value  any
	Source string
}

// Values are the final values in order of their paths, with secrets masked. clusterID may be empty where none is
// known yet.
func Values(s *settings.Deploy, opts Options, clusterID string) ([]Value, error) {
	all, err := layers(s, opts, clusterID)
	if err != nil {
		return nil, err
	}
	source := map[string]string{}
	for _, l := range all {
		for path := range leaves("", l.Values) {
			source[path] = l.Source
		}
	}
	var out []Value
	for path, v := range leaves("", merged(all)) {
		out = append(out, Value{Path: path, Value: masked(path, v), Source: source[path]})
	}
	slices.SortFunc(out, func(a, b Value) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// masked is a value as it may be shown: a secret, and one in a list of tables, is `***`.
func masked(path string, v any) any {
	if secretKey.MatchString(path) && v != nil && v != "" {
		return settings.Secret("set").String()
	}
	list, ok := v.([]any)
	if !ok {
		return v
	}
	out := make([]any, len(list))
	for i, one := range list {
		out[i] = one
		if table, ok := one.(map[string]any); ok {
			shown := make(map[string]any, len(table))
			for k, v := range table {
				shown[k] = masked(k, v)
			}
			out[i] = shown
		}
	}
	return out
}

// leaves goes through the values that are not tables (an empty table counts as a value), with their paths.
func leaves(prefix string, table map[string]any) func(yield func(string, any) bool) {
	return func(yield func(string, any) bool) { walk(prefix, table, yield) }
}

func walk(prefix string, table map[string]any, yield func(string, any) bool) bool {
	for k, v := range table {
		path := k
		if prefix != "" {
			path = prefix + "." + k
		}
		below, ok := v.(map[string]any)
		if ok && len(below) > 0 {
			if !walk(path, below, yield) {
				return false
			}
			continue
		}
		if !yield(path, v) {
			return false
		}
	}
	return true
}
