package layout

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

// Config is what the runtime wrapper has to know; the helper writes it, because containerd starts the wrapper with an
// environment of its own.
type Config struct {
	// URL of the propagator, with or without a version at its end.
	URL       string `json:"url"`
	Token     string `json:"token"`
	ClusterID string `json:"cluster_id"`
	Node      string `json:"node"`
	// CAFile has the certificates to trust at the propagator; empty where the node's own will do.
	CAFile string `json:"ca_file,omitempty"`
	// RestoreTimeout bounds the restore of one container.
	RestoreTimeout settings.Duration `json:"restore_timeout"`
	// TimeoutScale stretches the other limits, see package stretch.
	TimeoutScale float64 `json:"timeout_scale"`
}

// CAVariable names the file of certificates that Go's TLS trusts in place of the system's.
const CAVariable = "SSL_CERT_FILE"

// Trust makes this process trust CAFile. It has to be called before the process's first TLS connection.
func (c Config) Trust() error {
	if c.CAFile == "" {
		return nil
	}
	if err := os.Setenv(CAVariable, c.CAFile); err != nil {
		return fmt.Errorf("trust %s: %w", c.CAFile, err)
	}
	return nil
}

// Save writes c to path for root alone, replacing what is there in one step.
func (c Config) Save(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode node configuration: %w", err)
	}
	return atomicfile.Write(path, data, 0o600)
}

// LoadConfig reads what Save wrote, and stretches this process's limits as it says.
func LoadConfig(path string) (Config, error) {
	var c Config
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read node configuration: %w (the cedana-helper pod of this node writes it: is it running?)", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read node configuration %s: %w", path, err)
	}
	if c.RestoreTimeout.Duration <= 0 {
		return c, fmt.Errorf("read node configuration %s: it has no restore_timeout: an older cedana-helper wrote it, and the new one is not ready yet", path)
	}
	if c.TimeoutScale >= 1 {
		stretch.Set(c.TimeoutScale)
	}
	return c, nil
}
