package runtime

import (
	"context"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
)

const volumes = "/var/lib/kubelet/pods/0c6c/volumes/"

// mounted is a container's specification with what is mounted at /data.
func mounted(data ...specs.Mount) *specs.Spec {
	return &specs.Spec{Mounts: append([]specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/etc/hosts", Type: "bind", Source: "/var/lib/kubelet/pods/0c6c/etc-hosts"},
	}, data...)}
}

func atData(source string) specs.Mount {
	return specs.Mount{Destination: "/data", Type: "bind", Source: source}
}

func TestAContainerIsRestoredWithTheVolumesAndTheImageThatItHad(t *testing.T) {
	t.Parallel()
	const image = "registry/web@sha256:a"
	was := mounted(atData(volumes + "kubernetes.io~empty-dir/data"))
	for name, c := range map[string]struct {
		now   *specs.Spec
		image string
		code  refusal.Code
		says  string
	}{
		"the same, of another pod":      {mounted(atData("/var/lib/kubelet/pods/77/volumes/kubernetes.io~empty-dir/data")), image, "", ""},
		"of another name of the image":  {was, "mirror/web@sha256:a", "", ""},
		"more than before":              {mounted(was.Mounts[2], specs.Mount{Destination: "/more", Type: "tmpfs"}), image, "", ""},
		"nothing there":                 {mounted(), image, refusal.VolumeMissing, "a volume of type kubernetes.io~empty-dir mounted at /data"},
		"a volume of another type":      {mounted(atData(volumes + "kubernetes.io~configmap/data")), image, refusal.VolumeChanged, "has a volume of type kubernetes.io~configmap there now"},
		"a path of the node in its way": {mounted(atData("/srv")), image, refusal.VolumeChanged, "has a path of the node there now"},
		"another image":                 {was, "registry/web@sha256:b", refusal.ImageChanged, "its image on this node is registry/web@sha256:b"},
	} {
		checkpoint := archive.Checkpoint{Dir: t.TempDir()}
		require.NoError(t, checkpoint.WriteJSON(archive.SpecDump, was))
		require.NoError(t, checkpoint.WriteJSON(archive.ConfigDump, archive.ContainerConfig{RootfsImageRef: image}))
		r := restorer{image: func(_ context.Context, id string) (string, error) {
			require.Equal(t, "the-container", id)
			return c.image, nil
		}}
		err := r.fits(t.Context(), Invocation{ID: "the-container"}, Target{Container: "web"}, c.now, checkpoint)
		if c.code == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, refusal.Coded(err), string(c.code)+": ", name)
		require.ErrorContains(t, err, c.says, name)
	}
}
