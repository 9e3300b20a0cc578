package image

import (
	"context"
	"io/fs"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Static is an image of nothing but a static Go program.
type Static struct {
	// Name of the image.
	Name    string
	Program Program
	// Path of the binary in the image, and its entry point: `/counter`.
	Path string
	// Links are further names of the binary.
	Links []string
	// Cmd are the default arguments.
	Cmd []string
	// Env is `KEY=value`. PATH is set anyway.
	Env []string
	// Texts are small files beside the program, by path: their contents.
	Texts map[string]string
}

// staticRecipe is raised when what Static puts around the program changes.
const staticRecipe = 1

// Static builds the program and the image around it: the binary, /tmp, and a passwd and group with root, www-data,
// nobody and nothing else.
func (s *Store) Static(ctx context.Context, spec Static) (Tarball, error) {
	binary, err := s.Program(ctx, spec.Program)
	if err != nil {
		return Tarball{}, err
	}
	// The program itself and not its sources: two clones' programs have different paths in them, and CRIU restores none
	// with a checkpoint of the other.
	inputs := NewInputs("static image", staticRecipe)
	paths := slices.Sorted(maps.Keys(spec.Texts))
	for _, path := range paths {
		inputs.Text("file", path, spec.Texts[path])
	}
	key, err := inputs.Text("path", spec.Path).Text("links", spec.Links...).
		Text("cmd", spec.Cmd...).Text("env", spec.Env...).File("program", binary.Path).Key()
	if err != nil {
		return Tarball{}, err
	}
	return s.Image(ctx, spec.Name, key, func(context.Context) (v1.Image, error) {
		entries := append(Skeleton(), File(spec.Path, binary.Path, 0o755))
		for _, link := range spec.Links {
			entries = append(entries, Link(link, spec.Path))
		}
		for _, path := range paths {
			entries = append(entries, Text(path, spec.Texts[path]))
		}
		layer, err := Layer(entries...)
		if err != nil {
			return nil, err
		}
		return Compose(v1.Config{
			Entrypoint: []string{spec.Path},
			Cmd:        spec.Cmd,
			Env:        append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, spec.Env...),
		}, layer)
	})
}

// Skeleton is the least of a root file system that programs expect: /tmp, and who root and nobody are.
func Skeleton() []Entry {
	return []Entry{
		Dir("tmp", fs.ModeSticky|0o777),
		Dir("run", 0o755),
		Dir("root", 0o700),
		Text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
		Text("etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"),
	}
}
