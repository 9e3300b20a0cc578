package layout

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	return WriteFile(path, data, 0o600)
}

// LoadConfig reads what Save wrote.
func LoadConfig(path string) (Config, error) {
	var c Config
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read node configuration: %w (the cedana-helper pod of this node writes it: is it running?)", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read node configuration %s: %w", path, err)
	}
	return c, nil
}

// WriteFile writes a file in one step: a reader sees the old content or the new, and a kill leaves no half.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make directory of %s: %w", path, err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(temp.Name()) // gone already when all went well
	_, err = temp.Write(data)
	if modeErr := temp.Chmod(mode); err == nil {
		err = modeErr
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
