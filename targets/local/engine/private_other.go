//go:build !linux

package engine

import (
	"context"
	"errors"
	"os"
	"runtime"
)

var errNotLinux = errors.New("exists on Linux alone, and this is " + runtime.GOOS)

func ensurePrivate(context.Context, Options) (*Engine, error) { return nil, errNotLinux }

func findPrivate(context.Context, Options) (*Engine, error) { return nil, errNotLinux }

// stopPrivate has nothing to stop, but forgets what was remembered.
func stopPrivate(_ context.Context, o Options) ([]string, error) { return nil, os.RemoveAll(o.dir()) }

func checkPrivate(context.Context, Options, bool) []Finding { return nil }
