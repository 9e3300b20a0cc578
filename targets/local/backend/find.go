package backend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/errdefs"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/cluster/state"
	"github.com/cedana/cedana-e2e/targets/settings"
)

// ErrNotFound is returned by Find where no local propagator of the cluster runs.
var ErrNotFound = errors.New("no local propagator")

// Find returns the cluster's propagator that an earlier run started, and changes nothing. Its error is [ErrNotFound]
// where none runs.
func Find(ctx context.Context, s settings.Run) (*Propagator, error) {
	name := Name(s.ClusterName)
	st, err := state.Load(s.ClusterDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("find container %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	for _, host := range st.Engines {
		engine, err := docker.Connect(host)
		if err != nil {
			return nil, err
		}
		have, err := engine.ContainerInspect(ctx, name)
		// Nothing is lost with an idle HTTP connection.
		_ = engine.Close()
		if errdefs.IsNotFound(err) || docker.Absent(host, err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("inspect container %s in the engine at %s: %w", name, host, err)
		}
		if have.State == nil || !have.State.Running {
			continue
		}
		p := &Propagator{Token: st.Token.Secret, Container: name, Host: host}
		if p.URL, p.InClusterURL, err = addresses(have, "k3d-"+s.ClusterName); err != nil {
			return nil, err
		}
		return p, nil
	}
	return nil, fmt.Errorf("find container %s: %w", name, ErrNotFound)
}
