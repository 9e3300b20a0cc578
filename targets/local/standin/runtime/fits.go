package runtime

import (
	"context"
	"regexp"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/cedana/cedana-e2e/targets/local/standin/archive"
	"github.com/cedana/cedana-e2e/targets/local/standin/refusal"
)

// fits refuses a container that is not what was checkpointed: its image, its volumes. Nobody before this knows what the
// kubelet has made of the pod on this node.
func (r restorer) fits(ctx context.Context, in Invocation, t Target, spec *specs.Spec, c archive.Checkpoint) error {
	original, err := c.Spec()
	if err != nil {
		return err
	}
	if err := sameMounts(t.Container, original, spec); err != nil {
		return err
	}
	was, err := c.Image()
	if err != nil || was == "" {
		return err
	}
	is, err := r.image(ctx, in.ID)
	if err != nil {
		return err
	}
	if digest(was) != digest(is) {
		return refusal.New(refusal.ImageChanged, "container %s ran the image %s when it was checkpointed, and its image on this node is %s: restore it with the former image",
			t.Container, was, is)
	}
	return nil
}

// digest is that of an image's reference, which may have a name before it.
func digest(image string) string {
	return image[strings.LastIndex(image, "@")+1:]
}

// sameMounts refuses a container that lacks a mount of its original, or has another kind of volume there.
func sameMounts(container string, was, is *specs.Spec) error {
	kinds := map[string]string{}
	for _, m := range is.Mounts {
		kinds[m.Destination] = mountKind(m)
	}
	for _, m := range was.Mounts {
		now, there := kinds[m.Destination]
		if !there {
			return refusal.New(refusal.VolumeMissing, "container %s had %s mounted at %s when it was checkpointed, and has nothing there now: give its pod that volume",
				container, mountKind(m), m.Destination)
		}
		if before := mountKind(m); before != now {
			return refusal.New(refusal.VolumeChanged, "container %s had %s mounted at %s when it was checkpointed, and has %s there now: give its pod a volume of the former type",
				container, before, m.Destination, now)
		}
	}
	return nil
}

// kubeletVolume is a volume of a pod in the kubelet's directory, whose path has the plugin that made it.
var kubeletVolume = regexp.MustCompile(`/pods/[^/]+/volumes/([^/]+)/`)

// mountKind says what is mounted, as far as two containers of one specification have it the same.
func mountKind(m specs.Mount) string {
	if plugin := kubeletVolume.FindStringSubmatch(m.Source + "/"); plugin != nil {
		return "a volume of type " + plugin[1]
	}
	if m.Type == "bind" {
		return "a path of the node"
	}
	return "a file system of type " + m.Type
}

// memoryLimit is a container's, in bytes; 0 when it has none.
func memoryLimit(spec *specs.Spec) int64 {
	if spec.Linux == nil || spec.Linux.Resources == nil || spec.Linux.Resources.Memory == nil || spec.Linux.Resources.Memory.Limit == nil {
		return 0
	}
	return *spec.Linux.Resources.Memory.Limit
}
