// Package local is the lab: what makes Docker, Kubernetes and Cedana where none is to be had. Its parts are in the
// directories below.
package local
