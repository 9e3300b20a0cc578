// Package server is the local propagator: the HTTP API of package propagator's wire types, kept in one directory.
package server

import (
	"context"
	"errors"
)

// Main is `cedana propagator`.
func Main(ctx context.Context, args []string) error { return errors.New("not there yet") }
