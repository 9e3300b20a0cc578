// Package image makes container images without a registry and without `docker build`: from files, directories and
// static Go programs of this repository, as tarballs that `docker load` and containerd both read.
//
// Everything made is cached by a hash of what it is made of (see [Inputs]), so a second run makes nothing, and the
// name of an image says what is in it: an image that is there under its name is the right one.
package image

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

// Ref is the name of the image NAME made of inputs with this key.
func Ref(image, key string) string { return Registry + "/" + image + ":" + key }
