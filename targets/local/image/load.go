package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/containerd/errdefs"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/cedana/cedana-e2e/targets/console"
)

// Engine is what of a Docker engine's client is used here.
type Engine interface {
	ImageInspect(ctx context.Context, image string, opts ...client.ImageInspectOption) (dockerimage.InspectResponse, error)
	ImageLoad(ctx context.Context, input io.Reader, opts ...client.ImageLoadOption) (dockerimage.LoadResponse, error)
	ImageSave(ctx context.Context, images []string, opts ...client.ImageSaveOption) (io.ReadCloser, error)
}

// Present reports whether the engine has an image of that name.
func Present(ctx context.Context, engine Engine, ref string) (bool, error) {
	_, err := engine.ImageInspect(ctx, ref)
	switch {
	case err == nil:
		return true, nil
	case errdefs.IsNotFound(err):
		return false, nil
	}
	return false, fmt.Errorf("look for image %s in the Docker engine: %w", ref, err)
}

// Load puts the image into the engine, unless one of that name is there: the name has the hash of its content.
func Load(ctx context.Context, engine Engine, t Tarball, progress console.Progress) (err error) {
	there, err := Present(ctx, engine, t.Ref)
	if err != nil || there {
		return err
	}
	file, err := os.Open(t.Path)
	if err != nil {
		return fmt.Errorf("load image %s: %w", t.Ref, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("load image %s: %w", t.Ref, err)
	}
	total := megabytes(info.Size())
	progress.Step("load image %s into the Docker engine (%d MB)", t.Ref, total)
	input := &countingReader{r: file}
	name, _, _ := strings.Cut(t.Ref, ":") // without what it was made of, so that it is known the next time
	end := progress.Watch("load image "+name, func() console.State {
		return console.State{Done: int(megabytes(input.n.Load())), Total: int(total), Unit: "MB"}
	})
	defer func() { end(err) }()
	response, err := engine.ImageLoad(ctx, input, client.ImageLoadWithQuiet(true))
	if err != nil {
		return fmt.Errorf("load image %s from %s: %w", t.Ref, t.Path, err)
	}
	defer response.Body.Close()
	if err := loadError(response.Body); err != nil {
		return fmt.Errorf("load image %s from %s: %w", t.Ref, t.Path, err)
	}
	there, err = Present(ctx, engine, t.Ref)
	if err == nil && !there {
		err = fmt.Errorf("load image %s from %s: the engine reported success but does not have it", t.Ref, t.Path)
	}
	return err
}

// loadError finds the error in the engine's answer: it answers 200 before it begins, and says later what failed.
func loadError(body io.Reader) error {
	decoder := json.NewDecoder(body)
	for {
		var message struct {
			Error string `json:"error"`
		}
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the engine's answer: %w", err)
		case message.Error != "":
			return fmt.Errorf("engine: %s", message.Error)
		}
	}
}

func megabytes(n int64) int64 { return (n + 500_000) / 1_000_000 }

type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
