package chart_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/cedana/cedana-e2e/targets/local/chart"
)

const token = "not-a-real-token"

func load(t *testing.T) *helmchart.Chart {
	t.Helper()
	var files []*loader.BufferedFile
	require.NoError(t, fs.WalkDir(chart.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := chart.Files.ReadFile(path)
		files = append(files, &loader.BufferedFile{Name: path, Data: data})
		return err
	}))
	c, err := loader.LoadFiles(files)
	require.NoError(t, err)
	return c
}

func values(changes map[string]any) map[string]any {
	out := map[string]any{
		"config":            map[string]any{"url": "http://172.18.0.5:1324/v1", "authToken": token, "clusterId": "an-id"},
		"daemonHelper":      map[string]any{"image": map[string]any{"tag": "one"}},
		"controllerManager": map[string]any{"manager": map[string]any{"image": map[string]any{"tag": "one"}}},
	}
	// Helm's own merging: changes win.
	return chartutil.CoalesceTables(changes, out)
}

// render gives the rendered objects by "Kind/name".
func render(t *testing.T, changes map[string]any) (map[string]string, error) {
	t.Helper()
	c := load(t)
	all, err := chartutil.ToRenderValues(c, values(changes),
		chartutil.ReleaseOptions{Name: "cedana", Namespace: "somewhere", IsInstall: true}, chartutil.DefaultCapabilities)
	require.NoError(t, err)
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	objects := map[string]string{}
	for name, content := range files {
		if strings.HasSuffix(name, ".tpl") {
			continue
		}
		for document := range strings.SplitSeq(content, "\n---\n") {
			var head struct {
				Kind     string `json:"kind"`
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
			}
			require.NoError(t, yaml.Unmarshal([]byte(document), &head), "%s:\n%s", name, document)
			if head.Kind != "" {
				objects[head.Kind+"/"+head.Metadata.Name] = document
			}
		}
	}
	return objects, nil
}

func object[T any](t *testing.T, objects map[string]string, name string) T {
	t.Helper()
	var out T
	require.Contains(t, objects, name)
	require.NoError(t, yaml.UnmarshalStrict([]byte(objects[name]), &out), objects[name])
	return out
}

func TestLintFindsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/cedana-helm"
	require.NoError(t, chartutil.SaveDir(load(t), strings.TrimSuffix(dir, "/cedana-helm")))
	for _, message := range lint.AllWithKubeVersion(dir, values(nil), "somewhere", nil).Messages {
		require.LessOrEqual(t, message.Severity, support.InfoSev, message.Error())
	}
}

// The helper is in the host's network: what it listens on is the host's.
func TestTheHelpersHealthIsAskedOnTheLoopbackInterface(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"": "127.0.0.1", "127.0.0.1:9000": "127.0.0.1", "0.0.0.0:9000": "127.0.0.1", ":9000": "127.0.0.1", "10.0.0.7:9000": "10.0.0.7"} {
		changes := map[string]any{}
		if address != "" {
			changes["config"] = map[string]any{"address": address}
		}
		objects, err := render(t, changes)
		require.NoError(t, err)
		if address == "" {
			require.Equal(t, "127.0.0.1:8080", object[corev1.ConfigMap](t, objects, "ConfigMap/cedana-config").Data["address"])
		}
		container := object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper").Spec.Template.Spec.Containers[0]
		for _, probe := range []*corev1.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
			require.Equal(t, want, probe.HTTPGet.Host, address)
		}
	}
}

func TestObjectsHaveTheNamesOfCedanasChart(t *testing.T) {
	t.Parallel()
	objects, err := render(t, nil)
	require.NoError(t, err)
	require.Equal(t, []string{
		"ClusterRole/cedana-manager-role", "ClusterRoleBinding/cedana-manager-rolebinding", "ConfigMap/cedana-config",
		"DaemonSet/cedana-helper", "Deployment/cedana-manager", "RuntimeClass/cedana", "Secret/cedana-secrets",
		"Service/cedana-manager-service", "ServiceAccount/cedana-controller-manager",
	}, slices.Sorted(maps.Keys(objects)))
	config := object[corev1.ConfigMap](t, objects, "ConfigMap/cedana-config")
	require.Equal(t, "somewhere", config.Namespace)
	require.Equal(t, "an-id", config.Data["cluster-id"])
	require.Equal(t, "http://172.18.0.5:1324/v1", config.Data["url"])
	require.Equal(t, "cedana", config.Labels["app"])
	secret := object[corev1.Secret](t, objects, "Secret/cedana-secrets")
	require.Equal(t, token, string(secret.Data["auth-token"]))
}

func TestTheTokenIsInTheSecretAlone(t *testing.T) {
	t.Parallel()
	objects, err := render(t, nil)
	require.NoError(t, err)
	for name, text := range objects {
		require.NotContains(t, text, token, name)
	}
}

func TestRequiredValuesAreMissedByName(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string]map[string]any{
		"config.url":             {"config": map[string]any{"url": ""}},
		"config.authToken":       {"config": map[string]any{"authToken": ""}},
		"config.clusterId":       {"config": map[string]any{"clusterId": ""}},
		"config.address":         {"config": map[string]any{"address": ""}},
		"daemonHelper.image.tag": {"daemonHelper": map[string]any{"image": map[string]any{"tag": ""}}},
		"controllerManager.manager.image.tag": {
			"controllerManager": map[string]any{"manager": map[string]any{"image": map[string]any{"tag": ""}}}},
	} {
		_, err := render(t, changes)
		require.ErrorContains(t, err, name)
	}
}

func TestHelperIsOnTheNode(t *testing.T) {
	t.Parallel()
	objects, err := render(t, map[string]any{"config": map[string]any{"address": "127.0.0.1:9000"}})
	require.NoError(t, err)
	helper := object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper")
	spec := helper.Spec.Template.Spec
	require.True(t, spec.HostPID)
	require.True(t, spec.HostNetwork)
	container := spec.Containers[0]
	require.True(t, *container.SecurityContext.Privileged)
	require.Equal(t, "cedana-e2e.local/cedana:one", container.Image)
	require.Equal(t, corev1.PullIfNotPresent, container.ImagePullPolicy)
	require.Equal(t, int32(9000), container.Ports[0].ContainerPort)
	require.Equal(t, corev1.MountPropagationHostToContainer, *container.VolumeMounts[0].MountPropagation)
	require.Equal(t, helper.Spec.Selector.MatchLabels, intersection(helper.Spec.Selector.MatchLabels, helper.Spec.Template.Labels))
	for label, want := range map[string]string{
		"app.kubernetes.io/instance": "cedana", "app.kubernetes.io/name": "cedana", "app.kubernetes.io/component": "helper",
	} {
		require.Equal(t, want, helper.Spec.Template.Labels[label])
	}
}

func TestADigestBeatsATag(t *testing.T) {
	t.Parallel()
	objects, err := render(t, map[string]any{
		"daemonHelper": map[string]any{"image": map[string]any{"repository": "r/c", "digest": "sha256:abc"}},
	})
	require.NoError(t, err)
	require.Equal(t, "r/c@sha256:abc", object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper").Spec.Template.Spec.Containers[0].Image)
}

func TestPodsRestartWhenConfigurationChanges(t *testing.T) {
	t.Parallel()
	checksum := func(changes map[string]any) [2]string {
		objects, err := render(t, changes)
		require.NoError(t, err)
		return [2]string{
			object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper").Spec.Template.Annotations["checksum/config"],
			object[appsv1.Deployment](t, objects, "Deployment/cedana-manager").Spec.Template.Annotations["checksum/config"],
		}
	}
	before := checksum(nil)
	require.Len(t, before[0], 64)
	require.Equal(t, before, checksum(nil))
	for _, changes := range []map[string]any{
		{"config": map[string]any{"authToken": "another"}},
		{"config": map[string]any{"checkpointCompression": "gzip"}},
	} {
		after := checksum(changes)
		require.NotEqual(t, before[0], after[0])
		require.NotEqual(t, before[1], after[1])
	}
}

func TestTheHelperIsToldTheRuncRoot(t *testing.T) {
	t.Parallel()
	objects, err := render(t, map[string]any{"hostConfig": map[string]any{"runcRoot": "/run/e2e-other/runc/k8s.io"}})
	require.NoError(t, err)
	require.Equal(t, "/run/e2e-other/runc/k8s.io", object[corev1.ConfigMap](t, objects, "ConfigMap/cedana-config").Data["runc-root"])
	env := object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper").Spec.Template.Spec.Containers[0].Env
	i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "CEDANA_RUNC_ROOT" })
	require.GreaterOrEqual(t, i, 0)
	require.Equal(t, "runc-root", env[i].ValueFrom.ConfigMapKeyRef.Key)
}

func TestBothPartsAreToldTheirTimeouts(t *testing.T) {
	t.Parallel()
	objects, err := render(t, map[string]any{"config": map[string]any{"checkpointTimeout": "3m", "restoreTimeout": "5m"}})
	require.NoError(t, err)
	config := object[corev1.ConfigMap](t, objects, "ConfigMap/cedana-config").Data
	value := func(spec corev1.PodSpec, name string) string {
		env := spec.Containers[0].Env
		i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == name })
		require.GreaterOrEqual(t, i, 0, name)
		return config[env[i].ValueFrom.ConfigMapKeyRef.Key]
	}
	helper := object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper").Spec.Template.Spec
	require.Equal(t, "3m", value(helper, "CEDANA_CHECKPOINT_TIMEOUT"))
	require.Equal(t, "5m", value(helper, "CEDANA_RESTORE_TIMEOUT"), "for the runtime, which the helper configures")
	require.Equal(t, "5m", value(object[appsv1.Deployment](t, objects, "Deployment/cedana-manager").Spec.Template.Spec, "CEDANA_RESTORE_TIMEOUT"))
}

func TestOwnSecretIsUsedAndNoneMade(t *testing.T) {
	t.Parallel()
	objects, err := render(t, map[string]any{"config": map[string]any{"preExistingSecret": "mine", "authToken": ""}})
	require.NoError(t, err)
	require.NotContains(t, objects, "Secret/cedana-secrets")
	manager := object[appsv1.Deployment](t, objects, "Deployment/cedana-manager")
	var found bool
	for _, e := range manager.Spec.Template.Spec.Containers[0].Env {
		if e.Name == "CEDANA_AUTH_TOKEN" {
			found = true
			require.Equal(t, "mine", e.ValueFrom.SecretKeyRef.Name)
		}
	}
	require.True(t, found)
}

// What the manager asks of the API server is in package manager's podAPI, objectAPI, eventAPI and informers, and no more is granted.
func TestManagerMayDoNoMoreThanItDoes(t *testing.T) {
	t.Parallel()
	objects, err := render(t, nil)
	require.NoError(t, err)
	var granted []string
	for _, rule := range object[rbacv1.ClusterRole](t, objects, "ClusterRole/cedana-manager-role").Rules {
		granted = append(granted, fmt.Sprint(rule.Resources, rule.Verbs))
	}
	require.Equal(t, []string{"[pods] [get list watch create delete]", "[nodes] [get list watch]", "[configmaps secrets persistentvolumeclaims] [get]", "[runtimeclasses] [get]", "[events] [create]"}, granted)
}

func intersection(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range a {
		if b[k] == v {
			out[k] = v
		}
	}
	return out
}

func TestACertificateAuthorityReachesBothPartsAndNothingIsMountedWithoutOne(t *testing.T) {
	t.Parallel()
	objects, err := render(t, nil)
	require.NoError(t, err)
	for name, text := range objects {
		require.NotContains(t, text, "ca.crt", name)
		require.NotContains(t, text, "SSL_CERT_FILE", name)
	}
	objects, err = render(t, map[string]any{"config": map[string]any{"caCertificate": "-----BEGIN CERTIFICATE-----\nxyz\n"}})
	require.NoError(t, err)
	require.Equal(t, "-----BEGIN CERTIFICATE-----\nxyz\n", object[corev1.ConfigMap](t, objects, "ConfigMap/cedana-config").Data["ca.crt"])
	for _, spec := range []corev1.PodSpec{
		object[appsv1.Deployment](t, objects, "Deployment/cedana-manager").Spec.Template.Spec,
		object[appsv1.DaemonSet](t, objects, "DaemonSet/cedana-helper").Spec.Template.Spec,
	} {
		require.Contains(t, spec.Containers[0].Env, corev1.EnvVar{Name: "SSL_CERT_FILE", Value: "/etc/cedana/ca.crt"})
		require.Contains(t, spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "ca", MountPath: "/etc/cedana", ReadOnly: true})
		require.Equal(t, "ca", spec.Volumes[len(spec.Volumes)-1].Name)
	}
}
