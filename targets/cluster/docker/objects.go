package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/settings"
)

// BridgePrefix begins the names of the bridges of the networks that are made here, by which the private engine's firewall
// rules know them.
const BridgePrefix = "ce2n-"

// BridgeName is one for a new network; the kernel takes 15 bytes.
func BridgeName() string { return BridgePrefix + uuid.NewString()[:8] }

// Kind is what an [Object] is. Kinds are removed in this order: a network goes only after its containers, and so
// does a volume.
type Kind int

// Container, Network and Volume are the kinds of objects that carry labels.
const (
	Container Kind = iota
	Network
	Volume
)

func (k Kind) String() string { return [...]string{"container", "network", "volume"}[k] }

// Object is something in the engine that carries this project's label.
type Object struct {
	Kind Kind
	// ID is the engine's; a volume has none but its name.
	ID   string
	Name string
	// Cluster is the CLUSTER_NAME of the run that made it.
	Cluster string
	Labels  map[string]string
	// Image is a container's, as it was asked for.
	Image string
	// State is a container's: created, running, restarting, exited, …
	State string
}

// Ours says whether it bears the project's label and that owner's id; nobody has an empty one.
func (o Object) Ours(owner string) bool {
	return owner != "" && o.Labels[settings.DockerLabel] == "true" && o.Labels[settings.DockerLabelOwner] == owner
}

func (o Object) String() string { return o.Kind.String() + " " + o.Name }

// Engine is what [Find] and [Remove] need of a Docker client.
type Engine interface {
	ContainerList(context.Context, container.ListOptions) ([]container.Summary, error)
	ContainerRemove(context.Context, string, container.RemoveOptions) error
	NetworkList(context.Context, network.ListOptions) ([]network.Summary, error)
	NetworkRemove(context.Context, string) error
	VolumeList(context.Context, volume.ListOptions) (volume.ListResponse, error)
	VolumeRemove(context.Context, string, bool) error
}

// Find lists what carries this project's label, whoever's it is ([Object.Ours]), of one cluster or, with an empty name, of all, sorted by kind and
// name.
func Find(ctx context.Context, e Engine, cluster string) ([]Object, error) {
	want := filters.NewArgs(filters.Arg("label", settings.DockerLabel+"=true"))
	if cluster != "" {
		want.Add("label", settings.DockerLabelCluster+"="+cluster)
	}
	return List(ctx, e, want)
}

// List lists containers (stopped ones too), networks and volumes that match the engine's own filters, sorted by kind
// and name.
func List(ctx context.Context, e Engine, want filters.Args) ([]Object, error) {
	var found []Object
	containers, err := e.ContainerList(ctx, container.ListOptions{All: true, Filters: want})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers {
		name := c.ID
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		found = append(found, Object{Kind: Container, ID: c.ID, Name: name, Labels: c.Labels, Image: c.Image, State: c.State})
	}
	networks, err := e.NetworkList(ctx, network.ListOptions{Filters: want})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	for _, n := range networks {
		found = append(found, Object{Kind: Network, ID: n.ID, Name: n.Name, Labels: n.Labels})
	}
	volumes, err := e.VolumeList(ctx, volume.ListOptions{Filters: want})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	for _, v := range volumes.Volumes {
		found = append(found, Object{Kind: Volume, ID: v.Name, Name: v.Name, Labels: v.Labels})
	}
	for i := range found {
		found[i].Cluster = found[i].Labels[settings.DockerLabelCluster]
	}
	slices.SortFunc(found, func(a, b Object) int {
		if a.Kind != b.Kind {
			return int(a.Kind - b.Kind)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return found, nil
}

// Remove removes the objects, running containers and their anonymous volumes included, kind after kind. An object
// that is already gone is a success. The error joins one error for each object that could not be removed.
func Remove(ctx context.Context, e Engine, objects []Object) error {
	var all []error
	for _, kind := range []Kind{Container, Network, Volume} {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			errs []error
		)
		for _, o := range objects {
			if o.Kind != kind {
				continue
			}
			wg.Go(func() {
				if err := remove(ctx, e, o); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, fmt.Errorf("remove %s: %w", o, err))
				}
			})
		}
		wg.Wait()
		all = append(all, errs...)
	}
	return errors.Join(all...)
}

// settle is how long a removal that meets a conflict is tried again: the engine may still be taking a container out
// of a network, or removing it for somebody else.
const settle = 3 * time.Second

func remove(ctx context.Context, e Engine, o Object) error {
	deadline := time.Now().Add(settle)
	for {
		var err error
		switch o.Kind {
		case Container:
			err = e.ContainerRemove(ctx, o.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		case Network:
			err = e.NetworkRemove(ctx, o.ID)
		case Volume:
			err = e.VolumeRemove(ctx, o.ID, false)
		}
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		// Docker answers 409 for "removal already in progress" and "volume in use", 403 for "active endpoints".
		if !errdefs.IsConflict(err) && !errdefs.IsPermissionDenied(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
