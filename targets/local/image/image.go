// Package image makes container images without a registry and without `docker build`: from files, directories and
// static Go programs of this repository, as tarballs that `docker load` and containerd both read.
//
// Everything made is cached by a hash of what it is made of (see [Inputs]), so a second run makes nothing, and the
// name of an image says what is in it: an image that is there under its name is the right one.
package image

import (
	"context"
	"time"
)

// Registry is the host part of the names of all images made here. Nothing answers there: such an image is loaded,
// never pulled.
const Registry = "cedana-e2e.local"

// Tarball is an image on disk.
type Tarball struct {
	// Ref is the image's name, `cedana-e2e.local/NAME:HASH`.
	Ref string
	// Path of the tarball, in the format of `docker save`, its layers not compressed: that loads fastest.
	Path string
}

// Progress hears what is being done. [github.com/cedana/cedana-e2e/targets/console.Console] is one.
type Progress interface {
	Step(format string, args ...any)
}

// Quiet is the progress of someone who does not want to hear.
type Quiet struct{}

// Step does nothing.
func (Quiet) Step(string, ...any) {}

// Ref is the name of the image NAME made of inputs with this key.
func Ref(image, key string) string { return Registry + "/" + image + ":" + key }

// beat is how often work that goes on is mentioned again.
const beat = 8 * time.Second

// Watch repeats state to the progress while a long piece of work goes on, so that nothing is silent for more than
// ten seconds. The returned function ends that and returns when nothing more will be said.
func Watch(p Progress, state func(elapsed time.Duration) string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	start := time.Now()
	go func() {
		defer close(done)
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.Step("%s", state(time.Since(start).Round(time.Second)))
			}
		}
	}()
	return func() { cancel(); <-done }
}
