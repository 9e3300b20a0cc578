package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/google/uuid"

	"github.com/cedana/cedana-e2e/targets/capabilities"
	"github.com/cedana/cedana-e2e/targets/settings"
	"github.com/cedana/cedana-e2e/targets/stretch"
)

const (
	probeLabel   = settings.DockerLabel + ".probe"
	probeTimeout = 60 * time.Second
	// unprobeTimeout is for the removal of the container, and of the image.
	unprobeTimeout = 30 * time.Second
	// probeLives, on this machine, is the age at which an image of another probe is a leftover of a killed one. The containers remove
	// themselves.
	probeLives = 10 * time.Minute
)

// report is what the probe prints; see cmd/probe.
type report struct {
	Problems       []string `json:"problems"`
	Bounding       string   `json:"bounding"`
	LastCapability int      `json:"lastCapability"`
}

// try runs a privileged container from an image made on the spot and has it do, entered by exec, what a node does.
// That the engine cannot is an answer; an error is when that could not be found out.
func try(ctx context.Context, o Options, e *Engine) (answer, error) {
	a := answer{Engine: e.Host, At: time.Now().UTC()}
	program, err := build(ctx, o, "probe", probeSource, e.Arch)
	if err != nil {
		return a, err
	}
	c, err := e.Client()
	if err != nil {
		return a, err
	}
	defer c.Close()
	if err := settings.KeepOwner(o.Home); err != nil {
		return a, err
	}

	runCtx, cancel := context.WithTimeout(ctx, stretch.Limit(probeTimeout))
	defer cancel()
	r, runErr, left := runProbe(runCtx, c, program, settings.OwnerOf(o.Home))
	// What could not be removed says nothing of whether the engine can run nodes.
	if err := errors.Join(ctx.Err(), left, removeOldProbes(ctx, c)); err != nil {
		return a, errors.Join(runErr, err)
	}
	if runErr != nil {
		if client.IsErrConnectionFailed(runErr) {
			return a, runErr
		}
		a.Problems = []string{runErr.Error()}
		return a, nil
	}
	a.OK, a.Problems = len(r.Problems) == 0, r.Problems
	if a.OK {
		if a.MissingCapabilities, err = capabilities.Missing(r.Bounding, r.LastCapability); err != nil {
			return a, fmt.Errorf("read the probe's report: %w", err)
		}
	}
	return a, nil
}

// runProbe returns what the probe reports, why there is no report, and what of it is left in the engine.
func runProbe(ctx context.Context, c *client.Client, program, owner string) (r report, err, left error) {
	name := "cedana-e2e-probe-" + uuid.NewString()[:8]
	ref := "cedana-e2e.local/probe:" + name
	root, err := rootfs(program)
	if err != nil {
		return r, err, nil
	}
	// It does its work even if the caller is interrupted, and has a time of its own.
	remove := func(what string, do func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(unprobeTimeout))
		defer cancel()
		if failed := do(ctx); failed != nil && !errdefs.IsNotFound(failed) && !errdefs.IsConflict(failed) { // conflict: it is being removed
			left = errors.Join(left, fmt.Errorf("remove %s: %w", what, failed))
		}
	}

	out, err := c.ImageImport(ctx, image.ImportSource{Source: root, SourceName: "-"}, ref, image.ImportOptions{
		Changes: []string{`ENTRYPOINT ["/probe"]`, "LABEL " + settings.DockerLabel + "=true", "LABEL " + probeLabel + "=true"},
	})
	if err != nil {
		return r, fmt.Errorf("import probe image: %w", err), nil
	}
	_, err = io.Copy(io.Discard, out)
	if err = errors.Join(err, out.Close()); err != nil {
		return r, fmt.Errorf("import probe image: %w", err), nil
	}
	defer remove("probe image "+ref, func(ctx context.Context) error {
		_, err := c.ImageRemove(ctx, ref, image.RemoveOptions{Force: true})
		return err
	})

	created, err := c.ContainerCreate(ctx,
		&container.Config{Image: ref, Cmd: []string{"wait", fmt.Sprint(int(stretch.Limit(probeTimeout).Seconds()))}, Labels: map[string]string{settings.DockerLabel: "true", settings.DockerLabelOwner: owner, probeLabel: "true"}},
		// AutoRemove: the probe ends by itself in time, so that a killed run leaves no container.
		&container.HostConfig{Privileged: true, AutoRemove: true, NetworkMode: "none"}, nil, nil, name)
	if err != nil {
		return r, fmt.Errorf("create a privileged container: %w", err), nil
	}
	defer remove("probe container "+name, func(ctx context.Context) error {
		return c.ContainerRemove(ctx, created.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if err := c.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		return r, fmt.Errorf("start a privileged container: %w", err), nil
	}
	stdout, stderr, code, err := execIn(ctx, c, created.ID, []string{"/probe", "check"})
	if err != nil {
		return r, fmt.Errorf("exec into a privileged container: %w", err), nil
	}
	if err := json.Unmarshal(stdout, &r); err != nil || code != 0 {
		return r, fmt.Errorf("exec into a privileged container: exit code %d: %s", code,
			lastLines(bytes.TrimSpace(append(stdout, stderr...)), 3)), nil
	}
	return r, nil, nil
}

func execIn(ctx context.Context, c *client.Client, id string, cmd []string) (stdout, stderr []byte, code int, err error) {
	ex, err := c.ContainerExecCreate(ctx, id, container.ExecOptions{Privileged: true, AttachStdout: true, AttachStderr: true, Cmd: cmd})
	if err != nil {
		return nil, nil, 0, err
	}
	conn, err := c.ContainerExecAttach(ctx, ex.ID, container.ExecAttachOptions{})
	if err != nil {
		return nil, nil, 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()
	var o, e bytes.Buffer
	if _, err := stdcopy.StdCopy(&o, &e, conn.Reader); err != nil {
		return nil, nil, 0, errors.Join(ctx.Err(), err)
	}
	state, err := c.ContainerExecInspect(ctx, ex.ID)
	if err != nil {
		return nil, nil, 0, err
	}
	return o.Bytes(), e.Bytes(), state.ExitCode, nil
}

// rootfs is a root file system with one program.
func rootfs(program string) (io.Reader, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read probe: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, dir := range []string{"dev/", "proc/", "sys/", "tmp/"} {
		if err := w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			return nil, fmt.Errorf("pack probe: %w", err)
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "probe", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}); err != nil {
		return nil, fmt.Errorf("pack probe: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("pack probe: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack probe: %w", err)
	}
	return &b, nil
}

// removeOldProbes removes the images of probes that were killed before they could.
func removeOldProbes(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stretch.Limit(unprobeTimeout))
	defer cancel()
	images, err := c.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(filters.Arg("label", probeLabel+"=true"))})
	if err != nil {
		return fmt.Errorf("list probe images: %w", err)
	}
	for _, i := range images {
		if time.Since(time.Unix(i.Created, 0)) < probeLives {
			continue
		}
		if _, err := c.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true}); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove old probe image %s: %w", i.ID, err)
		}
	}
	return nil
}
