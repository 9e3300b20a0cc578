package deploy

import (
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"

	localchart "github.com/cedana/cedana-e2e/targets/local/chart"
)

func keyChart() *chart.Chart {
	return &chart.Chart{
		Metadata: &chart.Metadata{Name: "cedana-helm", Version: "0.7.6"},
		Values: map[string]any{
			"config":       map[string]any{"checkpointDir": "/tmp", "pluginsGpuVersion": "v1"},
			"hostConfig":   map[string]any{"containerdAddress": "/run/containerd/containerd.sock"},
			"daemonHelper": map[string]any{"nodeSelector": map[string]any{}, "tolerations": []any{}},
			"whole":        map[string]any{"given": 1},
			"condition":    map[string]any{"given": 1},
		},
		Templates: []*chart.File{{Name: "templates/x.yaml", Data: []byte(`
url: {{ required "need it" .Values.config.url | quote }}
{{- define "named" }}{{ $.Values.config.inDefine }}{{ end }}
{{- if .Values.config.onlyCondition }}x{{ else }}{{ .Values.config.inElse }}{{ end }}
{{- with .Values.whole }}{{ .anything }}{{ end }}
{{- if .Values.condition }}y{{ end }}
{{- $c := .Values.config.assigned }}
{{- printf "%s" (index .Values "indexed" "key" | toString) }}
{{- range $k, $v := .Values.ranged }}{{ $k }}{{ end }}
`)}},
	}
}

func TestKeysOfValuesAndTemplatesAreKnown(t *testing.T) {
	t.Parallel()
	known := knownKeys(keyChart())
	for _, path := range []string{
		"config.checkpointDir", "config.url", "config.inDefine", "config.onlyCondition", "config.inElse", "config.assigned",
		"daemonHelper.nodeSelector.disk", "daemonHelper.tolerations", "whole.given", "whole.anything", "indexed.key",
		"ranged.any.depth", "global.anything", "condition.given",
	} {
		require.True(t, known.has(path), path)
	}
	for _, path := range []string{"config.nothing", "config", "condition.other", "daemonHelper.nothing", "indexed.other", "hostConfig.x"} {
		require.False(t, known.has(path), path)
	}
}

func TestAnUnknownKeyIsNamedWithItsSourceAndTheNearestKnownOne(t *testing.T) {
	t.Parallel()
	err := unknownKeys(keyChart(), []Layer{
		{"mine.yaml", nested("config.checkpointdir", "/mnt")},
		{"other.yaml", nested("config.containerdAddress", "/run/x.sock")},
		{"good.yaml", nested("config.url", "http://x")},
	})
	require.EqualError(t, err, `chart cedana-helm 0.7.6 does not know 2 of the values, and would ignore them without a word:
  config.checkpointdir (from mine.yaml): did you mean config.checkpointDir?
  config.containerdAddress (from other.yaml): did you mean hostConfig.containerdAddress?`)
}

// As Cedana's chart does, so that pods start anew when any of it changes.
func TestAChecksumOfATableMakesNoKeyKnown(t *testing.T) {
	t.Parallel()
	c := keyChart()
	c.Values["resources"] = map[string]any{"limits": map[string]any{"cpu": "1"}}
	for _, checksum := range []string{
		`{{ .Values.config | toYaml | sha256sum }}`, `{{ toYaml .Values.config | sha256sum }}`, `{{ sha256sum (toJson .Values.config) }}`,
		`{{- $sum := toYaml .Values.config | sha256sum }}{{ $sum }}`,
	} {
		c.Templates = append(keyChart().Templates, &chart.File{Name: "templates/sum.yaml", Data: []byte(checksum + `{{ toYaml .Values.resources | nindent 4 }}`)})
		known := knownKeys(c)
		require.False(t, known.has("config.checkpointDirr"), checksum)
		require.Equal(t, "config.checkpointDir", known.nearest("config.checkpointDirr"), checksum)
		require.True(t, known.has("config.checkpointDir"), checksum)
		require.True(t, known.has("config.url"), checksum)
		require.True(t, known.has("resources.limits.memory"), "a table that is only handed on takes what Kubernetes does")
	}
}

func TestATemplateThatCannotBeParsedGivesNoKeys(t *testing.T) {
	t.Parallel()
	require.Empty(t, references("broken", "{{ if .Values.a }}"))
}

func TestTheStandInsChartKnowsEveryValueOfTheLocalBackend(t *testing.T) {
	t.Parallel()
	s := testSettings(t)
	s.CI = true
	all, err := layers(s, Options{
		Chart: localchart.Files, Layers: []string{"local.yaml"}, Token: canary, URLInCluster: "http://propagator:1324",
		Helper: Image{"cedana-e2e.local/cedana", "1"}, Manager: Image{"cedana-e2e.local/cedana", "1"},
	}, "id")
	require.NoError(t, err)
	c, err := readChart(chartRef{files: localchart.Files})
	require.NoError(t, err)
	require.NoError(t, unknownKeys(c, all))
}
