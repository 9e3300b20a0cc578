package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// mountSource is where on the node a bundle's mount comes from.
func mountSource(bundle, destination string) (string, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return "", err
	}
	var config struct {
		Mounts []struct {
			Destination string `json:"destination"`
			Source      string `json:"source"`
		} `json:"mounts"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", fmt.Errorf("read bundle %s: %w", bundle, err)
	}
	for _, m := range config.Mounts {
		if m.Destination == destination {
			return m.Source, nil
		}
	}
	return "", fmt.Errorf("bundle %s mounts nothing at %s", bundle, destination)
}
