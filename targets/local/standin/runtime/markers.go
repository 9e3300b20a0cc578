package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cedana/cedana-e2e/targets/atomicfile"
	"github.com/cedana/cedana-e2e/targets/local/standin/layout"
)

// markers are notes on the node about one pod: which of its containers and volumes were restored, and which restore
// failed. They outlive the container, so that what kubelet makes in its place is known for what it is.
type markers struct{ dir string }

func markersOf(podUID string) markers {
	return markers{filepath.Join(layout.RestoredDir, podUID)}
}

func (m markers) path(kind, name string) string { return filepath.Join(m.dir, kind+"-"+name) }

// has reads a note.
func (m markers) has(kind, name string) (text string, there bool, err error) {
	data, err := os.ReadFile(m.path(kind, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read restore marker: %w", err)
	}
	return string(data), true, nil
}

func (m markers) set(kind, name, text string) error {
	if err := atomicfile.Write(m.path(kind, name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("set restore marker: %w", err)
	}
	return nil
}

// RestoredContainers are the markers of a pod's containers that were restored already.
func RestoredContainers(podUID string) []string {
	all, _ := filepath.Glob(markersOf(podUID).path(kindContainer, "*")) // the pattern is well-formed
	return all
}

// once does something for the pod one time, however often it is asked for.
func (m markers) once(kind, name string, do func() error) error {
	_, there, err := m.has(kind, name)
	if there || err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return m.set(kind, name, "")
}

// The kinds of marker.
const (
	kindContainer = "container"
	// kindCold is of a container that declares a checkpoint and was started afresh, for want of one.
	kindCold = "cold"
	// kindNamed has, by a declared name, the checkpoint that the pod's containers are restored from.
	kindNamed  = "named"
	kindFailed = "failed"
	kindVolume = "volume"
	kindShm    = "shm"
)
