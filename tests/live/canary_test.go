package live

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// canaries are secrets that are looked for where they must not be, by what they are.
type canaries map[string]settings.Secret

// in names the canaries in data, as they are or as base64 in any of its three alignments.
func (c canaries) in(data []byte) []string {
	var found []string
	for name, secret := range c {
		forms := []string{secret.Reveal()}
		for shift := range 3 {
			encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret.Reveal()))
			// What is before and behind it shares characters with it: these are left out.
			forms = append(forms, encoded[4:len(encoded)-2])
		}
		for _, form := range forms {
			if bytes.Contains(data, []byte(form)) {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

func (c canaries) notIn(t testing.TB, what string, data []byte) {
	t.Helper()
	if found := c.in(data); len(found) > 0 {
		t.Errorf("%s has the %s in it", what, strings.Join(found, " and the "))
	}
}

func (c canaries) notInFiles(t testing.TB, dir string) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		c.notIn(t, path, data)
		files++
		return err
	}))
	require.NotZero(t, files, "%s is empty, so nothing was looked at", dir)
}

// watchProcesses looks at every process's arguments until the function that it gives is called.
func (c canaries) watchProcesses(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	looks := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			lists, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range lists {
				// A process that has ended meanwhile is none.
				if data, err := os.ReadFile(path); err == nil {
					program, _, _ := bytes.Cut(data, []byte{0})
					c.notIn(t, "the arguments of "+string(program), data)
				}
			}
			n++
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
		looks <- n
	}()
	return func() {
		cancel()
		require.NotZero(t, <-looks, "no process was looked at")
	}
}

// onlyInSecrets looks at every object that the cluster has, at Helm's releases unpacked as well: the token is in the
// chart's Secret and in those in which Helm keeps the release, and in nothing else; the registry's password is in none.
func (c canaries) onlyInSecrets(t testing.TB, kubeconfig, kubeContext string) {
	t.Helper()
	config := restConfig(t, kubeconfig, kubeContext)
	kinds, err := discovery.NewDiscoveryClientForConfigOrDie(config).ServerPreferredResources()
	require.NoError(t, err)
	client := dynamic.NewForConfigOrDie(config)
	inSecret, inRelease, objects := false, false, 0
	for _, group := range kinds {
		version, err := schema.ParseGroupVersion(group.GroupVersion)
		require.NoError(t, err)
		for _, kind := range group.APIResources {
			if !strings.Contains(strings.Join(kind.Verbs, " ")+" ", "list ") {
				continue
			}
			list, err := client.Resource(version.WithResource(kind.Name)).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err, kind.Name)
			for _, object := range list.Items {
				data, err := object.MarshalJSON()
				require.NoError(t, err)
				objects++
				if kind.Kind == "Secret" && object.GetName() == "cedana-secrets" {
					require.Equal(t, []string{"token"}, c.in(data), "the control: the token is in the Secret that it belongs in, alone")
					inSecret = true
					continue
				}
				if object.Object["type"] == "helm.sh/release.v1" {
					require.Equal(t, []string{"token"}, c.in(release(t, object)), "the control: Helm's release has the values, with the token")
					inRelease = true
				}
				c.notIn(t, kind.Kind+" "+object.GetNamespace()+"/"+object.GetName(), data)
			}
		}
	}
	require.Greater(t, objects, 20, "too few objects to have seen them all")
	require.True(t, inSecret && inRelease, "both kinds of Secret that may have the token were seen")
}

// release is what Helm has in a Secret: base64 of Kubernetes around base64 of Helm around gzip around JSON.
func release(t testing.TB, secret unstructured.Unstructured) []byte {
	t.Helper()
	text, _, err := unstructured.NestedString(secret.Object, "data", "release")
	require.NoError(t, err)
	for range 2 {
		decoded, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		text = string(decoded)
	}
	packed, err := gzip.NewReader(strings.NewReader(text))
	require.NoError(t, err)
	data, err := io.ReadAll(packed)
	require.NoError(t, err)
	require.True(t, json.Valid(data), "release %s", secret.GetName())
	return data
}

func restConfig(t testing.TB, kubeconfig, kubeContext string) *rest.Config {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	require.NoError(t, err)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return config
}

func TestACanaryIsFoundInEveryForm(t *testing.T) {
	t.Parallel()
	c := canaries{"token": "canary-ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	for before := range 3 {
		text := strings.Repeat("a", before) + c["token"].Reveal() + "z"
		require.Equal(t, []string{"token"}, c.in([]byte(text)))
		require.Equal(t, []string{"token"}, c.in([]byte(base64.StdEncoding.EncodeToString([]byte(text)))))
	}
	require.Empty(t, c.in([]byte("canary")))
}
