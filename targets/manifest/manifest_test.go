package manifest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const web = `# a comment alone is no object
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      initContainers: [{name: prepare, image: busybox}]
      containers: [{name: web, image: "nginx:1", imagePullPolicy: Always}, {name: side, image: busybox}]
`

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestAFileMayHaveSeveralDocuments(t *testing.T) {
	t.Parallel()
	objects, err := Load(write(t, t.TempDir(), "web.yaml", web))
	require.NoError(t, err)
	require.Len(t, objects, 2)
	require.False(t, objects[0].MakesPods())
	require.Equal(t, "Deployment/web", objects[1].String())
	pod, err := objects[1].Template()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"app": "web"}, pod.Labels)
	require.Equal(t, "nginx:1", pod.Spec.Containers[0].Image)
}

func TestADirectoryIsAllItsFilesAndAListAllItsItems(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "b.yml", web)
	write(t, dir, "a.json", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}]}`)
	write(t, dir, "README.md", "no manifest")
	objects, err := Load(dir)
	require.NoError(t, err)
	var names []string
	for _, o := range objects {
		names = append(names, o.String())
	}
	require.Equal(t, []string{"Pod/p", "Service/web", "Deployment/web"}, names)
}

func TestImagesAreReplacedByName(t *testing.T) {
	t.Parallel()
	objects, err := Load(write(t, t.TempDir(), "web.yaml", web))
	require.NoError(t, err)
	replaced, err := objects[1].ReplaceImages(map[string]string{"nginx:1": "mine:2", "other": "x"})
	require.NoError(t, err)
	require.Equal(t, []string{"nginx:1"}, replaced)
	pod, err := objects[1].Template()
	require.NoError(t, err)
	require.Equal(t, "mine:2", pod.Spec.Containers[0].Image)
	require.EqualValues(t, "IfNotPresent", pod.Spec.Containers[0].ImagePullPolicy)
	require.Equal(t, "busybox", pod.Spec.Containers[1].Image)
}

func TestWhatCannotBeTriedIsSaidBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ content, says string }{
		"no pods":       {"apiVersion: v1\nkind: Service\nmetadata: {name: s}\n", "none of the 1 objects"},
		"no kind":       {"metadata: {name: s}\n", "document 1 has no kind"},
		"no YAML":       {"a: [", "read manifest"},
		"no containers": {"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {}\n", "Pod/p"},
		"no template":   {"apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {}\n", "read spec.template of Job/j"},
		"twice":         {web + "---\n" + web, "is in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(write(t, t.TempDir(), "m.yaml", test.content))
			require.ErrorContains(t, err, test.says)
		})
	}
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(t.TempDir())
	require.ErrorContains(t, err, "has no .yaml")
}
