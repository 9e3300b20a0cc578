package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sync/errgroup"

	"github.com/cedana/cedana-e2e/targets/cluster/docker"
	"github.com/cedana/cedana-e2e/targets/console"
)

// Image is an image in a tarball, in the format of `docker save`, its layers not compressed: that loads fastest.
type Image struct {
	// Ref is its name.
	Ref string
	// Path is the tarball's.
	Path string
}

// importsAtOnce bounds the imports that run on all nodes together: containerd unpacks with one core per import.
const importsAtOnce = 4

// complete waits until the cluster is usable, puts the images on its nodes meanwhile, and says since when the nodes are
// Ready. The images wait for that: their import takes as much of the processors as it can get, of which a node that comes up
// has too little, and CoreDNS, whose pod comes then, too much. A node that keeps dying ends the wait early.
func (m *maker) complete(ctx context.Context, step *console.Step) (ready time.Time, err error) {
	have, err := inspect(ctx, m.engine, m.settings.ClusterName, m.settings.Owner())
	if err != nil {
		return ready, err
	}
	both, ctx := errgroup.WithContext(ctx)
	watched, stop := m.watching(ctx, false)
	defer stop()

	nodes := have.names()
	api, err := m.nodesUp(watched, step, nodes)
	if err != nil {
		return ready, err
	}
	ready = time.Now()
	both.Go(func() error { return m.usable(watched, step, api, nodes) })
	both.Go(func() error { return handle(m.engine, m.settings, have).putImages(ctx, m.options.Images) })
	return ready, both.Wait()
}

// putImages puts the images on every node that lacks them and verifies that they are complete and unpacked there. k3d's
// own import only logs when a node fails (pkg/client/tools.go of v5.9.0), so it is not used.
func (c *Cluster) putImages(ctx context.Context, images []Image) error {
	if len(images) == 0 {
		return nil
	}
	imports, importCtx := errgroup.WithContext(ctx)
	imports.SetLimit(importsAtOnce)
	imported := map[string][]Image{}
	for _, node := range c.Nodes {
		lacks, err := c.lacks(ctx, node, images)
		if err != nil {
			return errors.Join(err, imports.Wait())
		}
		for _, tarball := range lacks {
			imported[node] = append(imported[node], tarball)
			imports.Go(func() error { return c.load(importCtx, node, tarball) })
		}
	}
	if err := imports.Wait(); err != nil {
		return err
	}
	for node, images := range imported {
		still, err := c.lacks(ctx, node, images)
		if err != nil {
			return err
		}
		if len(still) > 0 {
			return fmt.Errorf("put images on %s: containerd took %s without an error but does not have it complete and unpacked", node, refs(still))
		}
	}
	return nil
}

// imageDir is where a node imports tarballs from before it takes pods.
const imageDir = "/var/lib/rancher/k3s/agent/images"

// layImages puts the images into a node that is not started yet: its cluster has pods for it as soon as it is up, and the
// kubelet waits for a while before it looks again for an image that was missing.
func (m *maker) layImages(ctx context.Context, node string) error {
	archive, w := io.Pipe()
	go func() { _ = w.CloseWithError(packImages(w, m.options.Images)) }()
	defer func() { _ = archive.Close() }()
	if err := m.engine.CopyToContainer(ctx, node, "/", archive, container.CopyToContainerOptions{}); err != nil {
		return fmt.Errorf("put images into node %s: %w", node, err)
	}
	return nil
}

func laidImage(i int) string { return fmt.Sprintf("%s/cedana-e2e-laid-%d.tar", imageDir, i) }

// packImages writes an archive of the images' tarballs in imageDir.
func packImages(to io.Writer, images []Image) error {
	archive := tar.NewWriter(to)
	for i, image := range images {
		file, err := os.Open(image.Path)
		if err != nil {
			return fmt.Errorf("read image %s: %w", image.Ref, err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err == nil {
			err = archive.WriteHeader(&tar.Header{Name: laidImage(i), Mode: 0o644, Size: info.Size()})
		}
		if err == nil {
			_, err = io.Copy(archive, file)
		}
		if err != nil {
			return fmt.Errorf("read image %s: %w", image.Ref, err)
		}
	}
	return archive.Close()
}

// clearLaid removes what layImages has put into a node: it would be imported again at each of its starts.
func (m *maker) clearLaid(ctx context.Context, node string) error {
	rm := []string{"rm", "-f"}
	for i := range m.options.Images {
		rm = append(rm, laidImage(i))
	}
	return docker.Exec(ctx, m.engine, node, nil, nil, rm...)
}

// lacks returns those of the images that containerd on the node does not have complete and unpacked.
func (c *Cluster) lacks(ctx context.Context, node string, images []Image) ([]Image, error) {
	var out bytes.Buffer
	if err := docker.Exec(ctx, c.engine, node, nil, &out, "ctr", "--namespace", "k8s.io", "images", "check", "--quiet"); err != nil {
		return nil, fmt.Errorf("list images on %s: %w", node, err)
	}
	has := make(map[string]bool)
	for line := range strings.Lines(out.String()) {
		has[strings.TrimSpace(line)] = true
	}
	var lacks []Image
	for _, i := range images {
		if !has[i.Ref] {
			lacks = append(lacks, i)
		}
	}
	return lacks, nil
}

func (c *Cluster) load(ctx context.Context, node string, tarball Image) error {
	file, err := os.Open(tarball.Path)
	if err != nil {
		return fmt.Errorf("put image %s on %s: %w", tarball.Ref, node, err)
	}
	defer file.Close()
	if err := docker.Exec(ctx, c.engine, node, file, nil, "ctr", "--namespace", "k8s.io", "images", "import", "-"); err != nil {
		return fmt.Errorf("put image %s on %s: %w", tarball.Ref, node, err)
	}
	return nil
}

func refs(images []Image) string {
	var names []string
	for _, i := range images {
		names = append(names, i.Ref)
	}
	return strings.Join(names, ", ")
}
