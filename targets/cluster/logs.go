package cluster

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// nodeLogs are the directories on a node that Logs takes the log files from: its components' (the node image built
// here), containerd's and the kubelet's under k3s, and the pods' own.
var nodeLogs = []string{"/var/log", "/var/lib/rancher/k3s/agent/containerd"}

// nodeLogFiles are the files there that are wanted, by prefix of their path. A real k3s node's containerd directory
// also has image layers.
var nodeLogFiles = []string{"/var/log/k3s", "/var/log/pods/", "/var/log/k3d-entrypoints", "/var/lib/rancher/k3s/agent/containerd/containerd.log"}

// maxLogFile is how much of one file is kept, from its beginning: what broke first is there.
const maxLogFile = 16 << 20

// Logs writes to dir, for every node: NODE.log (its container's output), NODE.json (its container's state) and
// NODE/… (the log files in it, pods' included). It asks the engine alone, so it works when the API is dead and on
// stopped nodes. It takes what it can get; the error joins what it could not.
func (c *Cluster) Logs(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, node := range c.Nodes {
		wg.Go(func() {
			for _, err := range []error{
				c.containerState(ctx, node, filepath.Join(dir, node+".json")),
				c.containerLog(ctx, node, filepath.Join(dir, node+".log")),
				c.logFiles(ctx, node, filepath.Join(dir, node)),
			} {
				if err != nil {
					errs[i] = errors.Join(errs[i], fmt.Errorf("collect logs of %s: %w", node, err))
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// containerState leaves out the container's environment: it has the cluster's join token.
func (c *Cluster) containerState(ctx context.Context, node, file string) error {
	info, err := c.engine.ContainerInspect(ctx, node)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(map[string]any{
		"image": info.Config.Image, "created": info.Created, "restarts": info.RestartCount, "state": info.State,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

func (c *Cluster) containerLog(ctx context.Context, node, file string) error {
	logs, err := c.engine.ContainerLogs(ctx, node, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true})
	if err != nil {
		return err
	}
	defer logs.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = stdcopy.StdCopy(f, f, logs)
	return errors.Join(err, f.Close())
}

func (c *Cluster) logFiles(ctx context.Context, node, dir string) error {
	var errs []error
	for _, from := range nodeLogs {
		archive, _, err := c.engine.CopyFromContainer(ctx, node, from)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, unpackLogs(archive, path.Dir(from), dir), archive.Close())
	}
	return errors.Join(errs...)
}

// unpackLogs writes the wanted log files of an archive, whose names are relative to parent, to dir.
func unpackLogs(archive io.Reader, parent, dir string) error {
	r := tar.NewReader(archive)
	for {
		header, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		// Joined to a rooted path, a name cannot lead out of it.
		name := path.Join("/", parent, header.Name)
		wanted := slices.ContainsFunc(nodeLogFiles, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if header.Typeflag != tar.TypeReg || !wanted {
			continue
		}
		if err := writeLog(filepath.Join(dir, filepath.FromSlash(name)), r); err != nil {
			return err
		}
	}
}

func writeLog(file string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	n, err := io.CopyN(f, r, maxLogFile)
	if err == nil && n == maxLogFile {
		_, err = fmt.Fprintf(f, "\n[cut after %d bytes]\n", n)
	} else if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, f.Close())
}
