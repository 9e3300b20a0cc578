package image

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/cedana/cedana-e2e/targets/console"
)

// fakeEngine has images by name, and takes in what it is told to.
type fakeEngine struct {
	images  map[string]bool
	loads   int
	takesIn string
	answer  string
	broken  error
}

func (f *fakeEngine) ImageInspect(_ context.Context, ref string, _ ...client.ImageInspectOption) (dockerimage.InspectResponse, error) {
	switch {
	case f.broken != nil:
		return dockerimage.InspectResponse{}, f.broken
	case !f.images[ref]:
		return dockerimage.InspectResponse{}, errdefs.ErrNotFound.WithMessage("no such image")
	}
	return dockerimage.InspectResponse{ID: "sha256:1"}, nil
}

func (f *fakeEngine) ImageLoad(_ context.Context, input io.Reader, _ ...client.ImageLoadOption) (dockerimage.LoadResponse, error) {
	f.loads++
	if _, err := io.Copy(io.Discard, input); err != nil {
		return dockerimage.LoadResponse{}, err
	}
	f.images[f.takesIn] = true
	return dockerimage.LoadResponse{Body: io.NopCloser(strings.NewReader(f.answer)), JSON: true}, nil
}

func (f *fakeEngine) ImageSave(context.Context, []string, ...client.ImageSaveOption) (io.ReadCloser, error) {
	return nil, errors.New("not asked for")
}

func someTarball(t *testing.T) Tarball {
	t.Helper()
	path := t.TempDir() + "/image.tar"
	require.NoError(t, os.WriteFile(path, []byte("tar"), 0o644))
	return Tarball{Ref: "cedana-e2e.local/x:1", Path: path}
}

func TestImageIsLoadedOnlyWhereItIsNot(t *testing.T) {
	t.Parallel()
	image := someTarball(t)
	engine := &fakeEngine{images: map[string]bool{}, takesIn: image.Ref, answer: `{"stream":"Loaded image: x"}` + "\n"}
	require.NoError(t, Load(t.Context(), engine, image, console.Quiet{}))
	require.NoError(t, Load(t.Context(), engine, image, console.Quiet{}))
	require.Equal(t, 1, engine.loads)
}

func TestLoadFailsWhen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		engine *fakeEngine
		want   string
	}{
		"the engine says so after it has answered 200": {
			&fakeEngine{images: map[string]bool{}, answer: `{"stream":"x"}{"error":"no space left on device"}`}, "no space left on device"},
		"the answer is cut off": {
			&fakeEngine{images: map[string]bool{}, answer: `{"stream":`}, "read the engine's answer"},
		"the image is not there afterwards": {
			&fakeEngine{images: map[string]bool{}, takesIn: "another"}, "does not have it"},
		"the engine is down": {
			&fakeEngine{broken: errors.New("connection refused")}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Load(t.Context(), test.engine, someTarball(t), console.Quiet{})
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, "cedana-e2e.local/x:1")
		})
	}
}
