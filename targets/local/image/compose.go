package image

import (
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// Compose is an image of the layers with the configuration. It carries the project's label, by which cleanup finds
// it in an engine.
func Compose(config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	labels := map[string]string{settings.DockerLabel: "true"}
	for k, v := range config.Labels {
		labels[k] = v
	}
	config.Labels = labels
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, Created: v1.Time{Time: modified}, Config: config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("set image configuration: %w", err)
	}
	img, err = mutate.AppendLayers(img, layers...)
	if err != nil {
		return nil, fmt.Errorf("add image layers: %w", err)
	}
	return img, nil
}
