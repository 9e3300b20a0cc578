package node

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/cedana/cedana-e2e/targets/local/image"
)

// PauseImage is the name of the sandbox image in a node, where it is imported from PauseTarball at start. It is baked
// in: a pod's sandbox can then be made before anything is pulled or imported.
const (
	PauseImage   = image.Registry + "/pause:1"
	pauseTarball = "usr/share/k3s/images/pause.tar"
)

var pauseProgram = image.Program{Name: "pause", Package: "./targets/local/node/pause"}

// toolsImage is for k3d's tools node, which it runs with the argument noop.
var toolsImage = image.Static{Name: "tools", Program: pauseProgram, Path: "/pause", Cmd: []string{"noop"}}

// pauseRecipe is raised when the pause image changes other than by its program.
const pauseRecipe = 1

// pause makes the tarball of the sandbox image, under its fixed name.
func pause(ctx context.Context, store *image.Store) (path, key string, err error) {
	binary, err := store.Program(ctx, pauseProgram)
	if err != nil {
		return "", "", err
	}
	key, err = image.NewInputs("pause", pauseRecipe).Text("program", binary.Key).Key()
	if err != nil {
		return "", "", err
	}
	path, err = store.File(ctx, "pause-image", key, ".tar", func(_ context.Context, path string) error {
		layer, err := image.Layer(image.File("pause", binary.Path, 0o755))
		if err != nil {
			return err
		}
		img, err := image.Compose(v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}, layer)
		if err != nil {
			return err
		}
		return image.Write(path, PauseImage, img)
	})
	return path, key, err
}
