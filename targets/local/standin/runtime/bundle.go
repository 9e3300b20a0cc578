package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// readBundle reads the config.json of an OCI bundle.
func readBundle(dir string) (*specs.Spec, error) {
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("read bundle: %w", err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("read bundle %s: %w", dir, err)
	}
	return &spec, nil
}

// mountSource is where on the node a bundle's mount comes from.
func mountSource(bundle, destination string) (string, error) {
	spec, err := readBundle(bundle)
	if err != nil {
		return "", err
	}
	for _, m := range spec.Mounts {
		if m.Destination == destination {
			return m.Source, nil
		}
	}
	return "", fmt.Errorf("bundle %s mounts nothing at %s", bundle, destination)
}
